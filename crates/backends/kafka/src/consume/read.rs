//! Reading the partitions that are ours.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time;

use super::follow::follow;
use super::member::{CONSUME, Member, list};
use crate::inner::Inner;
use crate::link::refusal;
use crate::message::envelope::HEADER;
use crate::queue::Queue;
use crate::queue::contiguous::Offset as At;
use crate::queue::letter::Source;
use crate::queue::names::Lane;
use crate::queue::shelf::Consuming;

/// Reads what comes of our partitions, each from a queue of its own, and what the client has to tell.
pub(super) async fn read(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) -> Result<()> {
    let mut events = member.stream();
    let (mut followed, mut following) = (BTreeSet::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            biased;
            () = member.context().came.notified() => {
                let Some(sources) = member.context().assigned.lock().take() else { continue };
                for source in &sources {
                    if followed.insert(*source) {
                        let told = queue.change_quietly(|shelf| shelf.reader(*source));
                        let topic = queue.names.lane(source.lane);
                        let came = member.split_partition_queue(topic, source.partition);
                        let came = came.ok_or_else(|| unread(queue))?;
                        following.push(follow(inner, queue, *source, told, came));
                    }
                }
                open(inner, queue, member, sources).await?;
            }
            event = events.next() => match event {
                None => {}
                // It would be missing among those that its own queue brings.
                Some(Ok(_)) => return Err(unread(queue)),
                Some(Err(error)) => go_on(queue, error)?,
            },
            Some(ended) = following.next() => ended?,
        }
    }
}

fn unread(queue: &Queue) -> Error {
    let error = Error::new(Kind::Unavailable, CONSUME, queue.name().as_str());
    error.because("a partition has no queue of its own")
}

/// The client goes on by itself from all but the errors that this returns.
pub(super) fn go_on(queue: &Queue, error: KafkaError) -> Result<()> {
    match error.rdkafka_error_code() {
        // Deleted, or not there yet on this server.
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {}
        _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {}
        _ => {
            tell(queue, error);
            return Ok(());
        }
    }
    Err(refusal(error, CONSUME, queue.name().as_str()))
}

/// The client goes on, but nothing may come for as long as this is so: whoever waits is told of it.
fn tell(queue: &Queue, error: KafkaError) {
    let away = matches!(
        error.rdkafka_error_code(),
        Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut)
    );
    let is_new = queue.change_quietly(|shelf| shelf.trouble.replace(error.clone()).as_ref() != Some(&error));
    if is_new && !away {
        tracing::warn!(queue = %queue.name(), %error, "kafka: consuming");
    } else {
        tracing::debug!(queue = %queue.name(), %error, "kafka: consuming");
    }
}

/// Asks what of newly assigned partitions is settled. Nothing of them is handed out before.
async fn open(
    inner: &Arc<Inner>,
    queue: &Arc<Queue>,
    member: &Arc<Member>,
    sources: Vec<Source>,
) -> Result<()> {
    let (asked, names, wait) = (member.clone(), queue.clone(), inner.settings.wait);
    let clients = inner.clients(CONSUME)?;
    let found = inner.blocking(CONSUME, move || {
        let committed = asked.committed_offsets(list(&names, sources.iter().copied()), wait)?;
        // Not by the member itself: its connection is busy waiting for what comes.
        let ends = [Lane::Main, Lane::Wait].map(|lane| {
            let of_lane = sources.iter().filter(|source| source.lane == lane);
            let partitions: Vec<_> = of_lane.map(|source| source.partition).collect();
            (lane, ends(clients.admin.inner(), names.names.lane(lane), &partitions, wait))
        });
        let ends = BTreeMap::from(ends);
        let (mut found, mut cut) = (Vec::with_capacity(sources.len()), TopicPartitionList::new());
        for source in sources {
            let topic = names.names.lane(source.lane);
            let element = committed.find_partition(topic, source.partition);
            let (base, mark) = match element.as_ref().map(|element| (element.offset(), element.metadata())) {
                Some((Offset::Offset(base), mark)) => (base, mark.to_owned()),
                _ => (0, String::new()),
            };
            let ends = ends.get(&source.lane).and_then(|ends| ends.get(&source.partition)).copied();
            if let Some((low, _)) = ends.filter(|(_, head)| *head < base) {
                cut.add_partition_offset(topic, source.partition, Offset::Offset(low))?;
            }
            let head = ends.filter(|_| source.lane == Lane::Main).map(|(_, head)| head);
            found.push((source, base, mark, head.unwrap_or(base)));
        }
        if cut.count() > 0 {
            // What was written there since has places that are said to be settled. Which of what is left was so nobody
            // knows; another consumer begins with the first of it.
            asked.commit(&cut, CommitMode::Sync)?;
            return Ok(None);
        }
        Ok(Some(found))
    });
    let found = found.await?.map_err(|error: KafkaError| refusal(error, CONSUME, queue.name().as_str()))?;
    let Some(found) = found else {
        let error = Error::new(Kind::Unavailable, CONSUME, queue.name().as_str());
        return Err(error.because("a partition has lost its end, and what is left of it comes again"));
    };
    queue.change(|shelf| {
        for (source, base, mark, head) in found {
            shelf.assign(source, base, &mark, head);
        }
        shelf.trouble = None;
        if shelf.consuming != Consuming::Gone {
            shelf.consuming = Consuming::Yes { joined: true };
        }
    });
    Ok(())
}

/// Where partitions of a topic begin and end, of those that say so in time. One without a leader must not keep us from the
/// others: it is not asked, and is read once it has one. That it has lost its end is seen then, by what comes of it.
fn ends<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partitions: &[i32],
    wait: Duration,
) -> BTreeMap<i32, (At, At)> {
    let late = time::Instant::now() + wait;
    let mut ends = BTreeMap::new();
    if partitions.is_empty() {
        return ends;
    }
    let Ok(metadata) = client.fetch_metadata(Some(topic), wait) else { return ends };
    let there = metadata.topics().iter().flat_map(|topic| topic.partitions());
    for partition in there.filter(|there| there.leader() >= 0 && partitions.contains(&there.id())) {
        let left = late.saturating_duration_since(time::Instant::now());
        if left.is_zero() {
            break;
        }
        if let Ok(found) = client.fetch_watermarks(topic, partition.id(), left) {
            ends.insert(partition.id(), found);
        }
    }
    ends
}

/// What this library has put beside a payload.
pub(crate) fn header<'a>(record: &'a BorrowedMessage<'_>) -> Option<&'a [u8]> {
    let headers = record.headers().filter(|headers| headers.count() > 0)?;
    // The client gives up on a name that is no text, which a foreign message may have.
    catch_unwind(AssertUnwindSafe(|| {
        let first = headers.get(0);
        first.value.filter(|_| first.key == HEADER)
    }))
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_partition_without_a_leader_keeps_nobody_from_the_others() {
        let cluster = MockCluster::new(2).unwrap();
        cluster.create_topic("orders", 3, 1).unwrap();
        cluster.partition_leader("orders", 1, None).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let asked: BaseConsumer = config.create().unwrap();
        let ends = ends(asked.client(), "orders", &[0, 1, 2], Duration::from_secs(30));
        assert_eq!(ends, BTreeMap::from([(0, (0, 0)), (2, (0, 0))]));
    }
}
