//! The broker as others hold it: opening, closing, and the two ports.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{
    Broker, BrokerAdmin, BrokerCapabilities, Found, Held, Peeked, QueueInfo, Receive, ReplayFrom, Replayed,
};
use forebay_core::ports::clock::{Clock, Work};
use forebay_core::ports::files::Files;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_log::{Class, Log, LogOptions};

use crate::engine::{Engine, yield_now};
use crate::memory::hot::Hot;
use crate::records::{Record, SMALL_BYTES_MAX};
use crate::settle::Settling;
use crate::storage::claims::desk;
use crate::storage::journal::Journal;
use crate::storage::recover::{Rebuilt, Recovered, Replay};
use crate::storage::space;
use crate::timers;

/// What can be set when a broker is opened.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Its log.
    pub log: LogOptions,
    /// Memory for the bodies of waiting messages, over all queues; the rest is read from the log when it is delivered.
    pub hot_bytes_max: usize,
    /// A longer payload, and one that no segment of the log takes, lies in a file of its own beside the log.
    pub claim_above_bytes: usize,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            log: LogOptions::default(),
            hot_bytes_max: limits::QUEUE_HOT_BYTES_DEFAULT,
            claim_above_bytes: limits::CLAIM_ABOVE_BYTES_DEFAULT,
        }
    }
}

impl BrokerOptions {
    /// Says which setting is outside its range, if one is.
    pub fn check(&self) -> Result<()> {
        self.log.check()?;
        let disk_bytes_min = limits::log::BROKER_SEGMENTS_MIN * u64::from(self.log.segment_bytes);
        if self.log.disk_bytes_max < disk_bytes_min {
            let context = format!("disk_bytes_max must be at least {disk_bytes_min}");
            return Err(Error::new(Kind::Invalid, "open broker", context));
        }
        Ok(())
    }
}

/// A broker that was opened.
pub struct OpenedBroker {
    /// The broker.
    pub broker: Arc<EmbeddedBroker>,
    /// What must be run for it to work; all of it ends when the broker is closed or dropped.
    pub work: Vec<Work>,
    /// What was found in the log.
    pub recovered: Recovered,
}

/// Opens the broker whose log is in `files`, and rebuilds its queues. `Damaged`: the log holds what it should not, and
/// the options say to refuse that. `Invalid`: an option.
pub fn open(files: Arc<dyn Files>, options: BrokerOptions, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
    options.check()?;
    let mut replay = Replay::new(clock.now(), &options.log);
    let opened = forebay_log::open(files.clone(), options.log.clone(), &mut |record| replay.apply(record))?;
    let journal = Journal::new(opened.log, &options.log, files, options.claim_above_bytes);
    let Rebuilt { hosts, topology, recovered } = replay.finish(&journal, opened.recovered)?;
    let engine = Arc::new(Engine::new(journal, hosts, topology, Hot::new(options.hot_bytes_max), clock));
    for queue in engine.topology.all() {
        engine.changed(&queue, &mut queue.state.lock());
    }
    let mut work = opened.work;
    work.push(timers::work(engine.clone()));
    work.push(space::work(engine.clone()));
    work.extend(desk::work(&engine));
    let in_doubt = recovered.log.in_doubt;
    Ok(OpenedBroker { broker: Arc::new(EmbeddedBroker { engine, in_doubt }), work, recovered })
}

/// Queues on the commit log of this process. Dropping the last handle closes it.
pub struct EmbeddedBroker {
    pub(crate) engine: Arc<Engine>,
    /// The last sequence that was found in a log that had not been closed in good order, at this opening or an earlier one.
    in_doubt: u64,
}

impl EmbeddedBroker {
    /// Whether the message may have been delivered before, whatever its attempts say: the process that had it did not end
    /// in good order, and a delivery is not waited for to be durable. Known for as long as the message is in its queue.
    pub fn may_have_been_delivered(&self, delivery: DeliveryId) -> bool {
        delivery.position <= self.in_doubt
    }

    /// The log below, for its statistics.
    pub fn log(&self) -> &Log {
        &self.engine.journal.log
    }

    /// Takes nothing more, ends all waits with `Closed`, and lets the work finish what was taken. Returns at once.
    pub fn close(&self) {
        self.engine.close();
    }

    /// The number of the queue of this name, if there is one. A queue that is declared anew by the name of one that was deleted
    /// has another, and a greater one.
    ///
    /// ```
    /// # fn look(broker: &forebay_broker::EmbeddedBroker) -> forebay_core::error::Result<Option<u64>> {
    /// use forebay_core::queue::QueueName;
    ///
    /// Ok(broker.queue_number(&QueueName::new("orders")?))
    /// # }
    /// ```
    pub fn queue_number(&self, queue: &QueueName) -> Option<u64> {
        self.engine.topology.find(queue).ok().map(|queue| queue.number)
    }

    /// When somebody last used the queue who takes from it, not counting those who hold what they took for as long as the process
    /// lives, nor what they settle: now, where one waits or holds something. `None`: it is gone.
    pub fn used_at(&self, queue: &QueueName) -> Option<Instant> {
        self.engine.topology.find(queue).ok()?.used_at(self.engine.clock.now()).ok()
    }

    /// As [`ensure`](Broker::ensure), and says the queue's number.
    pub async fn declare(&self, settings: &QueueSettings) -> Result<u64> {
        settings.check()?;
        let engine = &self.engine;
        let declare = || engine.topology.declare(&engine.journal, settings, limits::QUEUES_MAX);
        let length = Record::Declare { number: 0, settings: settings.clone(), paused: false }.head().len();
        let queue = engine.when_ready(Class::New, length, declare).await?;
        let declared = queue.lock()?.declared;
        if let Some(declared) = declared {
            self.durable(queue.awaited(declared.location.sequence)).await?;
        }
        Ok(queue.number)
    }

    /// As [`delete`](BrokerAdmin::delete), of the queue with this number. `NotFound`: it is gone, whether or not there is
    /// another of its name.
    pub async fn delete_numbered(&self, queue: &QueueName, number: u64) -> Result<()> {
        self.durable(self.engine.delete(queue, Some(number)).await?).await
    }

    /// As [`publish`](Broker::publish), of messages that stay with the caller until they are taken, and that several queues may
    /// share. `Full`: `messages` are as
    /// they were, to be published again, or none where the queue sends what it refuses through its dead-letter exchange and
    /// has done so. Any other error: none was taken that `messages` still has.
    pub async fn publish_from(
        &self,
        queue: &QueueName,
        messages: &mut Vec<Arc<Message>>,
    ) -> Result<Vec<MessageId>> {
        let (ids, sequence) = self.engine.publish_from(queue, messages).await?;
        self.durable(sequence).await?;
        Ok(ids)
    }

    /// As [`settle`](Broker::settle), of several deliveries of one queue, with one wait until all is durable. Returns how many
    /// of them were held. `Err`: none, some or all are settled; a message that cannot be read is left alone for a while, held by
    /// nobody, and the others are settled all the same. May repeat.
    pub async fn settle_many(
        &self,
        queue: &QueueName,
        deliveries: &[DeliveryId],
        outcome: Outcome,
    ) -> Result<u64> {
        let (class, length) = self.needs(outcome);
        let mut progress = Settling::default();
        loop {
            let before = progress.seen;
            let settle = || self.engine.settle_many(queue, deliveries, outcome, &mut progress);
            match self.engine.when_ready(class, length, settle).await {
                Err(error) if error.kind() == Kind::Full && progress.seen > before => {}
                settled => settled?,
            }
            if progress.seen >= deliveries.len() {
                break;
            }
            yield_now().await;
        }
        self.durable(progress.last).await?;
        progress.refused.map_or(Ok(progress.settled), Err)
    }

    /// The log's room that carrying out the outcome needs.
    fn needs(&self, outcome: Outcome) -> (Class, usize) {
        match outcome {
            Outcome::Done => (Class::Free, SMALL_BYTES_MAX),
            Outcome::Return { .. } | Outcome::RetryAt(_) => (Class::Step, SMALL_BYTES_MAX),
            Outcome::DeadLetter(_) => (Class::Free, self.engine.journal.message_bytes_max()),
        }
    }

    async fn durable(&self, sequence: u64) -> Result<()> {
        self.log().durable(sequence).await
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the engine can do: everything.
pub const CAPABILITIES: BrokerCapabilities = BrokerCapabilities {
    delay: true,
    dead_letter: true,
    extend: true,
    attempts: true,
    expired: true,
    place: true,
    lasting_holds: true,
    length_max: true,
    expiry: true,
    order_by_key: true,
    priorities: true,
    dedup: true,
    retain: true,
    newest_by_key: true,
    message_ttl: true,
    length_bytes_max: true,
    drop_head: true,
    dead_letter_exchange: true,
};

impl Broker for EmbeddedBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        CAPABILITIES
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.declare(settings).await.map(drop) })
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        let mut messages: Vec<_> = messages.into_iter().map(Arc::new).collect();
        Box::pin(async move { self.publish_from(queue, &mut messages).await })
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(self.engine.receive(queue, receive))
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(async move {
            let (class, length) = self.needs(outcome);
            let settle = || self.engine.settle(queue, delivery, outcome, note);
            match self.engine.when_ready(class, length, settle).await? {
                Some(sequence) => self.durable(sequence).await.map(|()| Settled::Done),
                None => Ok(Settled::NotHeld),
            }
        })
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(async move { self.engine.held(queue, delivery) })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move { self.engine.extend(queue, delivery, hold) })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(self.engine.expired())
    }
}

impl BrokerAdmin for EmbeddedBroker {
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        Box::pin(async move { Ok(self.engine.infos()) })
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(async move { self.engine.info(&*self.engine.topology.find(queue)?) })
    }

    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        Box::pin(self.engine.peek(queue, count_max))
    }

    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let (purged, sequence) = self.engine.purge(queue).await?;
            self.durable(sequence).await.map(|()| purged)
        })
    }

    fn redrive<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let (redriven, sequence) = self.engine.redrive(queue, count_max).await?;
            self.durable(sequence).await.map(|()| redriven)
        })
    }

    fn find<'a>(&'a self, queue: &'a QueueName, id: &'a MessageId) -> BoxFuture<'a, Result<Option<Found>>> {
        Box::pin(self.engine.find(queue, id))
    }

    fn pause<'a>(&'a self, queue: &'a QueueName, paused: bool) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.durable(self.engine.pause(queue, paused)?).await })
    }

    fn replay<'a>(
        &'a self,
        queue: &'a QueueName,
        from: ReplayFrom,
        count_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>> {
        Box::pin(self.engine.replay(queue, from, count_max))
    }

    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.durable(self.engine.delete(queue, None).await?).await })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay_core::delivery::Outcome;
    use forebay_core::error::Kind;
    use forebay_core::message::{Message, MessageId};
    use forebay_core::queue::{QueueName, QueueSettings};

    use crate::bench::Bench;

    #[test]
    fn messages_that_are_not_taken_stay_with_their_publisher() {
        let bench = Bench::new(1_000);
        let settings = QueueSettings { length_max: 2, ..QueueSettings::new(QueueName::new("q").unwrap()) };
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        let message = || Arc::new(Message::new(MessageId::given("m").unwrap(), "body".into()));
        bench.publish(&settings.name, 1);
        let mut messages = vec![message(), message()];
        let publish = |messages: &mut Vec<Arc<Message>>| {
            bench
                .until_ready(bench.broker.publish_from(&settings.name, messages))
                .map_err(|error| error.kind())
        };
        assert_eq!(publish(&mut messages), Err(Kind::Full));
        assert_eq!(messages, [message(), message()]);
        messages.pop();
        assert_eq!(publish(&mut messages).map(|ids| ids.len()), Ok(1));
        assert!(messages.is_empty());
    }

    #[test]
    fn a_message_that_goes_to_several_queues_is_in_memory_once() {
        let bench = Bench::new(1_000);
        let message = Arc::new(Message::new(MessageId::given("m").unwrap(), "body".into()));
        for name in ["a", "b"] {
            let queue = bench.queue(name);
            let mut messages = vec![Arc::clone(&message)];
            bench.until_ready(bench.broker.publish_from(&queue, &mut messages)).unwrap();
        }
        for name in ["a", "b"] {
            let delivery = bench.receive(&QueueName::new(name).unwrap()).unwrap();
            assert!(Arc::ptr_eq(&delivery.message, &message));
        }
    }

    #[test]
    fn a_queue_is_deleted_by_its_number_and_another_of_its_name_is_not() {
        let bench = Bench::new(1_000);
        let settings = QueueSettings::new(QueueName::new("q").unwrap());
        let declare = || bench.until_ready(bench.broker.declare(&settings)).unwrap();
        let delete = |number| bench.until_ready(bench.broker.delete_numbered(&settings.name, number));
        let first = declare();
        delete(first).unwrap();
        let second = declare();
        assert!(second > first);
        assert_eq!(delete(first).unwrap_err().kind(), Kind::NotFound);
        assert_eq!(bench.broker.queue_number(&settings.name), Some(second));
        assert_eq!(declare(), second);
        delete(second).unwrap();
        assert_eq!(bench.broker.queue_number(&settings.name), None);
    }

    #[test]
    fn what_a_killed_process_had_is_in_doubt_and_what_came_since_is_not() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 1);
        let doubtful = |bench: &Bench| {
            let delivery = bench.receive(&q).unwrap();
            let in_doubt = bench.broker.may_have_been_delivered(delivery.id);
            bench.settle(&delivery, Outcome::Done);
            in_doubt
        };
        let bench = bench.crash();
        bench.publish(&q, 1);
        assert_eq!((doubtful(&bench), doubtful(&bench)), (true, false));
        bench.publish(&q, 1);
        bench.broker.close();
        bench.write();
        let bench = bench.crash();
        assert!(!doubtful(&bench), "it was closed in good order");
    }

    #[test]
    fn what_is_in_doubt_stays_so_however_often_the_process_ends_in_good_order_since() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 1);
        let mut bench = bench.crash();
        bench.publish(&q, 1);
        for _ in 0..3 {
            bench.broker.close();
            bench.write();
            bench = bench.crash();
        }
        let in_doubt = |bench: &Bench| {
            let id = bench.receive(&q).unwrap().id;
            bench.broker.may_have_been_delivered(id)
        };
        assert_eq!((in_doubt(&bench), in_doubt(&bench)), (true, false));
    }
}
