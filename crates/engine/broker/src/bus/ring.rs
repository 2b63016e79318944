//! The newest notices with their positions, within bounds.

use std::collections::VecDeque;

use forebay_core::payload::Payload;
use forebay_core::ports::bus::{Heard, Position};

/// Positions without a hole: the oldest notice that is kept has the one after `before`.
pub(super) struct Ring {
    before: Position,
    notices: VecDeque<Payload>,
    bytes: usize,
    notices_max: usize,
    bytes_max: usize,
}

impl Ring {
    pub(super) fn new(birth: Position, notices_max: usize, bytes_max: usize) -> Self {
        Self { before: birth, notices: VecDeque::new(), bytes: 0, notices_max, bytes_max }
    }

    pub(super) fn head(&self) -> Position {
        Position(self.before.0 + self.notices.len() as u64)
    }

    /// Takes a notice, and forgets the oldest ones beyond the bounds.
    pub(super) fn push(&mut self, notice: Payload) -> Position {
        self.bytes += notice.len();
        self.notices.push_back(notice);
        while self.notices.len() > self.notices_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.notices.pop_front() else { break };
            self.bytes -= oldest.len();
            self.before.0 += 1;
        }
        self.head()
    }

    /// What comes after `after`, and where its hearer is then; `None` if there is nothing yet.
    pub(super) fn after(&self, after: Position) -> Option<(Heard, Position)> {
        let head = self.head();
        if after > head {
            // Another life gave it, or nobody: what lies between cannot be told.
            return Some((Heard::Gap { from: Position::START, to: head }, head));
        }
        if after < self.before {
            let heard = Heard::Gap { from: after, to: self.before };
            return Some((heard, self.before));
        }
        let index = usize::try_from(after.0 - self.before.0).ok()?;
        let notice = self.notices.get(index)?.clone();
        let position = Position(after.0 + 1);
        Some((Heard::Notice { position, notice }, position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(notices_max: usize, bytes_max: usize) -> Ring {
        Ring::new(Position(100), notices_max, bytes_max)
    }

    #[test]
    fn at_its_bounds_it_keeps_all_and_beyond_them_it_forgets_the_oldest() {
        for mut ring in [ring(2, 1_000), ring(1_000, 8)] {
            ring.push("abcd".into());
            ring.push("efgh".into());
            assert_eq!(ring.before, Position(100));
            ring.push("ijkl".into());
            assert_eq!((ring.before, ring.head(), ring.bytes), (Position(101), Position(103), 8));
        }
    }

    #[test]
    fn a_notice_larger_than_all_room_is_a_gap_at_once() {
        let mut ring = ring(10, 3);
        assert_eq!(ring.push("abcd".into()), Position(101));
        let gap = Heard::Gap { from: Position(100), to: Position(101) };
        assert_eq!(ring.after(Position(100)), Some((gap, Position(101))));
        assert_eq!(ring.after(Position(101)), None);
    }

    #[test]
    fn a_position_that_was_never_given_puts_everything_in_doubt() {
        let mut ring = ring(10, 1_000);
        ring.push("a".into());
        let gap = Heard::Gap { from: Position::START, to: Position(101) };
        assert_eq!(ring.after(Position(102)), Some((gap, Position(101))));
    }
}
