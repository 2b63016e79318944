//! Removing what is finished from the servers: Kafka itself is told to keep everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::queue::Retain;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::contiguous::Offset as At;
use crate::queue::letter::Source;
use crate::queue::names::Lane;

/// In the background, and tried again the next time if that comes to nothing.
pub(crate) fn trim(inner: &Arc<Inner>, queue: &Arc<Queue>, committed: BTreeMap<Source, At>) {
    let (background, queue) = (inner.clone(), queue.clone());
    inner.run(async move {
        if let Err(error) = try_trim(&background, &queue, committed).await {
            tracing::debug!(queue = %queue.name(), %error, "kafka: what is finished stays for now");
        }
    });
}

async fn try_trim(
    inner: &Arc<Inner>,
    queue: &Arc<Queue>,
    committed: BTreeMap<Source, At>,
) -> forebay_core::error::Result<()> {
    const TRIM: &str = "remove finished messages";
    let clients = inner.clients(TRIM)?;
    let mut kept_from = None;
    if let Retain::For(time) = queue.settings.retain {
        kept_from = Some(inner.offset_at(queue, inner.clock.now() - time, TRIM).await?);
    }
    let mut before = TopicPartitionList::new();
    for (source, base) in committed {
        let base = match kept_from {
            Some(kept) if source.lane == Lane::Main => base.min(kept),
            _ => base,
        };
        if base > 0 {
            let added = before.add_partition_offset(
                queue.names.lane(source.lane),
                source.partition,
                Offset::Offset(base),
            );
            // A number is always an offset.
            drop(added);
        }
    }
    if before.count() == 0 {
        return Ok(());
    }
    let removed = clients.admin.delete_records(&before, &inner.admin_options()).await;
    removed.map(drop).map_err(|error| crate::link::refusal(error, TRIM, queue.name().as_str()))
}
