//! Removing what is finished from the servers: Kafka itself is told to keep everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::error::{Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::queue::Retain;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time;

use crate::inner::Inner;
use crate::link::refusal;
use crate::queue::Queue;
use crate::queue::contiguous::Offset as At;
use crate::queue::letter::Source;
use crate::queue::names::Lane;

const TRIM: &str = "remove finished messages";

/// In the background, up to so many times: while the queue is looked after what came to nothing is seen there the next time,
/// and at the end nobody sees it. Kafka forgets in time what of a queue at rest is finished, but never what it has.
pub(crate) fn trim(inner: &Arc<Inner>, queue: &Arc<Queue>, committed: BTreeMap<Source, At>, tries: usize) {
    let (background, queue) = (inner.clone(), queue.clone());
    inner.run(async move {
        for _ in 0..tries {
            match try_trim(&background, &queue, &committed).await {
                Ok(()) => return queue.change_quietly(|shelf| shelf.trimmed(&committed)),
                Err(error) if error.kind() == Kind::NotFound => return,
                Err(error) => {
                    tracing::debug!(queue = %queue.name(), %error, "kafka: what is finished stays for now");
                }
            }
            tokio::select! {
                () = background.closed() => return,
                () = time::sleep(limits::TRIM_PAUSE) => {}
            }
        }
    });
}

async fn try_trim(inner: &Arc<Inner>, queue: &Arc<Queue>, committed: &BTreeMap<Source, At>) -> Result<()> {
    let mut ends = committed.clone();
    if let Retain::For(time) = queue.settings.retain {
        let kept = inner.offset_at(queue, inner.clock.now() - time, TRIM).await?;
        let main = ends.iter_mut().filter(|(source, _)| source.lane == Lane::Main);
        main.for_each(|(_, end)| *end = kept.min(*end));
    }
    let lanes = ends.iter().map(|(source, end)| (queue.names.lane(source.lane), source.partition, *end));
    remove(inner, queue, lanes, TRIM).await?;
    let first = ends.iter().find(|(source, _)| source.lane == Lane::Main);
    if let Some((_, first)) = first.filter(|_| queue.retains()) {
        // What is said of messages that are no more is of use to nobody.
        let gone = inner.gone_before(queue, *first, TRIM).await?;
        remove(inner, queue, [(queue.names.gone.as_str(), 0, gone)], TRIM).await?;
    }
    Ok(())
}

/// Removes what lies before these offsets of topics' partitions from the servers. `Ok`: all of it is gone.
pub(crate) async fn remove<'a>(
    inner: &Inner,
    queue: &Queue,
    ends: impl IntoIterator<Item = (&'a str, i32, At)>,
    operation: &'static str,
) -> Result<()> {
    let mut before = TopicPartitionList::new();
    for (topic, partition, end) in ends.into_iter().filter(|(.., end)| *end > 0) {
        // A number is always an offset.
        drop(before.add_partition_offset(topic, partition, Offset::Offset(end)));
    }
    if before.count() == 0 {
        return Ok(());
    }
    let refuse = |error| refusal(error, operation, queue.name().as_str());
    let removed = inner.clients(operation)?.admin.delete_records(&before, &inner.admin_options()).await;
    removed.map_err(refuse)?.elements().iter().try_for_each(|element| element.error()).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::{QueueName, QueueSettings};
    use forebay_runtime::clock::TokioClock;
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::queue::names::Names;
    use crate::settings::KafkaSettings;

    #[tokio::test]
    async fn what_one_server_does_not_remove_is_an_error_though_others_answer() {
        let cluster = MockCluster::new(1).unwrap();
        let name = QueueName::new("orders").unwrap();
        let names = Names::new("", &name, 1).unwrap();
        cluster.create_topic(&names.main, 2, 1).unwrap();
        cluster.partition_leader(&names.main, 1, None).unwrap();
        let url = format!("kafka://{}?wait_ms=1000", cluster.bootstrap_servers());
        let settings = KafkaSettings::parse(&url).unwrap();
        let (inner, _errands) = Inner::new(settings, Arc::new(TokioClock::new()));
        let queue = Queue::new(QueueSettings::new(name), 1, names);
        let ends = [0, 1].map(|partition| (queue.names.main.as_str(), partition, 5));
        let refused = remove(&inner, &queue, ends, "purge queue").await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
    }
}
