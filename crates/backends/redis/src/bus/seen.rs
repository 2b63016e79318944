//! What this process was told of the bus, and in which history of the server. Positions follow the servers' clocks: one that was
//! given by a former master may lie behind the first ones of the next, and who knows all up to it knows nothing of these.

use forebay_core::ports::bus::Position;

use crate::connect::{Facts, History};

pub(super) struct Seen {
    /// The server's own history, and the count of its fail-overs.
    history: Option<(History, u64)>,
    /// The number of the first connection in it.
    since: u64,
    /// The greatest position that was told in it.
    greatest: Position,
    /// The greatest of those before it.
    former: Position,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { history: None, since: 0, greatest: Position::START, former: Position::START }
    }

    /// A position was told over this connection. Says since which connection the history is that it was told in.
    pub(super) fn told(&mut self, connection: u64, facts: Facts, position: Position) -> u64 {
        if connection < self.since {
            // An answer that comes late.
            self.former = self.former.max(position);
            return connection;
        }
        let history = Some((facts.own_history, facts.epoch));
        if self.history != history {
            self.former = self.former.max(self.greatest);
            (self.history, self.since, self.greatest) = (history, connection, Position::START);
        }
        self.greatest = self.greatest.max(position);
        self.since
    }

    /// Whether this may be a position of an earlier history.
    pub(super) fn is_former(&self, position: Position) -> bool {
        position > Position::START && position <= self.former
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(history: u8, epoch: u64) -> Facts {
        let history = History([history; 4]);
        Facts { history, own_history: history, epoch, evicts: false, evicts_all: false, durable: None }
    }

    #[test]
    fn what_was_told_in_one_history_is_former_in_the_next() {
        let mut seen = Seen::new();
        assert_eq!(seen.told(1, facts(1, 0), Position(70)), 1);
        assert_eq!(seen.told(2, facts(1, 0), Position(60)), 1, "another connection in the same history");
        assert_eq!((seen.told(3, facts(2, 0), Position(11)), seen.former), (3, Position(70)));
        assert_eq!((seen.told(2, facts(1, 0), Position(75)), seen.former), (2, Position(75)), "it came late");
        assert_eq!(seen.told(4, facts(2, 1), Position(80)), 4, "another fail-over");
        assert_eq!((seen.told(4, facts(2, 1), Position(81)), seen.former), (4, Position(75)));
        assert!(seen.is_former(Position(75)) && !seen.is_former(Position(76)));
        assert!(!seen.is_former(Position::START), "it is one of every history");
    }
}
