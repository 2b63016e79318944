//! Where messages live: the port of the rules, and the operator's port beside it.

use std::sync::Arc;
use std::time::Duration;

use super::BoxFuture;
use crate::delivery::{Delivery, DeliveryId, Outcome, Settled};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::message::{Message, MessageId};
use crate::queue::{Order, Overflow, QueueName, QueueSettings, Retain, RetryPolicy};
use crate::stats::QueueStats;
use crate::time::Instant;

/// What a broker can do. What it lacks is refused at start by name, or done in the rules; never imitated quietly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerCapabilities {
    /// Keeps `not_before` and `RetryAt` by itself.
    pub delay: bool,
    /// Moves a message to a dead-letter queue, with its history; never into nothing, and into both only where the broker went
    /// away in between.
    pub dead_letter: bool,
    /// Can prolong a hold.
    pub extend: bool,
    /// Keeps counting attempts over a restart.
    pub attempts: bool,
    /// Hands out ended holds through [`Broker::expired`] so that the rules decide; else it redelivers by itself.
    pub expired: bool,
    /// Refuses publishes at `length_max`.
    pub length_max: bool,
    /// Drops messages whose `expires_at` has passed.
    pub expiry: bool,
    /// Keeps [`Order::Key`].
    pub order_by_key: bool,
    /// Hands out by priority.
    pub priorities: bool,
    /// Takes no second message with one `dedup_id` within the queue's window.
    pub dedup: bool,
    /// What failed or was seen comes back to its place in the queue; else behind what is there by then. What was returned
    /// untouched always comes back to its place.
    pub place: bool,
    /// A hold outlives the process and the connection of its holder; else what was held is ready again when these end.
    pub lasting_holds: bool,
    /// Keeps finished messages where a queue's settings ask for it.
    pub retain: bool,
    /// Keeps only the newest message of a key where a queue's settings ask for it.
    pub newest_by_key: bool,
    /// Lets what comes into a queue expire by its `message_ttl`.
    pub message_ttl: bool,
    /// Counts the bytes of a queue against its `length_bytes_max`.
    pub length_bytes_max: bool,
    /// Keeps a queue at its length by dropping the oldest: [`Overflow::DropHead`].
    pub drop_head: bool,
    /// Publishes dead letters to an exchange, `dead_letter_exchange`, and there what it refuses too:
    /// [`Overflow::RejectDeadLetter`].
    pub dead_letter_exchange: bool,
}

impl BrokerCapabilities {
    /// None of them.
    pub const NONE: Self = Self {
        delay: false,
        dead_letter: false,
        extend: false,
        attempts: false,
        expired: false,
        length_max: false,
        expiry: false,
        order_by_key: false,
        priorities: false,
        dedup: false,
        place: false,
        lasting_holds: false,
        retain: false,
        newest_by_key: false,
        message_ttl: false,
        length_bytes_max: false,
        drop_head: false,
        dead_letter_exchange: false,
    };

    /// `Unsupported` names the setting that a queue asks for and this broker cannot keep.
    ///
    /// ```
    /// use forebay_core::ports::broker::BrokerCapabilities;
    /// use forebay_core::queue::{QueueName, QueueSettings};
    ///
    /// let mut orders = QueueSettings::new(QueueName::new("orders")?);
    /// orders.priority_max = 9;
    /// let refused = BrokerCapabilities::NONE.check(&orders).unwrap_err();
    /// assert!(refused.to_string().contains("priority_max"));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn check(&self, settings: &QueueSettings) -> Result<()> {
        let overflow = match settings.overflow {
            Overflow::Reject => true,
            Overflow::DropHead => self.drop_head,
            Overflow::RejectDeadLetter => self.dead_letter_exchange,
        };
        let wanted = [
            ("length_max", settings.length_max != limits::QUEUE_LENGTH_DEFAULT, self.length_max),
            ("order", settings.order == Order::Key, self.order_by_key),
            ("priority_max", settings.priority_max > 0, self.priorities),
            ("retain", settings.retain != Retain::Nothing, self.retain),
            ("newest_by_key", settings.newest_by_key, self.newest_by_key),
            ("message_ttl", settings.message_ttl.is_some(), self.message_ttl),
            ("length_bytes_max", settings.length_bytes_max.is_some(), self.length_bytes_max),
            ("overflow", true, overflow),
            ("dead_letter_exchange", settings.dead_letter_exchange.is_some(), self.dead_letter_exchange),
        ];
        match wanted.iter().find(|(_, wanted, can)| *wanted && !can) {
            Some((setting, ..)) => {
                let context = format!("{}: {setting}", settings.name);
                Err(Error::new(Kind::Unsupported, "declare queue", context))
            }
            None => Ok(()),
        }
    }
}

/// What a receiver asks for.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// At most so many deliveries, 1 to 1,000.
    pub count_max: usize,
    /// How long each is held; `None` is the queue's own, and `Duration::MAX` as long as the broker's process lives: where
    /// messages outlive that, these are ready in their places when they are found again, and the attempts count.
    pub hold: Option<Duration>,
    /// Until when to wait for the first one; the past does not wait.
    pub wait_until: Instant,
}

/// A delivery that is still held, as far as deciding about it needs: without its message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held {
    /// 1 for the first.
    pub attempt: u32,
    /// The retry policy of its queue.
    pub retry: RetryPolicy,
    /// When the hold runs out.
    pub held_until: Instant,
}

/// Messages of a process or a backend. Everything the library's `Queue` and `Worker` need, and no more.
///
/// Whatever is asked, `Closed` says that the broker was closed on this side and stays so, and also ends what waits;
/// `Unavailable` says that it cannot be reached or cannot answer just now, and may be asked again.
pub trait Broker: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> BrokerCapabilities;

    /// Declares a queue. `Ok`: it is durable with these settings. `Conflict` names the setting that differs, `Unsupported`
    /// one that the broker cannot keep.
    /// May repeat.
    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>>;

    /// Publishes all messages, in order, into the queue. `Ok`: every one is durable. `Err`: none, some or all may be
    /// there; publishing again may duplicate. `Full` before anything was taken is back-pressure: try later.
    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>>;

    /// Hands out ready messages in order and holds them for the caller; empty when the wait was in vain.
    /// Dropping the future before it is ready takes nothing.
    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>>;

    /// Carries out the outcome of a held delivery. `Ok(Done)`: durable. `Ok(NotHeld)`: the hold had ended before, and
    /// nothing was changed. `Err`: the delivery still stands or the outcome holds. May repeat. `note` is kept in the
    /// history.
    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>>;

    /// What is known of the delivery, if it is still held.
    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>>;

    /// Holds the delivery from now for `hold`, and returns the new end; `None` if it is no longer held.
    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>>;

    /// Waits for deliveries whose hold has run out. They are still held, by the caller now, who must settle each. A large
    /// payload may be left out of them.
    /// A broker without the capability `expired` never answers. After `Closed` there is nothing more to wait for; after
    /// any other error it may be asked again.
    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>>;
}

/// A queue as an operator sees it.
#[derive(Clone, Debug)]
pub struct QueueInfo {
    /// Its settings.
    pub settings: QueueSettings,
    /// Its state.
    pub stats: QueueStats,
    /// True while it hands nothing out.
    pub paused: bool,
}

/// A message looked at without being taken.
#[derive(Clone, Debug)]
pub struct Peeked {
    /// What a consumer would get; its delivery id is of no use.
    pub delivery: Delivery,
}

/// A message found by its id.
#[derive(Clone, Debug)]
pub struct Found {
    /// What a consumer gets, or would get next; its delivery id is of no use.
    pub delivery: Delivery,
    /// Where in the queue it is.
    pub place: Place,
}

/// Where in its queue a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To be handed out.
    Ready,
    /// In a consumer's hands until then.
    Held(Instant),
    /// Ready from then on.
    Delayed(Instant),
}

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFrom {
    /// Behind the message at this position; 0 is the oldest that is kept.
    Position(u64),
    /// At the first message that was published then or later.
    Time(Instant),
}

/// A message that was read again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Its place in the queue, to go on from.
    pub position: u64,
    /// What was published.
    pub message: Arc<Message>,
    /// When the queue took it.
    pub published_at: Instant,
}

/// What the administration of a broker can do; the rest is refused with `Unsupported`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminCapabilities {
    /// Names all queues, those of other processes too.
    pub list: bool,
    /// Counts what is held and delayed, and what has happened, beside what is ready.
    pub counts: bool,
    /// Looks at messages without taking them.
    pub peek: bool,
    /// Finds a message by its id.
    pub find: bool,
    /// Pauses and resumes a queue.
    pub pause: bool,
}

impl AdminCapabilities {
    /// All of them.
    pub const ALL: Self = Self { list: true, counts: true, peek: true, find: true, pause: true };
}

/// Administration, apart so that [`Broker`] stays narrow.
pub trait BrokerAdmin: Send + Sync {
    /// What it can do beside telling a queue's depth, purging, redriving and deleting it. All, unless it says otherwise.
    fn capabilities(&self) -> AdminCapabilities {
        AdminCapabilities::ALL
    }

    /// All queues by name.
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>>;

    /// One queue, or `NotFound`.
    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>>;

    /// Looks at up to `count_max` ready messages from the front.
    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>>;

    /// Removes all ready and delayed messages, durably, and returns how many.
    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>>;

    /// Sends up to `count_max` dead letters of `queue` back to the queues they came from, durably, with fresh
    /// attempts, and returns how many. Those whose queue is gone stay.
    fn redrive<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<u64>>;

    /// The message with this id, wherever in the queue it is, without taking it. `None` if it is not there. Among several
    /// with one id it is the oldest. Looks through the whole queue.
    fn find<'a>(&'a self, queue: &'a QueueName, id: &'a MessageId) -> BoxFuture<'a, Result<Option<Found>>>;

    /// Stops or resumes handing out messages of the queue, durably; publishing goes on, and what is held may be settled.
    /// Receivers wait as if it were empty. May repeat.
    fn pause<'a>(&'a self, queue: &'a QueueName, paused: bool) -> BoxFuture<'a, Result<()>>;

    /// Reads up to `count_max` of the messages that the queue has and retains, in the order of their arrival, finished or
    /// not, without taking them; fewer where they are large, and none only behind the last. What was acknowledged is
    /// retained; what was dropped, purged, expired or dead-lettered is not. `Unsupported` where the queue retains nothing.
    fn replay<'a>(
        &'a self,
        queue: &'a QueueName,
        from: ReplayFrom,
        count_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>>;

    /// Removes the queue and its messages, durably.
    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>>;
}
