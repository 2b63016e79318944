//! One connection's place in its stream, without the connection: bytes in, answers out.

use forebay_core::limits::OUTPUT_BYTES_MAX;
use forebay_core::limits::memcached::{INPUT_BYTES, UNADMITTED_COMMANDS_MAX};
use forebay_wire::memcached::command::Command;
use forebay_wire::memcached::parse::{Limits, Parsed, parse};
use forebay_wire::memcached::refusal::Refusal;
use forebay_wire::memcached::{auth, binary};

use crate::access::gate;
use crate::backing::Backing;
use crate::execute::paused::Paused;
use crate::execute::run::Ran;
use crate::execute::turn::Turn;
use crate::reply;
use crate::watch::log::Watcher;

/// What is left of a stream's past when its bytes are gone.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Bytes still to be thrown away: the rest of a value that was refused.
    swallow: usize,
    /// Bytes at the head of the input that hold no line end.
    searched: usize,
    /// Where a command with many keys stopped.
    resume: Option<Resume>,
    /// What is spoken; `None` before the first byte.
    protocol: Option<Protocol>,
    /// Who is there has said who it is.
    admitted: bool,
    /// What was carried out or refused before that.
    unadmitted: usize,
    /// A place among those who watch.
    watcher: Option<Watcher>,
}

/// The first byte of a connection decides for all that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Text,
    Binary,
}

/// The command at the head of the input, some of it answered.
#[derive(Clone, Copy, Debug)]
struct Resume {
    paused: Paused,
    /// The length of its line.
    length: usize,
}

/// How far a turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the input that are done with.
    pub(crate) consumed: usize,
    /// What to do next.
    pub(crate) next: Next,
}

/// What to do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read. There is nothing to do before the input holds so many bytes, what is left of it included.
    Read {
        /// The number of bytes.
        needed: usize,
    },
    /// Send, then go on with what is left of the input: the output is full, or others have their turn first.
    Send,
    /// Send. The command at the head of what is left of the input cannot be carried out here and now.
    Ask,
    /// Send, then tell of what happens until the client goes.
    Watch,
    /// Send, then end the connection, as its client wishes.
    Quit,
    /// Send, then end the connection: it is of no use.
    Close,
}

/// The command at the head of an input.
pub(crate) struct Head<'i> {
    pub(crate) command: Command<'i>,
    /// How many bytes it takes.
    length: usize,
    /// How many bytes after those are to be thrown away unread.
    swallow: usize,
}

impl Session {
    /// The beginning of a stream of somebody who is `admitted`, or has to say first who it is.
    pub(crate) fn new(admitted: bool) -> Self {
        Self { admitted, ..Self::default() }
    }

    /// Whether who is there has said who it is, or need not.
    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Carries out every complete command of `input`, until the output is full or one turn's work is done.
    pub(crate) fn advance<S: Backing>(&mut self, input: &[u8], turn: &mut Turn<'_, S>) -> Progress {
        if self.protocol.is_none() {
            self.protocol = input.first().map(|first| match *first {
                binary::REQUEST_MAGIC => Protocol::Binary,
                _ => Protocol::Text,
            });
        }
        let mut consumed = 0;
        let next = loop {
            let swallowed = self.swallow.min(input.len().saturating_sub(consumed));
            consumed += swallowed;
            self.swallow -= swallowed;
            let rest = input.get(consumed..).unwrap_or_default();
            if rest.is_empty() {
                break Next::Read { needed: 1 };
            }
            if turn.out.len() >= OUTPUT_BYTES_MAX || consumed >= INPUT_BYTES {
                break Next::Send;
            }
            let (ran, length, swallow) = match self.resume.take() {
                None if !self.admitted && self.unadmitted >= UNADMITTED_COMMANDS_MAX => break Next::Close,
                Some(Resume { paused, length }) => (S::resume(turn, paused, rest), length, 0),
                None => match self.parse(rest, &turn.shared.limits) {
                    Parsed::Incomplete { needed, searched } => {
                        self.searched = searched;
                        break Next::Read { needed };
                    }
                    Parsed::Close => break Next::Close,
                    Parsed::Complete { command, consumed, swallow } => {
                        self.searched = 0;
                        (self.carry_out(turn, &command), consumed, swallow)
                    }
                },
            };
            match ran {
                Ran::Done => {
                    consumed += length;
                    self.swallow = swallow;
                }
                Ran::Paused(paused) => {
                    self.resume = Some(Resume { paused, length });
                    break Next::Send;
                }
                Ran::Asks(paused) => {
                    self.resume = paused.map(|paused| Resume { paused, length });
                    break Next::Ask;
                }
                Ran::Watches(kinds) => {
                    consumed += length;
                    self.watcher = turn.shared.watch_log.join(kinds);
                    if self.watcher.is_some() {
                        reply::line(turn.out, "OK");
                        break Next::Watch;
                    }
                    reply::line(turn.out, Refusal::TooManyWatchers.text());
                }
                Ran::Quit => break Next::Quit,
                Ran::Refused => break Next::Close,
            }
        };
        Progress { consumed, next }
    }

    /// The command at the head of `input`, or what is left of it; `None` if it is not there, or is not to be looked at yet.
    /// It stays there until it is [`done`](Self::done).
    pub(crate) fn head<'i>(&mut self, input: &'i [u8], limits: &Limits) -> Option<Head<'i>> {
        if self.swallow > 0 || input.is_empty() {
            return None;
        }
        if let Some(Resume { paused: Paused::Get(paused), length }) = self.resume {
            return Some(Head { command: Command::Get(paused.rest(input)), length, swallow: 0 });
        }
        match self.parse(input, limits) {
            Parsed::Complete { command, consumed, swallow } => {
                Some(Head { command, length: consumed, swallow })
            }
            // Whoever goes on from here finds the same.
            Parsed::Incomplete { .. } | Parsed::Close => None,
        }
    }

    /// The command is done, or is down to some of its keys, and so many bytes of the input are.
    pub(crate) fn done(&mut self, head: &Head<'_>, rest: Option<Paused>) -> usize {
        self.resume = rest.map(|paused| Resume { paused, length: head.length });
        self.searched = 0;
        if self.resume.is_some() {
            return 0;
        }
        self.swallow = head.swallow;
        head.length
    }

    /// The place of a client that watches, once.
    pub(crate) fn take_watcher(&mut self) -> Option<Watcher> {
        self.watcher.take()
    }

    /// Of somebody who has not said who it is nothing is awaited but a name and a password.
    fn parse<'i>(&self, input: &'i [u8], limits: &Limits) -> Parsed<'i> {
        let without_values = limits.without_values();
        match self.protocol {
            Some(Protocol::Binary) if self.admitted => binary::parse::parse(input, limits),
            Some(Protocol::Binary) => binary::parse::parse(input, &without_values),
            Some(Protocol::Text) | None if self.admitted => parse(input, self.searched, limits),
            Some(Protocol::Text) | None => auth::parse(input, self.searched, limits),
        }
    }

    fn carry_out<S: Backing>(&mut self, turn: &mut Turn<'_, S>, command: &Command<'_>) -> Ran {
        self.unadmitted += usize::from(!self.admitted);
        match &turn.shared.options.users {
            Some(users) => gate::pass(&mut self.admitted, users, turn, command),
            None => S::run(turn, command),
        }
    }

    /// Gives up the value that the command at the head of `input` waits for, because there is no memory for it. What is not
    /// known to be a write cannot be answered: the connection ends.
    pub(crate) fn give_up<S: Backing>(&mut self, input: &[u8], turn: &mut Turn<'_, S>) -> Progress {
        if !self.admitted {
            return Progress { consumed: 0, next: Next::Close };
        }
        self.searched = 0;
        let (command, head, swallow) = match self.parse(input, &turn.shared.limits.without_values()) {
            Parsed::Complete { command, consumed, swallow } if command.is_oversized() => {
                (command, consumed, swallow)
            }
            _ => return Progress { consumed: 0, next: Next::Close },
        };
        S::refuse(turn, &command);
        self.swallow = swallow;
        let progress = self.advance(input.get(head..).unwrap_or_default(), turn);
        Progress { consumed: head + progress.consumed, ..progress }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use forebay_core::entry::Version;
    use forebay_core::limits::memcached::TURN_KEYS_MAX;
    use forebay_core::ports::BoxFuture;
    use forebay_core::ports::clock::Clock;
    use forebay_core::time::Instant;
    use forebay_memory::{Memory, MemoryOptions};

    use super::*;
    use crate::options::Options;
    use crate::serve::bind::Addresses;
    use crate::shared::Shared;
    use crate::stats::counters::{Count, Tally};
    use crate::told::Told;
    use crate::watch::events::Events;

    const MIB: usize = 1024 * 1024;

    /// Time that passes when it is told to.
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Instant {
            Instant::from_ms(self.0.load(Relaxed))
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn random(&self) -> u64 {
            4
        }
    }

    struct Client {
        session: Session,
        shared: Shared<Memory>,
        clock: Arc<Hand>,
        out: Vec<u8>,
        tally: Tally,
    }

    impl Client {
        fn new() -> Self {
            let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
            let store = Arc::new(Memory::new(MemoryOptions {
                bytes_max: 64 * MIB,
                value_bytes_max: MIB,
                first_version: Version(1),
            }));
            let clock_port: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
            let shared = Shared::new(Options::default(), Addresses::default(), store, clock_port);
            Self { session: Session::new(true), shared, clock, out: Vec::new(), tally: Tally::default() }
        }

        fn pass(&self, seconds: u64) {
            self.clock.0.fetch_add(seconds * 1000, Relaxed);
        }

        fn advance(&mut self, input: &[u8]) -> Progress {
            self.out.clear();
            let mut turn = Turn {
                shared: &self.shared,
                store: Told::new(&*self.shared.store, Events::new(&self.shared.watch_log, 2)),
                now: self.shared.clock.now(),
                out: &mut self.out,
                tally: &mut self.tally,
                connection: 2,
            };
            self.session.advance(input, &mut turn)
        }

        fn ask(&mut self, input: &str) -> String {
            let progress = self.advance(input.as_bytes());
            assert_eq!(progress, Progress { consumed: input.len(), next: Next::Read { needed: 1 } });
            String::from_utf8_lossy(&self.out).into_owned()
        }
    }

    #[test]
    fn a_batch_of_hits_allocates_nothing() {
        let mut client = Client::new();
        client.ask("set a 7 0 100\r\n0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\r\n");
        let batch =
            "get a\r\ngets a none a\r\nmg a v c k t f Oq\r\nmg YQ== b v k\r\ngat 100 a\r\ntouch a 100\r\n"
                .repeat(32);
        client.ask(&batch);
        let counted = allocation_counter::measure(|| {
            client.advance(batch.as_bytes());
        });
        assert_eq!(counted.count_total, 0);
        assert_eq!(client.tally.get(Count::GetHits), 2 * 32 * 5);
    }

    #[test]
    fn an_entry_ends_on_the_second() {
        let mut client = Client::new();
        client.ask("set rel 0 10 1\r\nx\r\nset abs 0 1700000010 1\r\ny\r\nset far 0 2592000 1\r\nz\r\n");
        client.pass(9);
        assert_eq!(client.ask("mg rel t\r\nmg abs t\r\nmg far t\r\n"), "HD t1\r\nHD t1\r\nHD t2591991\r\n");
        client.pass(1);
        assert_eq!(client.ask("mg rel t\r\nmg abs t\r\nmg far t\r\n"), "EN\r\nEN\r\nHD t2591990\r\n");
    }

    #[test]
    fn a_delayed_flush_takes_effect_when_its_time_comes() {
        let mut client = Client::new();
        assert_eq!(client.ask("set a 0 0 1\r\nx\r\nflush_all 11\r\nmg a\r\n"), "STORED\r\nOK\r\nHD\r\n");
        client.pass(9);
        assert_eq!(client.ask("set b 0 0 1\r\nx\r\nmg a\r\n"), "STORED\r\nHD\r\n");
        client.pass(1);
        assert_eq!(
            client.ask("mg a\r\nmg b\r\nset a 0 0 1\r\ny\r\nmg a\r\n"),
            "EN\r\nEN\r\nSTORED\r\nHD\r\n"
        );
    }

    #[test]
    fn a_flush_and_a_write_in_the_same_batch_keep_their_order() {
        let mut client = Client::new();
        let answer = client.ask("set a 0 0 1\r\nx\r\nflush_all\r\nget a\r\nset a 0 0 1\r\ny\r\nget a\r\n");
        assert_eq!(answer, "STORED\r\nOK\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\ny\r\nEND\r\n");
    }

    #[test]
    fn a_lease_that_nobody_fills_is_granted_again() {
        let mut client = Client::new();
        assert_eq!(client.ask("mg a v N10\r\nmg a v N10\r\n"), "VA 0 W\r\n\r\nVA 0 Z\r\n\r\n");
        client.pass(10);
        assert_eq!(client.ask("mg a v N10\r\n"), "VA 0 W\r\n\r\n");
    }

    #[test]
    fn a_fill_after_an_invalidation_is_refused() {
        let mut client = Client::new();
        let granted = client.ask("mg a N10 c\r\n");
        let version: String = granted.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(client.ask("md a\r\n"), "HD\r\n");
        assert_eq!(client.ask(&format!("ms a 3 C{version}\r\nold\r\n")), "NF\r\n");
        client.ask("mg a N10\r\n");
        assert_eq!(client.ask(&format!("ms a 3 C{version}\r\nold\r\n")), "EX\r\n");
    }

    #[test]
    fn an_output_that_is_full_pauses_between_commands_and_between_keys() {
        let mut client = Client::new();
        let value = "v".repeat(300_000);
        client.ask(&format!("set a 0 0 300000\r\n{value}\r\n"));
        let input = format!("get{}\r\nmn\r\n", " a".repeat(10));
        let (mut rest, mut answer, mut turns) = (input.as_bytes(), Vec::new(), 0);
        loop {
            let progress = client.advance(rest);
            assert!(client.out.len() <= OUTPUT_BYTES_MAX + 300_100, "{}", client.out.len());
            answer.extend_from_slice(&client.out);
            rest = &rest[progress.consumed..];
            turns += 1;
            if progress.next != Next::Send {
                break;
            }
        }
        assert_eq!(turns, 3);
        let whole = format!("VALUE a 0 300000\r\n{value}\r\n").repeat(10) + "END\r\nMN\r\n";
        assert!(answer == whole.as_bytes());
        assert_eq!(client.tally.get(Count::Gets), 10);
    }

    #[test]
    fn a_get_of_keys_that_are_not_there_pauses_too() {
        let mut client = Client::new();
        let input = format!("get{}\r\n", " k".repeat(2 * TURN_KEYS_MAX + 1));
        for turn in 1..=2 {
            assert_eq!(client.advance(input.as_bytes()), Progress { consumed: 0, next: Next::Send });
            assert_eq!(client.tally.get(Count::Gets), (turn * TURN_KEYS_MAX) as u64);
        }
        assert_eq!(client.ask(&input), "END\r\n");
    }

    #[test]
    fn a_get_that_goes_on_looks_at_none_of_its_answered_keys_again() {
        const KEYS: usize = 100_000;
        let mut client = Client::new();
        client.ask(&format!("set k 0 0 10000\r\n{}\r\n", "v".repeat(10_000)));
        let mut input = format!("get{}\r\nmn\r\n", " k".repeat(KEYS)).into_bytes();
        let (mut consumed, mut hits) = (0, 0);
        while consumed == 0 {
            consumed = client.advance(&input).consumed;
            let answered = (client.tally.get(Count::GetHits) - hits) as usize;
            assert!((1..=TURN_KEYS_MAX).contains(&answered));
            hits += answered as u64;
            // What it has no business with any more would now be answered otherwise, and would end the line.
            input[..3 + 2 * hits as usize].fill(b'\n');
        }
        assert_eq!(hits, KEYS as u64);
        assert!(client.out.ends_with(b"\r\nEND\r\n"));
        assert_eq!(&input[consumed..], b"mn\r\n");
    }

    #[test]
    fn a_long_input_is_more_than_one_turn() {
        let mut client = Client::new();
        let input = b"mg k q\r\n".repeat(INPUT_BYTES / 8 + 1);
        let progress = client.advance(&input);
        assert_eq!(progress, Progress { consumed: INPUT_BYTES, next: Next::Send });
    }

    #[test]
    fn a_value_is_awaited_once_and_not_looked_at_before() {
        let mut client = Client::new();
        let progress = client.advance(b"mn\r\nset a 0 0 1000\r\nabc");
        assert_eq!(progress, Progress { consumed: 4, next: Next::Read { needed: 16 + 1002 } });
    }

    #[test]
    fn a_refused_value_is_swallowed_over_many_turns() {
        let mut client = Client::new();
        client.advance(b"set a 0 0 2000000\r\n");
        assert_eq!(client.out, b"SERVER_ERROR object too large for cache\r\n");
        for _ in 0..2000 {
            assert_eq!(client.advance(&[b'x'; 1000]).consumed, 1000);
            assert_eq!(client.out, b"");
        }
        assert_eq!(client.ask("\r\nmn\r\n"), "MN\r\n");
    }

    #[test]
    fn what_was_counted_before_a_reset_is_gone_and_what_is_stays() {
        let mut client = Client::new();
        client.ask("set a 0 0 1\r\nx\r\nget a\r\nget b\r\nstats reset\r\nget a\r\n");
        let stats = client.ask("stats\r\n");
        for line in ["get_hits 1", "get_misses 0", "cmd_get 1", "cmd_set 0", "curr_items 1", "total_items 0"]
        {
            assert!(stats.contains(&format!("STAT {line}\r\n")), "{line} in {stats}");
        }
    }

    #[test]
    fn a_new_memory_limit_holds_and_is_shown() {
        let mut client = Client::new();
        assert_eq!(client.ask("cache_memlimit 100\r\n"), "OK\r\n");
        assert!(client.ask("stats\r\n").contains("STAT limit_maxbytes 104857600\r\n"));
        assert_eq!(client.ask("cache_memlimit 8 noreply\r\n"), "");
        let settings = client.ask("stats settings\r\n");
        assert!(settings.contains("STAT maxbytes 8388608\r\n"));
        assert!(!settings.contains("pinned"), "no key is");
        let refused = "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n";
        assert_eq!(client.ask("cache_memlimit 1000000000\r\n"), refused);
        assert!(client.ask("stats\r\n").contains("STAT limit_maxbytes 8388608\r\n"));
    }

    #[test]
    fn nothing_that_was_flushed_is_counted() {
        let mut client = Client::new();
        for number in 0..100 {
            client.ask(&format!("set key{number} 0 0 1\r\nx\r\n"));
        }
        client.pass(1);
        let stats = client.ask("flush_all\r\nstats\r\n");
        assert!(stats.contains("STAT curr_items 0\r\n") && stats.contains("STAT bytes 0\r\n"), "{stats}");
    }
}
