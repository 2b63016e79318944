//! A queue's name and settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::payload::Payload;

/// Where messages go that a queue without a dead-letter queue of its own gives up.
pub const PARKED: &str = "forebay.parked";

/// A checked queue name: 1 to 255 bytes of UTF-8 without control characters.
///
/// ```
/// use forebay_core::queue::QueueName;
///
/// let name = QueueName::new("orders")?;
/// assert_eq!(name.as_str(), "orders");
/// assert!(QueueName::new("").is_err());
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Checks and takes `name`.
    pub fn new(name: &str) -> Result<Self> {
        if name.is_empty() || name.len() > limits::QUEUE_NAME_BYTES_MAX {
            return Err(Error::new(Kind::Invalid, "name queue", "a name has 1 to 255 bytes"));
        }
        if name.chars().any(char::is_control) {
            return Err(Error::new(Kind::Invalid, "name queue", "a name has no control characters"));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What happens to a publish when a queue is at its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The publisher is refused with `Full`.
    #[default]
    Reject,
    /// The oldest ready message is dropped, of those with the least priority that the queue tells apart: only because
    /// the user asked for it. Where the queue has a dead-letter exchange it goes there instead.
    DropHead,
    /// The publisher is refused with `Full`, and what it published goes to the dead-letter exchange, if the queue has one.
    RejectDeadLetter,
}

/// Where dead letters are published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterExchange {
    /// The exchange of the queue's virtual host; empty for the default one. It need not be there.
    pub exchange: String,
    /// The routing key; `None` is the one that each message was published with, and those of its header `CC`.
    pub key: Option<String>,
}

/// What is kept in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Messages are handed out in the order of their arrival, to as many consumers as ask.
    #[default]
    Arrival,
    /// The same, and of all messages with one key only one is in a consumer's hands or waits for its next attempt at
    /// a time; messages with other keys pass. Messages without a key are not held back.
    Key,
}

/// What a queue keeps of finished messages, to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Retain {
    /// Nothing: a finished message is forgotten.
    #[default]
    Nothing,
    /// Every message for so long after it was published, 1 second to 366 days, and longer until it is finished.
    For(Duration),
}

/// How long a queue is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// Until it is deleted.
    #[default]
    Durable,
    /// Until it is deleted, or the process ends in which it was declared: when the log is opened again it is gone with its
    /// messages. Nobody waits for these to be durable.
    Process,
}

/// How long to wait before the next attempt: `first` doubled for every failed attempt, up to `longest`, and a random
/// part of it taken off so that failures do not return together ("full jitter" scaled by `jitter`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failed attempt.
    pub first: Duration,
    /// Never longer.
    pub longest: Duration,
    /// The share of the wait that is random: 0.0 is none, 1.0 is anything from nothing to the whole.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300), jitter: 0.5 }
    }
}

/// When a failing message is tried again, and when no more.
///
/// ```
/// use std::time::Duration;
/// use forebay_core::queue::{Backoff, RetryPolicy};
///
/// let backoff = Backoff { first: Duration::from_secs(10), ..Backoff::default() };
/// let retry = RetryPolicy { attempt_max: 3, backoff };
/// # assert_ne!(retry, RetryPolicy::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all; 1 is no retry.
    pub attempt_max: u32,
    /// The wait between them.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempt_max: limits::ATTEMPTS_DEFAULT, backoff: Backoff::default() }
    }
}

/// A queue's settings. Declaring a queue again with equal settings does nothing; with others it is a `Conflict`.
///
/// ```
/// use std::time::Duration;
/// use forebay_core::queue::{QueueName, QueueSettings};
///
/// let mut orders = QueueSettings::new(QueueName::new("orders")?);
/// orders.hold = Duration::from_secs(120);
/// orders.dead_letter = Some(QueueName::new("orders that failed")?);
/// orders.check()?;
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// Its name.
    pub name: QueueName,
    /// What becomes of failures.
    pub retry: RetryPolicy,
    /// How long a delivery is held unless the receiver says otherwise.
    pub hold: Duration,
    /// Where spent or rejected messages go; `None` is [`PARKED`].
    pub dead_letter: Option<QueueName>,
    /// The exchange that dead letters are published to, before `dead_letter`. What it brings to no queue is parked: only what
    /// has come in a circle without ever having been rejected, and expired or overflowed again, is dropped.
    pub dead_letter_exchange: Option<DeadLetterExchange>,
    /// What comes in expires no later than after so long.
    pub message_ttl: Option<Duration>,
    /// Most messages that wait in the queue, ready or delayed; where the oldest are dropped, most that are ready. What
    /// consumers hold does not count. 0 only where the oldest are dropped.
    pub length_max: u64,
    /// Most bytes of payload of the ready messages in the queue.
    pub length_bytes_max: Option<u64>,
    /// What happens at `length_max`.
    pub overflow: Overflow,
    /// What is kept in order.
    pub order: Order,
    /// The greatest priority that is told apart, 0 to 255; a message above it counts as having this one. 0: messages
    /// are handed out without regard to priority.
    pub priority_max: u8,
    /// A message with a `dedup_id` that the queue took within this time before is not taken again; zero takes all. At
    /// most a day.
    pub dedup_window: Duration,
    /// What is kept of finished messages.
    pub retain: Retain,
    /// Of ready and delayed messages with one key only the newest is kept: a newer one replaces it. One that comes back
    /// from a consumer is dropped if a newer one with its key is there. Dead letters that come in are left alone.
    pub newest_by_key: bool,
    /// How long it is there.
    pub lifetime: Lifetime,
    /// What the front that declared it knows it by, such as AMQP's flags and arguments: bytes that mean nothing to the
    /// broker. At most 32 KiB. Declaring the queue again with others is no conflict, and leaves those that are there.
    pub declaration: Payload,
}

impl QueueSettings {
    /// The defaults for a queue of this name.
    pub fn new(name: QueueName) -> Self {
        Self {
            name,
            retry: RetryPolicy::default(),
            hold: limits::HOLD_DEFAULT,
            dead_letter: None,
            dead_letter_exchange: None,
            message_ttl: None,
            length_bytes_max: None,
            length_max: limits::QUEUE_LENGTH_DEFAULT,
            overflow: Overflow::default(),
            order: Order::default(),
            priority_max: 0,
            dedup_window: limits::DEDUP_WINDOW_DEFAULT,
            retain: Retain::default(),
            newest_by_key: false,
            lifetime: Lifetime::default(),
            declaration: Payload::empty(),
        }
    }

    /// Says which setting is outside its range, if one is.
    pub fn check(&self) -> Result<()> {
        let refuse =
            |what: &str| Err(Error::new(Kind::Invalid, "declare queue", format!("{}: {what}", self.name)));
        if self.retry.attempt_max == 0 || self.retry.attempt_max > limits::ATTEMPTS_MAX {
            return refuse("attempt_max must be 1 to 10000");
        }
        if !(0.0..=1.0).contains(&self.retry.backoff.jitter) {
            return refuse("jitter must be 0.0 to 1.0");
        }
        if self.retry.backoff.longest > limits::DELAY_MAX
            || self.retry.backoff.first > self.retry.backoff.longest
        {
            return refuse("backoff must not exceed its longest wait, nor that 366 days");
        }
        if self.hold < Duration::from_millis(1) || self.hold > limits::HOLD_MAX {
            return refuse("hold must be 1 ms to 12 hours");
        }
        if self.length_max == 0 && self.overflow != Overflow::DropHead {
            return refuse("length_max must be at least 1 unless the oldest are dropped");
        }
        if self.message_ttl.is_some_and(|ttl| ttl > limits::MESSAGE_TTL_MAX) {
            return refuse("message_ttl must be at most 100 years");
        }
        if let Some(DeadLetterExchange { exchange, key }) = &self.dead_letter_exchange
            && (exchange.len() > limits::EXCHANGE_NAME_BYTES_MAX
                || key.as_ref().is_some_and(|key| key.len() > limits::ROUTING_KEY_BYTES_MAX))
        {
            return refuse("dead-letter exchange and its key have at most 255 bytes");
        }
        if self.dedup_window > limits::DEDUP_WINDOW_MAX {
            return refuse("dedup_window must be at most 24 hours");
        }
        if let Retain::For(time) = self.retain
            && (time < Duration::from_secs(1) || time > limits::RETAIN_MAX)
        {
            return refuse("retain must be 1 second to 366 days");
        }
        if self.order == Order::Key && self.priority_max > 0 {
            return refuse("order by key and priorities exclude each other");
        }
        if self.declaration.len() > limits::QUEUE_DECLARATION_BYTES_MAX {
            return refuse("declaration must be at most 32 KiB");
        }
        if self.dead_letter.as_ref() == Some(&self.name) {
            return refuse("a queue cannot be its own dead-letter queue");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(QueueName::new("orders").is_ok());
        assert!(QueueName::new(&"q".repeat(255)).is_ok());
        assert!(QueueName::new(&"q".repeat(256)).is_err());
        assert!(QueueName::new("").is_err());
        assert!(QueueName::new("a\nb").is_err());
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
        assert!(settings.check().is_ok());
        settings.retry.attempt_max = 0;
        assert!(settings.check().unwrap_err().to_string().contains("attempt_max"));
    }

    #[test]
    fn a_declaration_at_its_limit_is_taken_and_beyond_it_refused() {
        let with = |bytes: usize| QueueSettings {
            declaration: vec![0; bytes].into(),
            ..QueueSettings::new(QueueName::new("q").unwrap())
        };
        assert!(with(limits::QUEUE_DECLARATION_BYTES_MAX).check().is_ok());
        let refused = with(limits::QUEUE_DECLARATION_BYTES_MAX + 1).check().unwrap_err();
        assert!(refused.to_string().contains("declaration"));
    }
}
