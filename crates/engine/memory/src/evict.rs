//! What is pushed out when the budget is reached: S3-FIFO, with bytes for sizes.
//!
//! A small queue takes newcomers; what is used while it goes through moves on to the main queue, the rest is let go and
//! its key remembered for a while. The main queue gives what was used another round for every use, up to three.
//! Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023.

use forebay_core::limits::MEMORY_SPARED_MAX;

use crate::records::heap::{Body, Position};
use crate::records::queue::QueueName;
use crate::records::record::Header;
use crate::shard::{Cause, Shard};

/// The small queue is kept to one in so many bytes.
const SMALL_SHARE: usize = 10;

impl Shard {
    /// Pushes entries out until one with this body fits into the budget.
    pub(crate) fn make_room(&mut self, key_len: usize, body: &Body<'_>) {
        if self.heap.is_sparse() {
            self.gather();
        }
        let mut spared = 0;
        while self.bytes_bound() + body.weight(key_len) + self.bytes_to_grow(body) > self.bytes_max {
            let Some((queue, position)) = self.oldest() else { return };
            if spared < MEMORY_SPARED_MAX && self.spare(queue, position) {
                spared += 1;
                continue;
            }
            self.let_go(queue, position);
        }
    }

    /// The entry that the policy looks at next: that at the tail of the queue which is too long.
    fn oldest(&mut self) -> Option<(QueueName, Position)> {
        let (small, main) = (self.heap.size(QueueName::Small), self.heap.size(QueueName::Main));
        let (first, second) = if small > (small + main) / SMALL_SHARE {
            (QueueName::Small, QueueName::Main)
        } else {
            (QueueName::Main, QueueName::Small)
        };
        let mut at_tail = |queue| self.heap.oldest(queue).map(|position| (queue, position));
        at_tail(first).or_else(|| at_tail(second))
    }

    /// Moves an entry that was used to the head of the main queue; false if it was not.
    fn spare(&mut self, queue: QueueName, position: Position) -> bool {
        let mut header = self.heap.header(position);
        let uses = header.marks.uses();
        if uses == 0 || header.expired(self.now) {
            return false;
        }
        header.marks.set_uses(if queue == QueueName::Small { 0 } else { uses - 1 });
        self.copy_to_head(position, QueueName::Main, &header);
        true
    }

    fn let_go(&mut self, queue: QueueName, position: Position) {
        let hash = self.hash(self.heap.key(position));
        let over = self.heap.header(position).expired(self.now);
        if !over && queue == QueueName::Small {
            self.ghost.insert(hash, self.table.len());
        }
        drop(self.remove(hash, position, if over { Cause::Over } else { Cause::Evicted }));
    }

    /// Copies what is alive in the emptiest segment to the head of its queue, so that the segment is free.
    fn gather(&mut self) {
        let Some(segment) = self.heap.sparsest() else { return };
        let mut offset = 0;
        while let Some((position, next, header)) = self.heap.next_in(segment, offset) {
            let queue = self.heap.queue_of(position);
            self.copy_to_head(position, queue, &header);
            offset = next;
        }
    }

    fn copy_to_head(&mut self, position: Position, queue: QueueName, header: &Header) {
        let hash = self.hash(self.heap.key(position));
        let moved = self.heap.copy_to_head(position, queue, header);
        self.moved(hash, position, moved);
    }
}
