//! Committing what was settled, all that waits at a time.

use std::convert::Infallible;
use std::sync::Arc;

use forebay_core::limits::kafka as limits;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time;

use super::member::Member;
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::commit::{Batch, Fate};
use crate::queue::shelf::Shelf;

/// Goes on for as long as it is polled.
pub(super) async fn commit(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) -> Infallible {
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
            let mut element =
                offsets.add_partition(queue.names.lane(said.source.lane), said.source.partition);
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
