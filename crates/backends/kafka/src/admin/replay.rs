//! Reading a queue that retains once more, from its topic, without being one of its group.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::message::MessageId;
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{ReplayFrom, Replayed};
use forebay_core::queue::{QueueName, Retain};
use forebay_core::time::Instant;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::consume::read::header;
use crate::inner::Inner;
use crate::link::{Outgoing, config};
use crate::message::envelope;
use crate::queue::Queue;
use crate::queue::contiguous::Offset as At;
use crate::queue::ranges::Ranges;

const REPLAY: &str = "replay queue";

/// The one partition of a queue that retains.
const PARTITION: i32 = 0;

/// Reads topics of a queue from any place.
struct Reader {
    consumer: BaseConsumer,
    wait: Duration,
}

impl Reader {
    fn new(inner: &Inner, queue: &Queue) -> KafkaResult<Self> {
        let mut config = config(&inner.settings);
        config
            // It is not joined: the committed offsets are told by its name.
            .set("group.id", queue.names.group())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true");
        Ok(Self { consumer: config.create()?, wait: inner.settings.wait })
    }

    fn ends(&self, topic: &str) -> KafkaResult<(At, At)> {
        self.consumer.fetch_watermarks(topic, PARTITION, self.wait)
    }

    /// The first record that was put there then or later, or the end.
    fn at(&self, topic: &str, time: Instant) -> KafkaResult<At> {
        let mut times = TopicPartitionList::new();
        let ms = At::try_from(time.as_ms()).unwrap_or(At::MAX);
        times.add_partition_offset(topic, PARTITION, Offset::Offset(ms))?;
        let found = self.consumer.offsets_for_times(times, self.wait)?;
        match found.find_partition(topic, PARTITION).map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset),
            _ => Ok(self.ends(topic)?.1),
        }
    }

    /// Up to where all is finished.
    fn committed(&self, topic: &str) -> KafkaResult<At> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, PARTITION);
        let committed = self.consumer.committed_offsets(asked, self.wait)?;
        match committed.find_partition(topic, PARTITION).map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset),
            _ => Ok(0),
        }
    }

    /// Shows the records from there on up to the end, until `visit` has enough.
    fn read(
        &self,
        topic: &str,
        from: At,
        mut visit: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> KafkaResult<()> {
        let (low, end) = self.ends(topic)?;
        let from = from.max(low);
        if from >= end {
            return Ok(());
        }
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, PARTITION, Offset::Offset(from))?;
        self.consumer.assign(&place)?;
        loop {
            match self.consumer.poll(self.wait) {
                Some(Ok(record)) => {
                    if record.offset() >= end || !visit(&record) || record.offset() + 1 >= end {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error),
                None => return Err(KafkaError::NoMessageReceived),
            }
        }
    }
}

impl Inner {
    /// Where in a queue that retains the messages of that time and later begin.
    pub(crate) async fn offset_at(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        time: Instant,
        operation: &'static str,
    ) -> Result<At> {
        let (inner, asked) = (self.clone(), queue.clone());
        let found =
            self.blocking(operation, move || Reader::new(&inner, &asked)?.at(&asked.names.main, time));
        match found.await? {
            Ok(found) => Ok(found),
            Err(error) => Err(self.refusal(queue, error, operation).await),
        }
    }

    /// Up to where all that was written down as gone is of messages before `first`.
    pub(crate) async fn gone_before(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        first: At,
        operation: &'static str,
    ) -> Result<At> {
        let (inner, asked) = (self.clone(), queue.clone());
        let found = self.blocking(operation, move || {
            let mut before = 0;
            Reader::new(&inner, &asked)?.read(&asked.names.gone, 0, |record| {
                let over = ranges(record).iter().all(|(_, end)| *end <= first);
                if over {
                    before = record.offset() + 1;
                }
                over
            })?;
            Ok(before)
        });
        match found.await? {
            Ok(found) => Ok(found),
            Err(error) => Err(self.refusal(queue, error, operation).await),
        }
    }

    /// Writes down what of a queue that retains was finished otherwise than by being done, as ranges without their ends.
    pub(crate) async fn mark_gone(
        &self,
        queue: &Queue,
        ranges: impl IntoIterator<Item = (At, At)>,
        operation: &'static str,
    ) -> Result<()> {
        let ranges: Vec<(At, At)> = ranges.into_iter().collect();
        if !queue.retains() || ranges.is_empty() {
            return Ok(());
        }
        let record = Outgoing {
            topic: queue.names.gone.clone(),
            partition: Some(PARTITION),
            key: None,
            header: None,
            payload: postcard::to_allocvec(&ranges).unwrap_or_default().into(),
            at: self.clock.now(),
        };
        match self.send(&[record], operation).await?.into_iter().collect() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refusal(queue, error, operation).await),
        }
    }

    /// Reads what the queue has and retains.
    pub(crate) async fn replay(
        self: &Arc<Self>,
        name: &QueueName,
        from: ReplayFrom,
        count_max: usize,
    ) -> Result<Vec<Replayed>> {
        let queue = self.queue(name, REPLAY).await?;
        let Retain::For(time) = queue.settings.retain else {
            return Err(Error::new(Kind::Unsupported, REPLAY, format!("{name}: it retains nothing")));
        };
        let count_max = count_max.min(limits::REPLAY_MAX);
        let (inner, asked, now) = (self.clone(), queue.clone(), self.clock.now());
        let read = self.blocking(REPLAY, move || {
            let reader = Reader::new(&inner, &asked)?;
            let topic = &asked.names.main;
            let from = match from {
                ReplayFrom::Position(position) => At::try_from(position).unwrap_or(At::MAX),
                ReplayFrom::Time(time) => reader.at(topic, time)?,
            };
            let kept = reader.at(topic, now - time)?.min(reader.committed(topic)?);
            let gone = gone(&reader, &asked)?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            reader.read(topic, from.max(kept), |record| {
                if let Some(replayed) = replayed(record, &gone) {
                    bytes += replayed.message.payload.len();
                    found.push(replayed);
                }
                found.len() < count_max && bytes < limits::REPLAY_BYTES_MAX
            })?;
            found.truncate(count_max);
            Ok(found)
        });
        match read.await? {
            Ok(read) => Ok(read),
            Err(error) => Err(self.refusal(&queue, error, REPLAY).await),
        }
    }
}

/// What was finished otherwise than by being done.
fn gone(reader: &Reader, queue: &Queue) -> KafkaResult<Ranges> {
    let mut gone = Ranges::default();
    reader.read(&queue.names.gone, 0, |record| {
        ranges(record).into_iter().for_each(|(start, end)| gone.add(start, end));
        true
    })?;
    Ok(gone)
}

/// What a record of the topic of what is gone says.
fn ranges(record: &BorrowedMessage<'_>) -> Vec<(At, At)> {
    record.payload().and_then(|payload| postcard::from_bytes(payload).ok()).unwrap_or_default()
}

fn replayed(record: &BorrowedMessage<'_>, gone: &Ranges) -> Option<Replayed> {
    let offset = record.offset();
    let at =
        Instant::from_ms(record.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
    let payload = Payload::from(record.payload().unwrap_or_default());
    let id = || MessageId::generate(at, [0, offset.unsigned_abs()]);
    let (envelope, origin) = envelope::read(header(record), record.key(), payload, at, id);
    (!gone.contains(offset) && origin.is_none()).then(|| Replayed {
        position: (offset + 1).unsigned_abs(),
        message: envelope.message,
        published_at: envelope.published_at,
    })
}
