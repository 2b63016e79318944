//! A message in a consumer's hands, how that ends, and what comes of it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind};
use crate::message::Message;
use crate::queue::{QueueName, RetryPolicy};
use crate::time::Instant;

/// Names one hold of one message. A later hold of the same message has another id, also after a restart, so that a
/// late acknowledgement cannot settle somebody else's delivery. Its text form is `position-token` in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    /// The message's place in its queue.
    pub position: u64,
    /// Drawn at random for every hold.
    pub token: u32,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:08x}", self.position, self.token)
    }
}

impl FromStr for DeliveryId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let hexadecimal = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
        text.split_once('-')
            .filter(|(position, token)| hexadecimal(position) && hexadecimal(token) && token.len() == 8)
            .and_then(|(position, token)| {
                Some(Self {
                    position: u64::from_str_radix(position, 16).ok()?,
                    token: u32::from_str_radix(token, 16).ok()?,
                })
            })
            .ok_or_else(|| Error::new(Kind::Invalid, "read delivery id", "not of the form position-token"))
    }
}

/// Why a delivery or a message ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The consumer refused it for good.
    Rejected,
    /// Every allowed attempt failed.
    AttemptsSpent,
    /// Its time to live passed before it was delivered.
    Expired,
    /// Its queue was at its length: it was the oldest there, or came too late.
    Overflow,
    /// It was given back more often than its queue allows.
    DeliveryLimit,
}

impl Reason {
    /// The word used in every protocol and file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::AttemptsSpent => "attempts_spent",
            Self::Expired => "expired",
            Self::Overflow => "overflow",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// One line of a dead letter's history: how often, and when last, it left this queue for this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The queue it left.
    pub queue: QueueName,
    /// Why.
    pub reason: Reason,
    /// How often.
    pub count: u64,
    /// The latest time.
    pub at: Instant,
    /// Attempts it had in that queue.
    pub attempts: u32,
    /// What the consumer said of the last failure, if it said something.
    pub note: Option<String>,
    /// The exchange by which it had come there first, if it had one.
    pub exchange: Option<String>,
    /// The routing keys with which it had, its own before those of its header `CC`; of many, the first.
    pub routing_keys: Vec<String>,
    /// The time to live that its publisher had given it, which has ended with this.
    pub time_to_live: Option<Duration>,
}

impl History {
    /// One departure from a queue that knows nothing of exchanges.
    pub fn new(queue: QueueName, reason: Reason, at: Instant, attempts: u32) -> Self {
        let (note, exchange, routing_keys, time_to_live) = (None, None, Vec::new(), None);
        Self { queue, reason, count: 1, at, attempts, note, exchange, routing_keys, time_to_live }
    }
}

/// A message held for one consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this hold.
    pub id: DeliveryId,
    /// Where it came from.
    pub queue: QueueName,
    /// What was published.
    pub message: Arc<Message>,
    /// 1 for the first.
    pub attempt: u32,
    /// The retry policy of its queue.
    pub retry: RetryPolicy,
    /// When the hold runs out.
    pub held_until: Instant,
    /// When the queue took it.
    pub published_at: Instant,
    /// How it came to be here, if it was a dead letter before.
    pub history: Vec<History>,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The consumer did the work.
    Acked,
    /// The consumer could not do it this time.
    Failed,
    /// The consumer will never be able to do it.
    Rejected,
    /// The consumer gives it back untouched; no failure, and no attempt used.
    Returned,
    /// The hold ran out without a word.
    Expired,
}

/// What becomes of a delivery that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is finished and forgotten.
    Done,
    /// It is ready again at once, in its old place.
    Return {
        /// Its consumer has seen it: the attempt counts. Else it is as if it had never been handed out.
        seen: bool,
    },
    /// It is tried again from then on.
    RetryAt(Instant),
    /// It leaves the queue for the dead-letter queue.
    DeadLetter(Reason),
}

/// What settling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outcome is durable.
    Done,
    /// The delivery was no longer held; nothing was changed.
    NotHeld,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_id_reads_back_from_its_text() {
        let id = DeliveryId { position: 0xabc, token: 0x12 };
        assert_eq!(id.to_string(), "abc-00000012");
        assert_eq!(id.to_string().parse::<DeliveryId>().unwrap(), id);
        for bad in [
            "",
            "-",
            "abc",
            "abc-12",
            "+1-00000012",
            "g-00000012",
            "1-000000123",
            "11111111111111111-00000000",
        ] {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad}");
        }
    }
}
