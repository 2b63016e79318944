//! Looking after a member: reading on, removing what is finished, and the end.

use std::sync::Arc;

use forebay_core::limits::kafka as limits;
use tokio::time;

use super::trim::trim;
use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::shelf::{Consuming, Shelf};

/// Reads on where there is room again, and ends when nobody asks for this queue any more.
pub(super) async fn attend(inner: &Arc<Inner>, queue: &Arc<Queue>) {
    let mut look = time::interval(limits::LOOK);
    let mut trimmed_at = inner.clock.now();
    loop {
        let changed = queue.changed.notified();
        tokio::select! {
            () = inner.closed() => return,
            _ = look.tick() => {}
            () = changed => {}
        }
        queue.change_quietly(Shelf::resume_with_room);
        let now = inner.clock.now();
        let unused = |shelf: &Shelf| {
            shelf.consuming == Consuming::Gone || (shelf.is_unused(now - limits::IDLE) && !shelf.is_holding())
        };
        let over = queue.look(unused);
        if over || now.since(trimmed_at) >= limits::TRIM_PAUSE {
            trimmed_at = now;
            // What is retained for a time ends with the time, whatever is finished meanwhile.
            let due =
                queue.look(|shelf| if queue.retains() { shelf.committed_offsets() } else { shelf.to_trim() });
            if !due.is_empty() {
                trim(inner, queue, due, if over { limits::TRIM_TRIES } else { 1 });
            }
        }
        if over {
            return;
        }
    }
}
