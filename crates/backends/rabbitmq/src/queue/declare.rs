//! Finding, declaring and deleting queues on the server.

use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_envelope::record::compare;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use tokio::sync::OwnedMutexGuard;
use tokio::time;

use super::names::Names;
use super::{Queue, record};
use crate::inner::Inner;
use crate::link::refusal::Refusal;
use crate::link::{Link, Publisher};
use crate::settings::QueueKind;

const DECLARE: &str = "declare queue";
const NOT_TAKEN: &str = "the settings were not taken";

/// The header by which a message finds its waiting queue.
pub(crate) const WAIT_HEADER: &str = "forebay-wait";

impl Inner {
    /// A queue, known or found on the server; `NotFound` if it is not there.
    pub(crate) async fn queue(&self, name: &QueueName, operation: &'static str) -> Result<Arc<Queue>> {
        self.check_open(operation)?;
        match self.known(name) {
            Some(queue) => Ok(queue),
            None => self.find(name, operation).await,
        }
    }

    async fn find(&self, name: &QueueName, operation: &'static str) -> Result<Arc<Queue>> {
        let names = Names::new(&self.settings.prefix, name)?;
        let settings =
            self.locked(&names, operation, async |link| self.read_record(link, name, &names).await);
        match settings.await? {
            Some(settings) => Ok(self.remember(Queue::new(settings, names))),
            None => Err(Error::new(Kind::NotFound, operation, name.as_str())),
        }
    }

    /// Whether a queue that is known is there still: `NotFound` if not.
    pub(crate) async fn find_anew(&self, name: &QueueName) -> Result<()> {
        self.find(name, "find queue").await.map(|_| ())
    }

    /// Declares a queue whose settings were checked. What is there already is made whole.
    pub(crate) async fn declare(&self, settings: &QueueSettings) -> Result<Arc<Queue>> {
        let names = Names::new(&self.settings.prefix, &settings.name)?;
        if let Some(queue) = self.declare_locked(settings, &names, None).await? {
            return Ok(self.remember(queue));
        }
        // A server that takes no publishes is waited for before the lock is taken: others wait for that.
        let refused = |refusal: Refusal| refusal.during(DECLARE, settings.name.as_str());
        let publishing = self.publishing_link(DECLARE).await?;
        let publisher = publishing.publisher().await.map_err(refused)?;
        let writer = Writer { link: &publishing, publisher };
        let queue = self.declare_locked(settings, &names, Some(writer)).await?;
        Ok(self.remember(queue.ok_or_else(|| refused(Refusal::Away(NOT_TAKEN)))?))
    }

    /// Declares it under the lock of its settings. `None`: they are not there yet, and there is nothing to write them with.
    async fn declare_locked(
        &self,
        settings: &QueueSettings,
        names: &Names,
        writer: Option<Writer<'_>>,
    ) -> Result<Option<Queue>> {
        let name = &settings.name;
        let refused = |refusal: Refusal| refusal.during(DECLARE, name.as_str());
        let declare = async |link: &Link| {
            let present = self.read_record(link, name, names).await?;
            if let Some(present) = &present {
                compare(present, settings)?;
            }
            let is_new = present.is_none();
            if is_new && writer.is_none() {
                return Ok(None);
            }
            let queue = Queue::new(present.unwrap_or_else(|| settings.clone()), names.clone());
            self.declare_lanes(link, &queue).await.map_err(refused)?;
            let Some(writer) = writer.filter(|_| is_new) else { return Ok(Some(queue)) };
            write_record(link, writer, &queue).await.map_err(refused)?;
            // They went over another connection than the lock is of, which may be another one's by now: what the queue has is what
            // is read under the lock, for all who declare it.
            let first = self.read_record(link, name, names).await?;
            let first = first.ok_or_else(|| refused(Refusal::Away(NOT_TAKEN)))?;
            compare(&first, settings)?;
            Ok(Some(Queue::new(first, names.clone())))
        };
        self.locked(names, DECLARE, declare).await
    }

    async fn declare_lanes(&self, link: &Link, queue: &Queue) -> std::result::Result<(), Refusal> {
        let channel = link.channel().await?;
        for lane in queue.lanes() {
            let arguments = arguments(self.settings.queues);
            link.ask(channel.queue_declare(queue.names.lane(lane), durable(), arguments)).await?;
        }
        let _ = link.ask(channel.close(200, "declared".into())).await;
        Ok(())
    }

    /// The settings of a queue, if it is there. Only under its lock: they are away while somebody reads them, and for a moment
    /// longer if whoever did has died of it. So nothing where they should be is not believed at once. Of several the first one
    /// counts, and the others are removed: whoever wrote them had lost the lock.
    async fn read_record(
        &self,
        link: &Link,
        name: &QueueName,
        names: &Names,
    ) -> Result<Option<QueueSettings>> {
        let read = async {
            let channel = link.channel().await?;
            let believed_at = time::Instant::now() + limits::rabbitmq::RECORD_AWAY_MAX;
            let got = loop {
                match link.ask(channel.basic_get(names.record(), BasicGetOptions::default())).await {
                    Err(refusal) if refusal.is_not_found() => return Ok(None),
                    Ok(None) if time::Instant::now() < believed_at => {
                        time::sleep(limits::rabbitmq::LOCK_PAUSE).await;
                    }
                    got => break got?,
                }
            };
            if let Some(got) = &got {
                if got.message_count > 0 {
                    remove_records(link, &channel, names).await?;
                }
                let back = BasicNackOptions { requeue: true, multiple: false };
                link.ask(got.delivery.acker.nack(back)).await?;
            }
            let _ = link.ask(channel.close(200, "read".into())).await;
            Ok(got)
        };
        let got = read.await.map_err(|refusal: Refusal| refusal.during("find queue", name.as_str()))?;
        got.map(|got| record::read(name, &got.delivery.data)).transpose()
    }

    /// Deletes a queue with all that belongs to it, its settings last: until these are gone it can be deleted again.
    pub(crate) async fn delete_queue(&self, name: &QueueName) -> Result<()> {
        let names = Names::new(&self.settings.prefix, name)?;
        let delete = async |link: &Link| {
            let Some(settings) = self.read_record(link, name, &names).await? else {
                return Err(Error::new(Kind::NotFound, "delete queue", name.as_str()));
            };
            let queue = Queue::new(settings, names.clone());
            let lanes = queue.lanes().into_iter().map(|lane| names.lane(lane));
            let waits = wait_classes().map(|class| names.wait(class));
            let delete = async {
                let channel = link.channel().await?;
                for name in lanes.chain(waits).chain([names.record()]) {
                    link.ask(channel.queue_delete(name, QueueDeleteOptions::default())).await?;
                }
                link.ask(channel.close(200, "deleted".into())).await
            };
            delete.await.map_err(|refusal: Refusal| refusal.during("delete queue", name.as_str()))
        };
        let deleted = self.locked(&names, "delete queue", delete).await;
        if deleted.is_ok() || deleted.as_ref().is_err_and(|e| e.kind() == Kind::NotFound) {
            self.forget(name);
        }
        deleted
    }

    /// Does something to a queue's settings while no other process and no other task does.
    async fn locked<T>(
        &self,
        names: &Names,
        operation: &'static str,
        act: impl AsyncFnOnce(&Link) -> Result<T>,
    ) -> Result<T> {
        let link = self.link(operation).await?;
        let busy = || Error::new(Kind::Unavailable, operation, self.settings.address());
        let turn = time::timeout(self.settings.wait, self.records.clone().lock_owned());
        let turn = turn.await.map_err(|_| busy())?;
        let (turn, channel) = (Some(turn), None);
        let mut lock = Lock { inner: self, link: link.clone(), name: names.lock(), turn, channel };
        let taken = time::timeout(self.settings.wait, lock.take()).await;
        let taken = taken.unwrap_or(Err(Refusal::Away("another process holds its settings")));
        taken.map_err(|refusal| refusal.during(operation, lock.name.as_str()))?;
        act(&link).await
    }

    /// The queue in which messages wait for 2^class milliseconds is there, and so is the exchange that leads to it.
    pub(crate) async fn declare_wait(
        &self,
        link: &Link,
        queue: &Queue,
        class: u32,
    ) -> std::result::Result<(), Refusal> {
        {
            let mut waits = queue.waits.lock();
            if waits.0 != link.number {
                *waits = (link.number, Default::default());
            }
            if waits.1.contains(&class) {
                return Ok(());
            }
        }
        let channel = link.channel().await?;
        let exchange = queue.names.wait_exchange();
        let kept = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declaring =
            channel.exchange_declare(exchange.clone(), ExchangeKind::Headers, kept, FieldTable::default());
        link.ask(declaring).await?;
        let name = queue.names.wait(class);
        link.ask(channel.queue_declare(name.clone(), durable(), wait_arguments(class))).await?;
        let mut wanted = FieldTable::default();
        wanted.insert("x-match".into(), AMQPValue::LongString("all".into()));
        wanted.insert(WAIT_HEADER.into(), AMQPValue::LongString(name.as_str().into()));
        let binding =
            channel.queue_bind(name, exchange, ShortString::default(), QueueBindOptions::default(), wanted);
        link.ask(binding).await?;
        let _ = link.ask(channel.close(200, "declared".into())).await;
        queue.waits.lock().1.insert(class);
        Ok(())
    }
}

/// With what the settings of a queue are written.
struct Writer<'a> {
    link: &'a Link,
    publisher: Publisher<'a>,
}

/// Writes the settings of a queue. `Ok`: the server has them.
async fn write_record(link: &Link, writer: Writer<'_>, queue: &Queue) -> std::result::Result<(), Refusal> {
    let channel = link.channel().await?;
    let arguments = arguments(QueueKind::Quorum);
    link.ask(channel.queue_declare(queue.names.record(), durable(), arguments)).await?;
    let _ = link.ask(channel.close(200, "declared".into())).await;
    let Writer { link, publisher } = writer;
    let body = record::write(&queue.settings);
    let publish = publisher.channel.basic_publish(
        ShortString::default(),
        queue.names.record(),
        BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
        &body,
        BasicProperties::default().with_delivery_mode(2),
    );
    let confirmation = link.ask(async { publish.await?.await }).await?;
    publisher.give_back();
    if confirmation == Confirmation::Ack(None) { Ok(()) } else { Err(Refusal::Away(NOT_TAKEN)) }
}

/// Removes the settings that lie behind those that the channel has.
async fn remove_records(link: &Link, channel: &Channel, names: &Names) -> std::result::Result<(), Refusal> {
    while let Some(more) = link.ask(channel.basic_get(names.record(), BasicGetOptions::default())).await? {
        link.ask(more.delivery.acker.ack(BasicAckOptions::default())).await?;
    }
    Ok(())
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

/// The settings of a queue are this process's to read or write, as long as it has a queue that only one connection can have
/// and that ends with it. They are given free in the background, also when whoever asked went away in between or was not
/// answered, and the next one in this process waits for that.
struct Lock<'a> {
    inner: &'a Inner,
    link: Arc<Link>,
    name: ShortString,
    turn: Option<OwnedMutexGuard<()>>,
    /// On which it was asked for: from then on it may be ours.
    channel: Option<Channel>,
}

impl Lock<'_> {
    async fn take(&mut self) -> std::result::Result<(), Refusal> {
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        loop {
            let channel = self.channel.insert(self.link.channel().await?);
            let declaring = channel.queue_declare(self.name.clone(), options, FieldTable::default());
            match self.link.ask(declaring).await {
                Err(refusal) if refusal.is_locked() => {
                    self.channel = None;
                    time::sleep(limits::rabbitmq::LOCK_PAUSE).await;
                }
                declared => return declared.map(|_| ()),
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let (Some(turn), Some(channel)) = (self.turn.take(), self.channel.take()) {
            let (link, name) = (self.link.clone(), self.name.clone());
            self.inner.run(async move { unlock(&link, turn, channel, name).await });
        }
    }
}

/// On the channel on which it was asked for: the server comes to this after that, however late. Should this fail the lock goes
/// with the connection.
async fn unlock(link: &Link, turn: OwnedMutexGuard<()>, channel: Channel, name: ShortString) {
    let _ = link.ask(channel.queue_delete(name, QueueDeleteOptions::default())).await;
    let _ = link.ask(channel.close(200, "unlocked".into())).await;
    drop(turn);
}

fn arguments(kind: QueueKind) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.name().into()));
    if kind == QueueKind::Quorum {
        // Messages go back and forth between processes without having failed: newer servers would drop them after twenty times.
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
    }
    arguments
}

/// When their time is over the server itself publishes them to the queue that their routing key names, and lets go of them
/// only when that has them.
fn wait_arguments(class: u32) -> FieldTable {
    let mut arguments = arguments(QueueKind::Quorum);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(1 << class));
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-strategy".into(), AMQPValue::LongString("at-least-once".into()));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments
}

/// All classes of waiting queues.
pub(crate) fn wait_classes() -> impl Iterator<Item = u32> {
    limits::rabbitmq::WAIT_CLASSES
}
