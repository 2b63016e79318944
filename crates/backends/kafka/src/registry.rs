//! Which queues there are, with their settings: a topic that every process reads from its beginning and follows. Of several
//! declarations of one queue the first counts.

pub(crate) mod declaring;
mod end;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_envelope::record::compare;
use futures_util::StreamExt;
use parking_lot::Mutex;
use rdkafka::admin::NewTopic;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::time;

use self::end::End;
use crate::inner::Inner;
use crate::link::{Outgoing, config, is_unknown, refusal, refusal_of_known};
use crate::queue::Queue;
use crate::queue::names::{Names, registry};
use crate::queue::record::{self, Entry};
use crate::settings::KafkaSettings;

const DECLARE: &str = "declare queue";

/// What is known of all queues.
pub(crate) struct Registry {
    topic: String,
    entries: Mutex<BTreeMap<QueueName, Entry>>,
    /// Where the topic ends.
    end: End,
    /// How far it was read.
    read: watch::Sender<Option<i64>>,
}

impl Registry {
    pub(crate) fn new(settings: &KafkaSettings) -> Self {
        let topic = registry(&settings.prefix);
        Self { topic, entries: Mutex::default(), end: End::default(), read: watch::Sender::new(None) }
    }

    /// A queue's settings, and which of its lives this is; without settings if it is not there.
    fn get(&self, queue: &QueueName) -> (u64, Option<QueueSettings>) {
        self.entries.lock().get(queue).map_or((0, None), |entry| (entry.life, entry.settings.clone()))
    }

    /// Which life of a queue was the last one that was deleted, if it is not there now.
    pub(crate) fn last_life(&self, queue: &QueueName) -> Option<u64> {
        let (life, settings) = self.get(queue);
        (life > 0 && settings.is_none()).then_some(life)
    }

    /// All queues by name.
    pub(crate) fn all(&self) -> Vec<QueueName> {
        let entries = self.entries.lock();
        let there = entries.iter().filter(|(_, entry)| entry.settings.is_some());
        there.map(|(name, _)| name.clone()).collect()
    }

    /// Takes in a record, and says which life of the queue it is in now, if it is there.
    fn take_in(&self, name: &QueueName, payload: &[u8]) -> Option<u64> {
        let mut entries = self.entries.lock();
        let present = entries.entry(name.clone()).or_insert(Entry { life: 0, settings: None });
        match record::read(name, payload) {
            // Of two declarations of one life the first counts, and nothing comes back from the dead.
            Ok(said) => {
                if said.life > present.life || (said.life == present.life && said.settings.is_none()) {
                    *present = said;
                }
            }
            Err(error) => tracing::warn!(queue = %name, %error, "kafka: a queue's settings cannot be read"),
        }
        present.settings.as_ref().map(|_| present.life)
    }
}

impl Inner {
    /// A queue that is there; `NotFound` if it is not.
    pub(crate) async fn queue(&self, name: &QueueName, operation: &'static str) -> Result<Arc<Queue>> {
        self.check_open(operation)?;
        if let Some(queue) = self.known(name) {
            return Ok(queue);
        }
        if self.registry.get(name).1.is_none() {
            self.read_all(operation).await?;
        }
        let (life, settings) = self.registry.get(name);
        let settings = settings.ok_or_else(|| Error::new(Kind::NotFound, operation, name.as_str()))?;
        let names = Names::new(&self.settings.prefix, name, life)?;
        Ok(self.remember(Queue::new(settings, life, names)))
    }

    /// Whether a queue is still there, in the same life.
    pub(crate) async fn is_there(&self, queue: &Queue, operation: &'static str) -> Result<bool> {
        self.read_all(operation).await?;
        let (life, settings) = self.registry.get(queue.name());
        Ok(settings.is_some() && life == queue.life)
    }

    /// What an error of the client's means of a queue that was there. Servers that come up, or are slow, do not find each topic
    /// that is there.
    pub(crate) async fn refusal(&self, queue: &Queue, error: KafkaError, operation: &'static str) -> Error {
        let name = queue.name().as_str();
        if !is_unknown(&error) {
            return refusal(error, operation, name);
        }
        match self.is_there(queue, operation).await {
            Ok(true) => refusal_of_known(error, operation, name),
            Ok(false) => refusal(error, operation, name),
            Err(unsure) => unsure,
        }
    }

    /// Waits until everything was read that was written before this call.
    pub(crate) async fn read_all(&self, operation: &'static str) -> Result<()> {
        let (clients, topic, wait) =
            (self.clients(operation)?, self.registry.topic.clone(), self.settings.wait);
        let late = || Error::new(Kind::Unavailable, operation, self.settings.address());
        let mut read = self.registry.read.subscribe();
        let found = time::timeout(wait, read.wait_for(Option::is_some)).await;
        found.map_err(|_| late())?.map_err(|_| late())?;
        let ask = move || clients.admin.inner().fetch_watermarks(&topic, 0, wait).map(|(_, end)| end);
        // The question before this one may have to be waited for.
        let asked = time::timeout(wait * 2, self.registry.end.ask(self, operation, ask));
        let end = asked.await.map_err(|_| late())??;
        let end = end.map_err(|error| refusal_of_known(error, operation, self.settings.address()))?;
        let reached = time::timeout(wait, read.wait_for(|read| read.is_some_and(|read| read >= end))).await;
        reached.map_err(|_| late())?.map_err(|_| late())?;
        Ok(())
    }

    /// Declares a queue whose settings were checked.
    pub(crate) async fn declare(&self, settings: &QueueSettings) -> Result<Arc<Queue>> {
        let name = &settings.name;
        let _alone = self.declaring.alone(name).await;
        self.read_all(DECLARE).await?;
        let clients = self.clients(DECLARE)?;
        let (life, present) = self.registry.get(name);
        if let Some(present) = present {
            compare(&present, settings)?;
            self.make_topics(&clients, &present, life).await?;
            return self.queue(name, DECLARE).await;
        }
        let ours = Entry { life: life + 1, settings: Some(settings.clone()) };
        self.take_topics(&clients, settings, ours.life).await?;
        self.record(name, &ours, DECLARE).await?;
        self.read_all(DECLARE).await?;
        let (life, present) = self.registry.get(name);
        let present = present.ok_or_else(|| Error::new(Kind::Unavailable, DECLARE, name.as_str()))?;
        // Another process may have been first. The topic keeps the last record of a queue: that must be the one that counts.
        if let Err(conflict) = compare(&present, settings) {
            self.record(name, &Entry { life, settings: Some(present) }, DECLARE).await?;
            return Err(conflict);
        }
        self.queue(name, DECLARE).await
    }

    /// Writes down that a queue is there, or was deleted.
    pub(crate) async fn record(
        &self,
        name: &QueueName,
        entry: &Entry,
        operation: &'static str,
    ) -> Result<()> {
        let record = Outgoing {
            topic: self.registry.topic.clone(),
            partition: Some(0),
            key: Some(name.as_str().to_owned()),
            header: None,
            payload: record::write(entry).into(),
            at: self.clock.now(),
        };
        let sent: KafkaResult<()> = self.send(&[record], operation).await?.into_iter().collect();
        sent.map_err(|error| refusal_of_known(error, operation, name.as_str()))
    }

    async fn make_registry(&self) -> Result<()> {
        const FOLLOW: &str = "find queues";
        let clients = self.clients(FOLLOW)?;
        let topic =
            NewTopic::new(&self.registry.topic, 1, self.replication()).set("cleanup.policy", "compact");
        self.make(&clients, &[topic], FOLLOW).await.map(drop)
    }
}

/// Follows the topic of all queues until the broker is closed.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let mut pause = limits::PAUSE;
    while !inner.is_closed() {
        let followed = tokio::select! {
            () = inner.closed() => return,
            followed = try_follow(&inner, &mut pause) => followed,
        };
        if let Err(error) = followed {
            tracing::warn!(%error, "kafka: the queues that there are cannot be read");
        }
        tokio::select! {
            () = inner.closed() => return,
            () = time::sleep(pause) => pause = (pause * 2).min(limits::PAUSE_MAX),
        }
    }
}

async fn try_follow(inner: &Inner, pause: &mut Duration) -> Result<()> {
    const FOLLOW: &str = "find queues";
    let failed = |error| refusal(error, FOLLOW, inner.settings.address());
    inner.make_registry().await?;
    let mut config = config(&inner.settings);
    config
        // Nothing is ever committed: it is read by every process, as a whole.
        .set("group.id", &inner.registry.topic)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("fetch.error.backoff.ms", "50");
    let consumer: StreamConsumer = config.create().map_err(failed)?;
    let mut from = TopicPartitionList::new();
    let begin = inner.registry.read.borrow().map_or(Offset::Beginning, Offset::Offset);
    from.add_partition_offset(&inner.registry.topic, 0, begin).map_err(failed)?;
    consumer.assign(&from).map_err(failed)?;
    let mut records = consumer.stream();
    while let Some(record) = records.next().await {
        match record {
            Ok(record) => {
                let name = record.key().and_then(|key| std::str::from_utf8(key).ok());
                if let Some(name) = name.and_then(|name| QueueName::new(name).ok()) {
                    let present = inner.registry.take_in(&name, record.payload().unwrap_or_default());
                    inner.forget(&name, present);
                }
                inner.registry.read.send_replace(Some(record.offset() + 1));
            }
            Err(KafkaError::PartitionEOF(_)) => {
                *pause = limits::PAUSE;
                inner.registry.read.send_modify(|read| *read = Some(read.unwrap_or(0)));
            }
            // The client goes on by itself from all but these.
            Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(failed(error)),
            Err(error) => {
                let code = error.rdkafka_error_code();
                if matches!(code, Some(Code::UnknownTopicOrPartition | Code::UnknownPartition)) {
                    return Err(failed(error));
                }
                tracing::debug!(%error, "kafka: reading the queues that there are");
            }
        }
    }
    Ok(())
}
