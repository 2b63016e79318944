//! What a process has read of a bus whose server numbers the entries from 0 without leaving any out: the notices that are kept
//! for those who listen, and what may have been missed. Decided from what the server sends; no I/O here.

use std::collections::VecDeque;

use crate::limits;
use crate::payload::Payload;
use crate::ports::bus::{Heard, Position};

/// How much is kept for listeners that are behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Notices.
    pub notices: usize,
    /// Bytes of them; the newest one is kept whatever its size.
    pub bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { notices: limits::BUS_NOTICES_DEFAULT, bytes: limits::BUS_BYTES_DEFAULT }
    }
}

/// One entry of the stream.
#[derive(Debug)]
pub struct Entry {
    /// The server's number of it, counted from 0.
    pub offset: u64,
    /// Tells it from every other one, also from that which had its number before the stream was lost.
    pub id: String,
    /// `None` for a marker.
    pub notice: Option<Payload>,
}

/// Up to where somebody knows all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    epoch: u64,
    after: Position,
}

/// The newest part of the stream. A position is an offset and one.
#[derive(Debug)]
pub struct Tape {
    kept: Kept,
    /// Counts how often the stream had lost what it once gave.
    epoch: u64,
    /// The newest entry.
    last: Option<(u64, String)>,
    /// The connection is new: the server is to show the last entry once more, which proves that it has lost nothing.
    rejoins: bool,
    /// It did not.
    is_lost: bool,
    /// Before it nothing is certain.
    doubt: Position,
    /// The greatest position of earlier epochs: who names one up to it may mean one of those.
    former: Position,
    /// The last one that is not kept any more.
    trimmed: Position,
    /// The newest notice, or where certainty begins.
    head: Position,
    notices: VecDeque<(Position, Payload)>,
    bytes: usize,
}

impl Tape {
    /// One of a stream of which nothing is known.
    pub fn new(kept: Kept) -> Self {
        Self {
            kept,
            epoch: 0,
            last: None,
            rejoins: false,
            is_lost: false,
            doubt: Position::START,
            former: Position::START,
            trimmed: Position::START,
            head: Position::START,
            notices: VecDeque::new(),
            bytes: 0,
        }
    }

    /// A new connection reads on. Says from which offset; `None`: from what comes.
    pub fn rejoin(&mut self) -> Option<u64> {
        self.rejoins = self.last.is_some();
        self.last.as_ref().filter(|_| !self.is_lost).map(|(offset, _)| *offset)
    }

    /// The server has shown nothing from there on, though the last entry was to come: the stream has become shorter.
    pub fn lose(&mut self) {
        self.is_lost = self.last.is_some();
    }

    /// What comes is behind this place, and is not known to follow what was read before.
    pub fn start(&mut self, at: Position) {
        (self.last, self.rejoins, self.is_lost) = (None, false, false);
        self.doubt_all_before(at);
    }

    /// Reads an entry. Says whether there may be something to hear.
    pub fn read(&mut self, entry: Entry) -> bool {
        let (before, position) = (Position(entry.offset), Position(entry.offset + 1));
        match &self.last {
            Some((offset, id)) if self.rejoins => {
                self.rejoins = false;
                if (*offset, id) == (entry.offset, &entry.id) {
                    return false;
                }
                self.is_lost = false;
                self.doubt_all_before(before);
            }
            Some((offset, _)) if entry.offset <= *offset => self.doubt_all_before(before),
            // What lies between gave way before it was read.
            Some((offset, _)) if entry.offset > *offset + 1 => {
                self.clear();
                (self.trimmed, self.head) = (before, before);
            }
            Some(_) => {}
            None => (self.doubt, self.trimmed, self.head) = (before, before, before),
        }
        self.last = Some((entry.offset, entry.id));
        if let Some(notice) = entry.notice {
            self.bytes += notice.len();
            self.notices.push_back((position, notice));
            self.head = position;
            self.trim();
        }
        true
    }

    /// The stream is another one, or has lost its end.
    fn doubt_all_before(&mut self, before: Position) {
        self.former = self.former.max(self.head);
        self.epoch += 1;
        self.clear();
        (self.doubt, self.trimmed, self.head) = (before, before, before);
    }

    fn clear(&mut self) {
        self.notices.clear();
        self.bytes = 0;
    }

    fn trim(&mut self) {
        // The newest is kept whatever its size.
        while self.notices.len() > self.kept.notices.max(1)
            || self.bytes > self.kept.bytes && self.notices.len() > 1
        {
            let Some((position, notice)) = self.notices.pop_front() else { return };
            self.bytes -= notice.len();
            self.trimmed = position;
        }
    }

    /// The newest position.
    pub fn head(&self) -> Position {
        self.head
    }

    /// The present end.
    pub fn end(&self) -> Place {
        Place { epoch: self.epoch, after: self.head }
    }

    /// Where somebody begins who says that it knows all up to `after`, and what it has to be told first.
    pub fn begin(&self, after: Position) -> (Place, Option<Heard>) {
        let is_of_now = after > self.former || self.former == Position::START;
        let is_certain = is_of_now && (self.doubt..=self.head).contains(&after);
        if is_certain {
            return (Place { epoch: self.epoch, after }, None);
        }
        (self.end(), Some(Heard::Gap { from: Position::START, to: self.head }))
    }

    /// What comes after a place, which moves on over it.
    pub fn next(&self, place: &mut Place) -> Option<Heard> {
        if place.epoch != self.epoch {
            let to = self.trimmed;
            *place = Place { epoch: self.epoch, after: to };
            return Some(Heard::Gap { from: Position::START, to });
        }
        if place.after < self.trimmed {
            let (from, to) = (place.after, self.trimmed);
            place.after = to;
            return Some(Heard::Gap { from, to });
        }
        let next = self.notices.partition_point(|(position, _)| *position <= place.after);
        let (position, notice) = self.notices.get(next)?.clone();
        place.after = position;
        Some(Heard::Notice { position, notice })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape() -> Tape {
        Tape::new(Kept { notices: 3, bytes: 100 })
    }

    fn notice(offset: u64, text: &str) -> Entry {
        Entry { offset, id: text.to_owned(), notice: Some(text.into()) }
    }

    fn marker(offset: u64, id: &str) -> Entry {
        Entry { offset, id: id.to_owned(), notice: None }
    }

    fn told(tape: &Tape, place: &mut Place) -> Vec<String> {
        std::iter::from_fn(|| tape.next(place)).map(tell).collect()
    }

    fn tell(heard: Heard) -> String {
        match heard {
            Heard::Notice { position, notice } => {
                format!("{} {}", position.0, String::from_utf8_lossy(&notice))
            }
            Heard::Gap { from, to } => format!("gap {} to {}", from.0, to.0),
        }
    }

    fn read(tape: &mut Tape, entries: impl IntoIterator<Item = Entry>) {
        entries.into_iter().for_each(|entry| _ = tape.read(entry));
    }

    #[test]
    fn notices_are_heard_in_order_and_markers_are_not() {
        let mut tape = tape();
        read(&mut tape, [marker(7, "m")]);
        let mut place = tape.end();
        read(&mut tape, [notice(8, "a"), marker(9, "n"), notice(10, "b")]);
        assert_eq!(told(&tape, &mut place), ["9 a", "11 b"]);
        assert_eq!((tape.head(), tape.end()), (Position(11), place));
    }

    #[test]
    fn who_falls_behind_what_is_kept_hears_of_a_gap() {
        let mut tape = tape();
        read(&mut tape, [marker(0, "m")]);
        let mut place = tape.end();
        read(&mut tape, (1..6).map(|offset| notice(offset, "x")));
        assert_eq!(told(&tape, &mut place), ["gap 0 to 3", "4 x", "5 x", "6 x"]);
        read(&mut tape, [notice(6, &"y".repeat(99))]);
        assert_eq!(told(&tape, &mut place).len(), 1);
        let (mut late, gap) = tape.begin(Position(4));
        assert_eq!((gap, told(&tape, &mut late)[0].as_str()), (None, "gap 4 to 5"));
    }

    #[test]
    fn a_connection_that_reads_on_misses_nothing() {
        let mut tape = tape();
        assert_eq!(tape.rejoin(), None);
        read(&mut tape, [marker(4, "m"), notice(5, "a")]);
        let mut place = tape.end();
        assert_eq!(tape.rejoin(), Some(5));
        read(&mut tape, [notice(5, "a"), notice(6, "b")]);
        assert_eq!(told(&tape, &mut place), ["7 b"]);
    }

    #[test]
    fn what_the_server_let_go_of_meanwhile_is_a_gap() {
        let mut tape = tape();
        read(&mut tape, [notice(5, "a")]);
        let mut place = tape.end();
        read(&mut tape, [notice(9, "b")]);
        assert_eq!(told(&tape, &mut place), ["gap 6 to 9", "10 b"]);
    }

    #[test]
    fn a_stream_that_cannot_show_the_last_entry_again_puts_everything_in_doubt() {
        // Another one has its number, or it is gone.
        for entry in [notice(5, "b"), notice(8, "b"), notice(2, "b")] {
            let mut tape = tape();
            read(&mut tape, [notice(4, "x"), notice(5, "a")]);
            let (mut place, offset) = (tape.end(), entry.offset);
            tape.rejoin();
            assert!(tape.read(entry));
            let expected = [format!("gap 0 to {offset}"), format!("{} b", offset + 1)];
            assert_eq!(told(&tape, &mut place), expected);
        }
    }

    #[test]
    fn a_stream_that_has_become_shorter_is_read_from_its_end_and_everything_is_in_doubt() {
        let mut tape = tape();
        tape.lose();
        assert_eq!(tape.rejoin(), None, "nothing was read before");
        read(&mut tape, [notice(5, "a")]);
        let mut place = tape.end();
        assert_eq!(tape.rejoin(), Some(5));
        tape.lose();
        assert_eq!(tape.rejoin(), None);
        read(&mut tape, [marker(1, "m"), notice(2, "b")]);
        assert_eq!(told(&tape, &mut place), ["gap 0 to 1", "3 b"]);
        assert_eq!(tape.rejoin(), Some(2));
    }

    #[test]
    fn where_it_is_said_what_comes_next_all_before_is_in_doubt() {
        let mut tape = tape();
        tape.start(Position::START);
        let (mut first, gap) = tape.begin(Position::START);
        assert_eq!((tape.head(), gap), (Position::START, None), "there is nothing before");
        read(&mut tape, [notice(0, "a"), notice(1, "b")]);
        assert_eq!(told(&tape, &mut first), ["1 a", "2 b"]);
        tape.start(Position(7));
        assert_eq!((tape.rejoin(), tape.head()), (None, Position(7)));
        read(&mut tape, [notice(7, "c")]);
        assert_eq!(told(&tape, &mut first), ["gap 0 to 7", "8 c"]);
        // What lay between was let go of before it was read.
        tape.start(Position(9));
        let mut place = tape.end();
        read(&mut tape, [notice(11, "d")]);
        assert_eq!(told(&tape, &mut place), ["gap 9 to 11", "12 d"]);
    }

    #[test]
    fn a_position_that_may_be_of_a_lost_stream_or_was_never_given_puts_everything_in_doubt() {
        let mut tape = tape();
        read(&mut tape, [notice(5, "a"), notice(6, "b")]);
        for (after, certain) in [(4, false), (5, true), (7, true), (8, false)] {
            let (_, gap) = tape.begin(Position(after));
            assert_eq!(gap.is_none(), certain, "{after}");
        }
        tape.rejoin();
        read(&mut tape, [marker(0, "m"), notice(1, "c")]);
        assert_eq!(tape.begin(Position(2)).1.map(tell).as_deref(), Some("gap 0 to 2"), "it was given before");
        read(&mut tape, (2..9).map(|offset| notice(offset, "d")));
        assert_eq!(tape.begin(Position(8)).1, None);
    }
}
