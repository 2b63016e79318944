//! The lines of a message's history, as they are written.

use std::time::Duration;

use forebay_core::delivery::{History, Reason};
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Serialize, Deserialize)]
pub(crate) struct Line {
    queue: String,
    reason: u8,
    count: u64,
    at: u64,
    attempts: u32,
    note: Option<String>,
    exchange: Option<String>,
    routing_keys: Vec<String>,
    time_to_live: Option<Duration>,
}

/// In the order of their numbers.
const REASONS: [Reason; 5] =
    [Reason::Rejected, Reason::AttemptsSpent, Reason::Expired, Reason::Overflow, Reason::DeliveryLimit];

impl Line {
    pub(crate) fn of(line: &History) -> Self {
        let reason = REASONS.iter().position(|reason| *reason == line.reason).unwrap_or_default();
        Self {
            queue: line.queue.as_str().to_owned(),
            reason: reason as u8,
            count: line.count,
            at: line.at.as_ms(),
            attempts: line.attempts,
            note: line.note.clone(),
            exchange: line.exchange.clone(),
            routing_keys: line.routing_keys.clone(),
            time_to_live: line.time_to_live,
        }
    }

    /// `None` if it tells of no queue, or of a reason that is not known here.
    pub(crate) fn into_history(self) -> Option<History> {
        let reason = *REASONS.get(usize::from(self.reason))?;
        let line =
            History::new(QueueName::new(&self.queue).ok()?, reason, Instant::from_ms(self.at), self.attempts);
        Some(History {
            count: self.count,
            note: self.note,
            exchange: self.exchange,
            routing_keys: self.routing_keys,
            time_to_live: self.time_to_live,
            ..line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_number_and_another_number_is_none() {
        let queue = QueueName::new("q").unwrap();
        for (number, reason) in (0..).zip(REASONS) {
            let line = Line::of(&History::new(queue.clone(), reason, Instant::from_ms(1), 2));
            assert_eq!(line.reason, number);
            assert_eq!(line.into_history().unwrap().reason, reason);
        }
        let mut line = Line::of(&History::new(queue, Reason::Rejected, Instant::from_ms(1), 2));
        line.reason = 5;
        assert!(line.into_history().is_none());
    }
}
