//! Being one of a queue's group, only while somebody here asks for its messages: reading the partitions that are ours, moving on
//! what waits in Kafka, and committing what was settled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::message::MessageId;
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use futures_util::StreamExt;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use tokio::{task, time};

use crate::inner::Inner;
use crate::link::{config, refusal};
use crate::message::envelope::{Envelope, HEADER};
use crate::queue::Queue;
use crate::queue::commit::{Batch, Fate};
use crate::queue::intake::Record;
use crate::queue::letter::Source;
use crate::queue::names::Lane;
use crate::queue::shelf::{Consuming, Shelf};

const CONSUME: &str = "receive from queue";

/// What is told of partitions that come and go.
struct Watch {
    queue: Arc<Queue>,
    /// Partitions that came, and were not yet seen to.
    assigned: Mutex<Option<Vec<Source>>>,
    came: Notify,
}

type Member = StreamConsumer<Watch>;

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            // Before anybody else can have them: what is held of them is held no more.
            Rebalance::Revoke(partitions) => {
                let gone = sources(&self.queue, partitions);
                if let Some(assigned) = &mut *self.assigned.lock() {
                    assigned.retain(|source| !gone.contains(source));
                }
                self.queue.change(|shelf| gone.into_iter().for_each(|source| shelf.revoke(source)));
            }
            Rebalance::Assign(partitions) => {
                let mut assigned = self.assigned.lock();
                assigned.get_or_insert_default().extend(sources(&self.queue, partitions));
                self.came.notify_one();
            }
            Rebalance::Error(error) => tracing::warn!(queue = %self.queue.name(), %error, "kafka: rebalance"),
        }
    }
}

fn sources(queue: &Queue, partitions: &TopicPartitionList) -> Vec<Source> {
    let source = |topic: &str, partition| {
        let lane = [Lane::Main, Lane::Wait].into_iter().find(|lane| queue.names.lane(*lane) == topic)?;
        Some(Source { lane, partition })
    };
    partitions.elements().iter().filter_map(|element| source(element.topic(), element.partition())).collect()
}

fn list(queue: &Queue, sources: impl IntoIterator<Item = Source>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for Source { lane, partition } in sources {
        list.add_partition(queue.names.lane(lane), partition);
    }
    list
}

/// Joins the queue's group in the background, unless that is done or was tried just now.
pub(crate) fn want(inner: &Arc<Inner>, queue: &Arc<Queue>) {
    let now = inner.clock.now();
    let begun = queue.change_quietly(|shelf| match shelf.consuming {
        Consuming::No { not_before } if not_before <= now => {
            shelf.consuming = Consuming::Yes { joined: false };
            true
        }
        _ => false,
    });
    if begun {
        inner.run(consume(inner.clone(), queue.clone()));
    }
}

async fn consume(inner: Arc<Inner>, queue: Arc<Queue>) {
    let mut left = None;
    let consumed = try_consume(&inner, &queue, &mut left).await;
    queue.change(|shelf| shelf.leave(Consuming::Yes { joined: false }));
    if let Some(member) = left {
        // Leaving waits for an answer.
        drop(task::spawn_blocking(move || drop(member)).await);
    }
    let pause = match consumed {
        Ok(()) => Duration::ZERO,
        Err(error) => {
            tracing::warn!(queue = %queue.name(), %error, "kafka: cannot consume");
            limits::PAUSE
        }
    };
    let not_before = inner.clock.now() + pause;
    queue.change(|shelf| shelf.leave(Consuming::No { not_before }));
}

/// Consumes until nobody asks any more, or it goes no further.
async fn try_consume(inner: &Arc<Inner>, queue: &Arc<Queue>, left: &mut Option<Arc<Member>>) -> Result<()> {
    let failed = |error| refusal(error, CONSUME, queue.name().as_str());
    let session = inner.settings.session;
    let mut config = config(&inner.settings);
    config
        .set("group.id", &queue.names.group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.as_millis().to_string())
        .set("heartbeat.interval.ms", (session / 4).min(limits::HEARTBEAT_MAX).as_millis().to_string())
        .set("max.poll.interval.ms", session.max(Duration::from_secs(300)).as_millis().to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.max.bytes", limits::MESSAGE_BYTES_MAX.to_string())
        .set("receive.message.max.bytes", (limits::MESSAGE_BYTES_MAX + 2 * 1024 * 1024).to_string())
        .set("queued.min.messages", limits::FETCHED_MESSAGES_MAX.to_string())
        .set("queued.max.messages.kbytes", limits::FETCHED_KIB_MAX.to_string());
    let watch = Watch { queue: queue.clone(), assigned: Mutex::default(), came: Notify::new() };
    let member: Arc<Member> = Arc::new(config.create_with_context(watch).map_err(failed)?);
    *left = Some(member.clone());
    member.subscribe(&[&queue.names.main, &queue.names.wait]).map_err(failed)?;
    tokio::select! {
        read = read(inner, queue, &member) => read,
        never = commit(inner, queue, &member) => match never {},
        never = carry(inner, queue) => match never {},
        () = attend(inner, queue, &member) => Ok(()),
    }
}

/// Reads what comes of our partitions.
async fn read(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) -> Result<()> {
    let mut records = member.stream();
    loop {
        let record = tokio::select! {
            biased;
            () = member.context().came.notified() => None,
            record = records.next() => record,
        };
        open(inner, queue, member).await?;
        match record {
            None => {}
            Some(Ok(record)) => take_in(inner, queue, member, &record),
            Some(Err(error)) => match error.rdkafka_error_code() {
                // The client goes on by itself from all but these.
                Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                    // Deleted, or not there yet on this server.
                    return Err(refusal(error, CONSUME, queue.name().as_str()));
                }
                _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                    return Err(refusal(error, CONSUME, queue.name().as_str()));
                }
                _ => tracing::debug!(queue = %queue.name(), %error, "kafka: consuming"),
            },
        }
    }
}

/// Asks what of newly assigned partitions is settled. Nothing of them is handed out before.
async fn open(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) -> Result<()> {
    let Some(sources) = member.context().assigned.lock().take() else { return Ok(()) };
    let (asked, names, wait) = (member.clone(), queue.clone(), inner.settings.wait);
    let found = inner.blocking(CONSUME, move || {
        let committed = asked.committed_offsets(list(&names, sources.iter().copied()), wait)?;
        let mut found = Vec::with_capacity(sources.len());
        for source in sources {
            let topic = names.names.lane(source.lane);
            let element = committed.find_partition(topic, source.partition);
            let (base, mark) = match element.as_ref().map(|element| (element.offset(), element.metadata())) {
                Some((Offset::Offset(base), mark)) => (Some(base), mark.to_owned()),
                _ => (None, String::new()),
            };
            let (low, head) = match (source.lane, base) {
                (Lane::Wait, Some(base)) => (base, base),
                _ => asked.fetch_watermarks(topic, source.partition, wait)?,
            };
            found.push((source, base.unwrap_or(low), mark, head));
        }
        Ok(found)
    });
    let found = found.await?.map_err(|error: KafkaError| refusal(error, CONSUME, queue.name().as_str()))?;
    queue.change(|shelf| {
        for (source, base, mark, head) in found {
            shelf.assign(source, base, &mark, head);
        }
        if shelf.consuming != Consuming::Gone {
            shelf.consuming = Consuming::Yes { joined: true };
        }
    });
    Ok(())
}

/// What this library has put beside a payload.
pub(crate) fn header(record: &BorrowedMessage<'_>) -> Option<Vec<u8>> {
    let headers = record.headers().filter(|headers| headers.count() > 0)?;
    // The client gives up on a name that is no text, which a foreign message may have.
    catch_unwind(AssertUnwindSafe(|| {
        let first = headers.get(0);
        first.value.filter(|_| first.key == HEADER).map(<[u8]>::to_vec)
    }))
    .unwrap_or_default()
}

fn take_in(inner: &Inner, queue: &Queue, member: &Member, record: &BorrowedMessage<'_>) {
    let now = inner.clock.now();
    let lane = if record.topic() == queue.names.main { Lane::Main } else { Lane::Wait };
    let source = Source { lane, partition: record.partition() };
    let put_ms = record.timestamp().to_millis().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(now.as_ms());
    let header = header(record);
    let payload = Payload::from(record.payload().unwrap_or_default());
    let id = MessageId::generate(now, [inner.clock.random(), inner.clock.random()]);
    let mut envelope = Envelope::read(header.as_deref(), record.key(), payload, Instant::from_ms(put_ms), id);
    // Clocks of other processes may be ahead; nothing was published later than it came.
    envelope.published_at = envelope.published_at.min(now);
    let record = Record { source, offset: record.offset(), put_ms, envelope };
    let pause = queue.change(|shelf| {
        shelf.arrive(record, inner.number(), now);
        shelf.is_to_pause(source)
    });
    if pause && let Err(error) = member.pause(&list(queue, [source])) {
        tracing::warn!(queue = %queue.name(), %error, "kafka: cannot pause a partition");
    }
}

/// Commits what is settled, all that waits at a time.
async fn commit(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) -> std::convert::Infallible {
    loop {
        queue.commits.notified().await;
        while let Some(mut batch) = queue.change_quietly(Shelf::batch) {
            let fate = commit_batch(inner, queue, member, &mut batch).await;
            let now = inner.clock.now();
            queue.change(|shelf| shelf.committed(batch, fate, now));
            if fate == Fate::Failed {
                time::sleep(limits::PAUSE).await;
            }
        }
    }
}

async fn commit_batch(inner: &Inner, queue: &Arc<Queue>, member: &Arc<Member>, batch: &mut Batch) -> Fate {
    let late = time::Instant::now() + inner.settings.wait;
    loop {
        queue.look(|shelf| shelf.still_ours(batch));
        if batch.said.is_empty() {
            return Fate::Lost;
        }
        let mut offsets = TopicPartitionList::new();
        for said in &batch.said {
            let mut element = offsets.add_partition(queue.names.lane(said.source.lane), said.source.partition);
            element.set_metadata(&said.mark);
            // A number is always an offset.
            let _ = element.set_offset(Offset::Offset(said.offset));
        }
        let committing = member.clone();
        let committed =
            inner.blocking("settle delivery", move || committing.commit(&offsets, CommitMode::Sync));
        let error = match time::timeout_at(late, committed).await {
            Ok(Ok(Ok(()))) => return Fate::Committed,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::debug!(queue = %queue.name(), error, "kafka: commit");
        if time::Instant::now() >= late {
            return Fate::Failed;
        }
        time::sleep(limits::PAUSE / 5).await;
    }
}

/// Moves on what has waited in Kafka for as long as it does in that place, and what is to wait there.
async fn carry(inner: &Arc<Inner>, queue: &Arc<Queue>) -> std::convert::Infallible {
    loop {
        let changed = queue.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let now = inner.clock.now();
        let letters = queue.change_quietly(|shelf| shelf.take_carried(now));
        if letters.is_empty() {
            let next = queue.look(Shelf::next_carried);
            let sleep = async {
                match next {
                    Some(at) => inner.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep => {}
            }
            continue;
        }
        let envelopes = letters.iter().map(|(letter, _)| letter.again()).collect();
        let put = inner.bounded("move delayed messages", inner.put(queue, envelopes, "move delayed messages"));
        match put.await {
            Ok(()) => {
                for (letter, generation) in letters {
                    drop(queue.finish(letter, generation));
                }
            }
            Err(error) => {
                tracing::warn!(queue = %queue.name(), %error, "kafka: delayed messages stay where they are");
                let at = inner.clock.now() + limits::PAUSE;
                queue.change(|shelf| {
                    for (letter, generation) in letters {
                        shelf.carry_again(letter, generation, at);
                    }
                });
            }
        }
    }
}

/// Reads on where there is room again, and ends when nobody asks for this queue any more.
async fn attend(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) {
    let mut look = time::interval(limits::LOOK);
    let mut trimmed_at = inner.clock.now();
    loop {
        let changed = queue.changed.notified();
        tokio::select! {
            () = inner.closed() => return,
            _ = look.tick() => {}
            () = changed => {}
        }
        let resumed = queue.change_quietly(Shelf::to_resume);
        if !resumed.is_empty()
            && let Err(error) = member.resume(&list(queue, resumed))
        {
            tracing::warn!(queue = %queue.name(), %error, "kafka: cannot resume a partition");
        }
        let now = inner.clock.now();
        let unused = |shelf: &Shelf| {
            shelf.consuming == Consuming::Gone
                || (shelf.is_unused(now - limits::IDLE) && !shelf.is_holding())
        };
        let over = queue.look(unused);
        if over || now.since(trimmed_at) >= limits::TRIM_PAUSE {
            trimmed_at = now;
            let committed = queue.look(Shelf::committed_offsets);
            crate::trim::trim(inner, queue, committed);
        }
        if over {
            return;
        }
    }
}

/// Nothing of the queue is to be had: its consumer could not join in time.
pub(crate) fn away(inner: &Inner) -> Error {
    Error::new(Kind::Unavailable, CONSUME, inner.settings.address())
}
