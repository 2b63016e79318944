//! How much is in a queue, as the servers know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::error::{Kind, Result};
use forebay_core::limits::kafka as limits;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time;

use crate::inner::Inner;
use crate::link::{config, has_no_leader, is_unknown};
use crate::queue::Queue;
use crate::queue::contiguous::{Contiguous, Offset as At};
use crate::queue::letter::Source;
use crate::queue::names::Lane;

/// What is in a partition.
pub(crate) struct Depth {
    /// Not settled.
    pub(crate) open: u64,
    /// Behind its last message.
    pub(crate) end: At,
}

impl Inner {
    /// All partitions of a queue.
    pub(crate) async fn depths(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        operation: &'static str,
    ) -> Result<BTreeMap<Source, Depth>> {
        let late = time::Instant::now() + self.settings.wait;
        loop {
            let (inner, asked) = (self.clone(), queue.clone());
            let told = self.blocking(operation, move || depths(&inner, &asked)).await?;
            let error = match told {
                Ok(depths) => return Ok(depths),
                Err(error) => error,
            };
            // A queue that was declared a moment ago has its leaders soon, as has one whose server went away.
            let is_worth_a_try = (has_no_leader(&error) || is_unknown(&error)) && time::Instant::now() < late;
            let refused = self.refusal(queue, error, operation).await;
            if !is_worth_a_try || refused.kind() != Kind::Unavailable {
                return Err(refused);
            }
            time::sleep(limits::PAUSE).await;
        }
    }
}

fn depths(inner: &Inner, queue: &Queue) -> std::result::Result<BTreeMap<Source, Depth>, KafkaError> {
    let wait = inner.settings.wait;
    let mut config = config(&inner.settings);
    // It is not joined: the committed offsets are told by its name.
    config.set("group.id", queue.names.group()).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut depths = BTreeMap::new();
    for lane in [Lane::Main, Lane::Wait] {
        let topic = queue.names.lane(lane);
        let metadata = consumer.fetch_metadata(Some(topic), wait)?;
        let mut asked = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            asked.add_partition(topic, partition.id());
        }
        let committed = consumer.committed_offsets(asked, wait)?;
        for element in committed.elements() {
            let (low, end) = consumer.fetch_watermarks(topic, element.partition(), wait)?;
            let open = match element.offset() {
                // One that lies behind the end is of messages that the servers have lost.
                Offset::Offset(base) if base <= end => {
                    let mut offsets = Contiguous::restore(base, element.metadata());
                    // What lies before it was removed.
                    offsets.skip_to(low);
                    let all = u64::try_from(end - offsets.base().max(low)).unwrap_or(0);
                    all.saturating_sub(offsets.settled_before(end))
                }
                _ => u64::try_from(end - low).unwrap_or(0),
            };
            depths.insert(Source { lane, partition: element.partition() }, Depth { open, end });
        }
    }
    Ok(depths)
}
