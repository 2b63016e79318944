//! Committing what was settled, all that waits at a time.

use std::convert::Infallible;
use std::sync::Arc;

use forebay_core::limits::kafka as limits;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::{task, time};

use super::member::Member;
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::commit::{Batch, Fate};
use crate::queue::shelf::Shelf;

/// Goes on for as long as it is polled.
pub(super) async fn commit(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) -> Infallible {
    loop {
        queue.commits.notified().await;
        gather(queue).await;
        while let Some(mut batch) = queue.change_quietly(Shelf::batch) {
            let (fate, left_out) = commit_batch(inner, queue, member, &mut batch).await;
            let now = inner.clock.now();
            queue.change(|shelf| shelf.committed(batch, fate, left_out, now));
            if fate == Fate::Failed {
                time::sleep(limits::PAUSE).await;
            }
        }
    }
}

/// Lets those who settle together come before they are committed: as long as there are more of them each time one looks, and
/// any that could come.
async fn gather(queue: &Queue) {
    let mut waiting = 0;
    for _ in 0..limits::GATHER_MAX {
        let (now, more) =
            queue.look(|shelf| (shelf.waiting_count(), shelf.holds.held_letters().next().is_some()));
        if now <= waiting || !more {
            return;
        }
        waiting = now;
        task::yield_now().await;
    }
}

/// What the batch came to, and what what was left out of it did: of a commit that was tried in vain nobody knows. Not even if the
/// coordinator has refused it: the client sends one again by itself whose answer was lost, and tells of the last answer alone.
async fn commit_batch(
    inner: &Inner,
    queue: &Arc<Queue>,
    member: &Arc<Member>,
    batch: &mut Batch,
) -> (Fate, Fate) {
    let late = time::Instant::now() + inner.settings.wait;
    let mut left_out = Fate::Lost;
    loop {
        queue.look(|shelf| shelf.still_ours(batch));
        if batch.said.is_empty() {
            return (left_out, left_out);
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
        match time::timeout_at(late, committed).await {
            Ok(Ok(Ok(()))) => return (Fate::Committed, left_out),
            unsure => {
                left_out = Fate::Unsure;
                tracing::debug!(queue = %queue.name(), ?unsure, "kafka: commit");
            }
        }
        if time::Instant::now() >= late {
            return (Fate::Failed, left_out);
        }
        time::sleep(limits::PAUSE / 5).await;
    }
}
