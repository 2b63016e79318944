//! What a listener hears, decided from what the server says.

use std::collections::VecDeque;

use forebay_core::payload::Payload;
use forebay_core::ports::bus::{Heard, Position};
use redis::Value;

use crate::broker::answers::Fields;

/// Bits of a position that count within a millisecond.
const SEQUENCE_BITS: u32 = 20;

/// What one reading brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// All up to it is in doubt for who stands before it.
    pub(super) doubt: Position,
    /// The last one that gave way.
    pub(super) trimmed: Position,
    pub(super) head: Position,
    pub(super) notices: Vec<(Position, Payload)>,
}

impl Reading {
    pub(super) fn of(answer: Value) -> Option<Self> {
        let mut fields = Fields::of(answer)?;
        let mut position = || read_id(&fields.text()?);
        let (doubt, trimmed, head) = (position()?, position()?, position()?);
        let mut notices = Vec::new();
        while !fields.is_empty() {
            notices.push((read_id(&fields.text()?)?, Payload::from(fields.bytes()?)));
        }
        Some(Self { doubt, trimmed, head, notices })
    }

    /// What a listener hears who knows what another server gave, and of this one nothing for certain.
    pub(super) fn heard_after_another(self) -> (VecDeque<Heard>, Position) {
        let gap = Heard::Gap { from: Position::START, to: self.head };
        (VecDeque::from([gap]), self.head)
    }

    /// What a listener hears who knows all up to `after`, and up to where it knows all then.
    pub(super) fn heard_after(self, after: Position) -> (VecDeque<Heard>, Position) {
        let (mut heard, mut after) = (VecDeque::new(), after);
        let gap = if after > self.head {
            // It was never given, or is lost.
            Some((Position::START, self.head))
        } else if after < self.doubt {
            Some((Position::START, self.doubt.max(self.trimmed)))
        } else if after < self.trimmed {
            Some((after, self.trimmed))
        } else {
            None
        };
        if let Some((from, to)) = gap {
            heard.push_back(Heard::Gap { from, to });
            after = to;
        }
        for (position, notice) in self.notices.into_iter().filter(|(position, _)| *position > after) {
            heard.push_back(Heard::Notice { position, notice });
        }
        let last = heard.back().map_or(after, |last| match last {
            Heard::Notice { position, .. } => *position,
            Heard::Gap { to, .. } => *to,
        });
        (heard, last)
    }
}

/// The position that an entry's id stands for: its milliseconds, and its number within them.
pub(super) fn read_id(id: &str) -> Option<Position> {
    let (ms, sequence) = id.split_once('-')?;
    let (ms, sequence): (u64, u64) = (ms.parse().ok()?, sequence.parse().ok()?);
    let fits = ms < 1 << (u64::BITS - SEQUENCE_BITS) && sequence < 1 << SEQUENCE_BITS;
    fits.then_some(Position(ms << SEQUENCE_BITS | sequence))
}

/// The id of a position.
pub(super) fn id_of(position: Position) -> String {
    format!("{}-{}", position.0 >> SEQUENCE_BITS, position.0 & ((1 << SEQUENCE_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(doubt: u64, trimmed: u64, head: u64, notices: &[u64]) -> Reading {
        let notice = |at: &u64| (Position(*at), Payload::empty());
        Reading {
            doubt: Position(doubt),
            trimmed: Position(trimmed),
            head: Position(head),
            notices: notices.iter().map(notice).collect(),
        }
    }

    fn told(reading: Reading, after: u64) -> (Vec<String>, u64) {
        let (heard, last) = reading.heard_after(Position(after));
        let tell = |heard: &Heard| match heard {
            Heard::Notice { position, .. } => position.0.to_string(),
            Heard::Gap { from, to } => format!("gap {} to {}", from.0, to.0),
        };
        (heard.iter().map(tell).collect(), last.0)
    }

    #[test]
    fn ids_are_positions_in_their_order() {
        for id in ["0-0", "1763766000123-0", "1763766000123-1048575"] {
            assert_eq!(id_of(read_id(id).unwrap()), id);
        }
        assert!(read_id("5-1048575").unwrap() < read_id("6-0").unwrap());
        for bad in ["", "5", "-1-0", "5-1048576", "17592186044416-0"] {
            assert!(read_id(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn who_knows_all_before_hears_what_comes_and_no_gap() {
        assert_eq!(told(reading(2, 4, 7, &[6, 7]), 4), (vec!["6".into(), "7".into()], 7));
        assert_eq!(told(reading(2, 4, 7, &[]), 7), (vec![], 7));
    }

    #[test]
    fn what_gave_way_is_a_gap() {
        assert_eq!(
            told(reading(1, 5, 7, &[6, 7]), 3),
            (vec!["gap 3 to 5".into(), "6".into(), "7".into()], 7)
        );
    }

    #[test]
    fn who_stands_before_a_doubt_doubts_everything() {
        assert_eq!(
            told(reading(5, 2, 7, &[4, 6, 7]), 3),
            (vec!["gap 0 to 5".into(), "6".into(), "7".into()], 7)
        );
        assert_eq!(told(reading(5, 6, 7, &[7]), 3), (vec!["gap 0 to 6".into(), "7".into()], 7));
    }

    #[test]
    fn a_position_that_was_never_given_puts_everything_in_doubt() {
        assert_eq!(told(reading(1, 2, 7, &[]), 9), (vec!["gap 0 to 7".into()], 7));
    }
}
