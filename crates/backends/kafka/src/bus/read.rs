//! Reading the topic, by one consumer after another.

use std::cmp::Ordering;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::bus::Position;
use forebay_core::ports::bus::tape::Entry;
use futures_util::StreamExt;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::task;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::patience::Patience;
use crate::consume::read::header;
use crate::link::{Clients, config};

const READ: &str = "read bus";

/// Reads the topic until the bus is closed.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut pause = limits::kafka::PAUSE;
    while !shared.is_closed() {
        let mut used = None;
        let read = tokio::select! {
            () = shared.until_closed() => Ok(()),
            read = shared.read_all(&mut used, &mut pause) => read,
        };
        // Its end waits for its threads.
        drop(task::spawn_blocking(move || drop(used)).await);
        if let Err(error) = read {
            tracing::warn!(%error, "kafka: the bus cannot be read");
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            *shared.refused.lock() = Some((error.kind(), why));
            let _ = timeout(pause, shared.until_closed()).await;
            pause = (pause * 2).min(limits::kafka::PAUSE_MAX);
        }
    }
    let clients = shared.clients.lock().take();
    drop(task::spawn_blocking(move || drop(clients)).await);
}

impl Shared {
    /// Reads until something is wrong.
    async fn read_all(&self, used: &mut Option<StreamConsumer>, pause: &mut Duration) -> Result<()> {
        let (clients, wait) = (self.clients(READ)?, Patience::to_join(self.settings.wait));
        let made = self.make_topic(&clients, wait).await;
        // Whoever may not make topics can still use one that is there.
        let (low, high) = self.ends(READ, wait).await.map_err(|error| made.err().unwrap_or(error))?;
        let begin = self.begin(low, high);
        let failed = |error| self.refusal(error, READ);
        let consumer = used.insert(self.consumer().map_err(failed)?);
        let mut from = TopicPartitionList::new();
        let offset = Offset::Offset(begin.cast_signed());
        from.add_partition_offset(&self.topic, 0, offset).map_err(failed)?;
        consumer.assign(&from).map_err(failed)?;
        let mut patience = Patience::to_hear(self.settings.wait, Instant::now());
        if begin == high {
            patience.hear(Instant::now());
        }
        self.follow(consumer, patience, pause).await
    }

    /// Takes in what comes.
    async fn follow(
        &self,
        consumer: &StreamConsumer,
        mut patience: Patience,
        pause: &mut Duration,
    ) -> Result<()> {
        let mut entries = consumer.stream();
        loop {
            let has_joined = patience.has_joined();
            if has_joined {
                *pause = limits::kafka::PAUSE;
                *self.refused.lock() = None;
                self.joined.send_if_modified(|joined| !std::mem::replace(joined, true));
            }
            let next = tokio::select! {
                next = timeout_at(patience.until(), entries.next()) => next,
                () = self.doubted.notified(), if has_joined => {
                    if patience.is_over(self.settings.wait, Instant::now()) {
                        return Err(self.away("what was published does not come"));
                    }
                    continue;
                }
            };
            match next {
                Ok(Some(Ok(entry))) => {
                    self.take_in(&entry);
                    patience.hear(Instant::now());
                }
                // It looks for other servers by itself, and nothing was read yet that they could have lost.
                Ok(Some(Err(KafkaError::MessageConsumption(
                    Code::BrokerTransportFailure | Code::AllBrokersDown,
                )))) if !has_joined => {}
                // Servers that come back may not have what they had: the last entry tells.
                Ok(Some(Err(error))) => return Err(self.refusal(error, READ)),
                Ok(None) => return Err(self.away("the consumer has ended")),
                Err(_) if !has_joined => return Err(self.away("the servers send nothing")),
                Err(_) => {
                    let (_, end) = self.ends(READ, Patience::to_join(self.settings.wait)).await?;
                    let (now, head) = (Instant::now(), self.tape.lock().head());
                    match Position(end).cmp(&head) {
                        Ordering::Equal => patience.ask_later(now),
                        Ordering::Greater if patience.expect(self.settings.wait, now) => {}
                        Ordering::Greater => return Err(self.away("what there is does not come")),
                        Ordering::Less => return Err(self.away("the servers have lost what they sent")),
                    }
                }
            }
        }
    }

    /// From which offset it is read: the last entry is to come once more, if the servers can still have it.
    fn begin(&self, low: u64, high: u64) -> u64 {
        let mut tape = self.tape.lock();
        if let Some(last) = tape.rejoin().filter(|last| (low..high).contains(last)) {
            return last;
        }
        // A process that was started anew may go on from what was published lately.
        let kept = u64::try_from(self.kept.notices).unwrap_or(u64::MAX);
        let begin = low.max(high.saturating_sub(kept));
        tape.start(Position(begin));
        self.heard.send_replace(tape.head());
        begin
    }

    fn take_in(&self, record: &BorrowedMessage<'_>) {
        let Ok(offset) = u64::try_from(record.offset()) else { return };
        let number = header(record).unwrap_or_default();
        // The server gives the time: what others have published without a number is told apart by it.
        let at = record.timestamp().to_millis().unwrap_or_default();
        let id = format!("{at} {}", String::from_utf8_lossy(number));
        let notice = Some(Payload::from(record.payload().unwrap_or_default()));
        let mut tape = self.tape.lock();
        if tape.read(Entry { offset, id, notice }) {
            self.heard.send_replace(tape.head());
        }
    }

    fn consumer(&self) -> std::result::Result<StreamConsumer, KafkaError> {
        let mut config = config(&self.settings);
        config
            // The client wants one. Nobody joins it, and nothing is ever committed.
            .set("group.id", &self.topic)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What is not there any more is found out here.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", limits::kafka::FETCHED_MESSAGES_MAX.to_string())
            .set("queued.max.messages.kbytes", limits::kafka::FETCHED_KIB_MAX.to_string());
        config.create()
    }

    /// Makes the topic, if it is not there yet.
    async fn make_topic(&self, clients: &Clients, wait: Duration) -> Result<()> {
        let options = AdminOptions::new().request_timeout(Some(wait)).operation_timeout(Some(wait));
        // Kafka's word for its own default.
        let replication = TopicReplication::Fixed(self.settings.replication.map_or(-1, i32::from));
        let (bytes, segment_bytes, age_ms) = (
            limits::kafka::BUS_TOPIC_BYTES.to_string(),
            limits::kafka::BUS_SEGMENT_BYTES.to_string(),
            limits::kafka::BUS_TOPIC_AGE.as_millis().to_string(),
        );
        let topic = NewTopic::new(&self.topic, 1, replication)
            .set("cleanup.policy", "delete")
            .set("retention.bytes", &bytes)
            .set("retention.ms", &age_ms)
            .set("segment.bytes", &segment_bytes)
            .set("message.timestamp.type", "LogAppendTime");
        let made = timeout(wait, clients.admin.create_topics([&topic], &options)).await;
        let made = made.map_err(|_| self.away("no answer in time"))?;
        match made.map_err(|error| self.refusal(error, READ))?.pop() {
            None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) => Err(self.refusal(KafkaError::AdminOp(code), READ)),
        }
    }

    fn away(&self, why: &'static str) -> Error {
        self.error(Kind::Unavailable, READ).because(why)
    }
}

#[cfg(test)]
mod tests {
    use forebay_contract::clock::SimClock;
    use forebay_core::ports::bus::tape::Kept;

    use super::*;
    use crate::bus::KafkaBus;
    use crate::settings::KafkaSettings;

    fn bus() -> KafkaBus {
        let kept = Kept { notices: 10, ..Kept::default() };
        let settings = KafkaSettings::parse("kafka://host").unwrap();
        KafkaBus::open(settings, kept, Arc::new(SimClock::new(1))).0
    }

    fn entry(offset: u64) -> Entry {
        Entry { offset, id: format!("{offset}"), notice: Some(Payload::empty()) }
    }

    #[test]
    fn a_new_process_begins_as_far_back_as_it_keeps_and_the_servers_do() {
        for (low, high, begin) in [(0, 0, 0), (0, 7, 0), (0, 100, 90), (95, 100, 95), (100, 100, 100)] {
            let bus = bus();
            assert_eq!(bus.shared().begin(low, high), begin, "{low} to {high}");
            assert_eq!(*bus.shared().heard.borrow(), Position(begin));
        }
    }

    #[test]
    fn who_reads_on_asks_for_the_last_entry_again_unless_it_cannot_be_there() {
        // It is the newest one, others followed, the topic has become shorter, or has let go of it.
        for (low, high, begin) in [(0, 6, 5), (5, 100, 5), (0, 5, 0), (6, 100, 90), (6, 6, 6)] {
            let bus = bus();
            bus.shared().begin(5, 5);
            bus.shared().tape.lock().read(entry(5));
            assert_eq!(bus.shared().begin(low, high), begin, "{low} to {high}");
        }
    }

    #[test]
    fn a_topic_that_is_not_found_is_away_and_what_else_is_refused_is_told_as_it_is() {
        let bus = bus();
        let kind = |code| bus.shared().refusal(KafkaError::AdminOp(code), READ).kind();
        assert_eq!(kind(Code::UnknownTopicOrPartition), Kind::Unavailable);
        assert_eq!(kind(Code::InvalidReplicationFactor), Kind::Unsupported);
    }
}
