//! Looking after a member: reading on, removing what is finished, and the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::limits::kafka as limits;
use rdkafka::consumer::Consumer;
use tokio::time;

use super::member::{Member, list};
use super::trim::trim;
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::shelf::{Consuming, Shelf};

/// Reads on where there is room again, and ends when nobody asks for this queue any more.
pub(super) async fn attend(inner: &Arc<Inner>, queue: &Arc<Queue>, member: &Arc<Member>) {
    let mut look = time::interval(limits::LOOK);
    let (mut trimmed_at, mut trimmed) = (inner.clock.now(), BTreeMap::new());
    loop {
        let changed = queue.changed.notified();
        tokio::select! {
            () = inner.closed() => return,
            _ = look.tick() => {}
            () = changed => {}
        }
        let resumed = queue.change_quietly(Shelf::resume_with_room);
        if !resumed.is_empty()
            && let Err(error) = member.resume(&list(queue, resumed))
        {
            tracing::warn!(queue = %queue.name(), %error, "kafka: cannot resume a partition");
        }
        let now = inner.clock.now();
        let unused = |shelf: &Shelf| {
            shelf.consuming == Consuming::Gone || (shelf.is_unused(now - limits::IDLE) && !shelf.is_holding())
        };
        let over = queue.look(unused);
        if over || now.since(trimmed_at) >= limits::TRIM_PAUSE {
            trimmed_at = now;
            let committed = queue.look(Shelf::committed_offsets);
            if committed != trimmed || queue.retains() {
                trimmed = committed.clone();
                trim(inner, queue, committed);
            }
        }
        if over {
            return;
        }
    }
}
