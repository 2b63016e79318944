//! A member of a queue's group: joining, what it is told of partitions that come and go, and leaving.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Notify;
use tokio::task;

use super::attend::attend;
use super::carry::carry;
use super::commit::commit;
use super::read::read;
use crate::inner::Inner;
use crate::link::{config, refusal};
use crate::queue::Queue;
use crate::queue::letter::Source;
use crate::queue::names::Lane;
use crate::queue::shelf::Consuming;

pub(super) const CONSUME: &str = "receive from queue";

/// What is told of partitions that come and go.
pub(super) struct Watch {
    queue: Arc<Queue>,
    /// Whose it is, once that was made.
    member: OnceLock<Weak<Member>>,
    /// Partitions that have queues of their own at the client.
    split: Mutex<BTreeSet<Source>>,
    /// Partitions that came, and were not yet seen to.
    pub(super) assigned: Mutex<Option<Vec<Source>>>,
    pub(super) came: Notify,
}

pub(super) type Member = StreamConsumer<Watch>;

impl ClientContext for Watch {}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let gone = match rebalance {
            Rebalance::Revoke(partitions) => sources(partitions),
            Rebalance::Assign(partitions) => return self.split(sources(partitions)),
            Rebalance::Error(_) => return,
        };
        // Asked before anything is given back, which makes it forgotten.
        let lost = member.assignment_lost();
        if gone.contains(&FIRST) {
            self.told(member.incremental_unassign(&list(&self.queue, waits())));
        }
        if let Some(assigned) = &mut *self.assigned.lock() {
            assigned.retain(|source| !gone.contains(source));
        }
        // Before anybody else can have them: what is held of them is held no more.
        self.queue.change(|shelf| {
            gone.into_iter().for_each(|source| shelf.revoke(source));
            if lost {
                shelf.lose();
            }
        });
    }

    fn post_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                let came = sources(partitions);
                if came.contains(&FIRST) {
                    self.told(member.incremental_assign(&list(&self.queue, waits())));
                }
                self.assigned.lock().get_or_insert_default().extend(came);
                self.came.notify_one();
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => self.told(Err(error.clone())),
        }
    }
}

impl Watch {
    /// Has the client put what comes of these into a queue for each, from the first message on: of a partition's messages none
    /// may overtake others.
    fn split(&self, sources: Vec<Source>) {
        let Some(member) = self.member.get().and_then(Weak::upgrade) else { return };
        let mut split = self.split.lock();
        // Once is enough, and who reads the queue meanwhile would not be woken any more.
        for source in sources {
            let topic = self.queue.names.lane(source.lane);
            if !split.contains(&source) && member.split_partition_queue(topic, source.partition).is_some() {
                split.insert(source);
            }
        }
    }

    fn told(&self, result: KafkaResult<()>) {
        if let Err(error) = result {
            tracing::warn!(queue = %self.queue.name(), %error, "kafka: partitions cannot be taken or given");
        }
    }
}

/// Whoever has it has the waiting topic too: the group shares out nothing but partitions of messages that are ready.
const FIRST: Source = Source { lane: Lane::Main, partition: 0 };

fn waits() -> impl Iterator<Item = Source> {
    (0..).zip(limits::WAIT_LEVELS).map(|(partition, _)| Source { lane: Lane::Wait, partition })
}

/// Of the one topic that is subscribed, and what goes with them.
fn sources(partitions: &TopicPartitionList) -> Vec<Source> {
    let source = |partition| Source { lane: Lane::Main, partition };
    let mut sources: Vec<_> =
        partitions.elements().iter().map(|element| source(element.partition())).collect();
    if sources.contains(&FIRST) {
        sources.extend(waits());
    }
    sources
}

pub(super) fn list(queue: &Queue, sources: impl IntoIterator<Item = Source>) -> TopicPartitionList {
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
    let leaving = Leaving(&queue);
    let consumed = try_consume(&inner, &queue, &mut left).await;
    drop(leaving);
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

/// Lets go of all partitions when it goes, if only because nobody runs the member any more: who waits for a commit is told.
struct Leaving<'a>(&'a Queue);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.change(|shelf| shelf.leave(Consuming::Yes { joined: false }));
    }
}

/// Consumes until nobody asks any more, or it goes no further.
async fn try_consume(inner: &Arc<Inner>, queue: &Arc<Queue>, left: &mut Option<Arc<Member>>) -> Result<()> {
    let failed = |error| refusal(error, CONSUME, queue.name().as_str());
    let (session, fetched_kib) = (inner.settings.session, fetched_kib(inner, queue).await?);
    let mut config = config(&inner.settings);
    config
        .set("group.id", queue.names.group())
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.as_millis().to_string())
        .set("heartbeat.interval.ms", (session / 4).min(limits::HEARTBEAT_MAX).as_millis().to_string())
        .set("max.poll.interval.ms", session.max(Duration::from_secs(300)).as_millis().to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", limits::FETCH_WAIT.as_millis().to_string())
        .set("fetch.error.backoff.ms", "50")
        .set("fetch.queue.backoff.ms", "20")
        .set("fetch.max.bytes", limits::MESSAGE_BYTES_MAX.to_string())
        .set("receive.message.max.bytes", (limits::MESSAGE_BYTES_MAX + 2 * 1024 * 1024).to_string())
        .set("queued.min.messages", limits::FETCHED_MESSAGES_MAX.to_string())
        .set("queued.max.messages.kbytes", fetched_kib.to_string())
        .set("max.partition.fetch.bytes", (fetched_kib.min(limits::FETCH_KIB_MAX) * 1_024).to_string())
        // It says that all was read even where no message lies right before the end.
        .set("enable.partition.eof", "true");
    let watch = Watch {
        queue: queue.clone(),
        member: OnceLock::new(),
        split: Mutex::default(),
        assigned: Mutex::default(),
        came: Notify::new(),
    };
    let member: Arc<Member> = Arc::new(config.create_with_context(watch).map_err(failed)?);
    // Nobody has set it before.
    let _ = member.context().member.set(Arc::downgrade(&member));
    *left = Some(member.clone());
    // The group shares out the other topic alone; of this one nobody else tells the client where it is.
    let (asks, asked, wait) = (member.clone(), queue.clone(), inner.settings.wait);
    let found = inner.blocking(CONSUME, move || asks.fetch_metadata(Some(&asked.names.wait), wait).map(drop));
    found.await?.map_err(failed)?;
    member.subscribe(&[&queue.names.main]).map_err(failed)?;
    tokio::select! {
        biased;
        // Somebody waits for it, and it has little to do before it waits itself.
        never = commit(inner, queue, &member) => match never {},
        () = attend(inner, queue) => Ok(()),
        never = carry(inner, queue) => match never {},
        read = read(inner, queue, &member) => read,
    }
}

/// What the client may have of each partition: its share of what it may have of the queue.
async fn fetched_kib(inner: &Inner, queue: &Arc<Queue>) -> Result<usize> {
    let (clients, asked, wait) = (inner.clients(CONSUME)?, queue.clone(), inner.settings.wait);
    let found = inner.blocking(CONSUME, move || {
        let found = clients.admin.inner().fetch_metadata(Some(&asked.names.main), wait)?;
        Ok(found.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>())
    });
    let found = found.await?.map_err(|error: KafkaError| refusal(error, CONSUME, queue.name().as_str()))?;
    Ok((limits::FETCHED_KIB_MAX / (found + limits::WAIT_LEVELS.len())).max(limits::FETCHED_KIB_MIN))
}

/// Nothing of the queue is to be had: its consumer could not join in time.
pub(crate) fn away(inner: &Inner, queue: &Queue) -> Error {
    let away = Error::new(Kind::Unavailable, CONSUME, inner.settings.address());
    match queue.look(|shelf| shelf.trouble.clone()) {
        Some(trouble) => away.because(trouble),
        None => away,
    }
}
