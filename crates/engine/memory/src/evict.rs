//! What is pushed out when the budget is reached: S3-FIFO, with bytes for sizes.
//!
//! A small queue takes newcomers; what is used while it goes through moves on to the main queue, the rest is let go and
//! its key remembered for a while. The main queue gives what was used another round for every use, up to three.
//! Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023.

use forebay_core::limits::MEMORY_SPARED_MAX;

use crate::records::heap::Position;
use crate::records::queue::QueueName;
use crate::records::record::Header;
use crate::shard::{Cause, Shard};

/// The small queue is kept to one in so many bytes.
const SMALL_SHARE: usize = 10;

impl Shard {
    /// Pushes entries out until one of this size fits into the budget.
    pub(crate) fn make_room(&mut self, key_len: usize, value_len: usize) {
        if self.heap.is_sparse() {
            self.gather();
        }
        let mut spared = 0;
        while self.bytes_bound() + self.weight(key_len, value_len) > self.bytes_max {
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
        self.remove(hash, position, if over { Cause::Over } else { Cause::Evicted });
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

    /// Moves segments that lie where a large value is to go. It is free room that is wanted, so there is some below.
    pub(crate) fn make_way(&mut self, value_len: usize) {
        while let Some(from) = self.heap.in_the_way(value_len) {
            let Some(to) = self.heap.free_below(from) else { return };
            let mut offset = 0;
            while let Some((position, next, _)) = self.heap.next_in(from, offset) {
                let hash = self.hash(self.heap.key(position));
                self.moved(hash, position, self.heap.moved(position, to));
                offset = next;
            }
            self.heap.move_segment(from, to);
        }
    }

    fn copy_to_head(&mut self, position: Position, queue: QueueName, header: &Header) {
        let hash = self.hash(self.heap.key(position));
        let moved = self.heap.copy_to_head(position, queue, header);
        self.moved(hash, position, moved);
    }
}

#[cfg(test)]
mod tests {
    use foldhash::fast::RandomState;
    use forebay_core::entry::Version;
    use forebay_core::time::Instant;

    use super::*;
    use crate::records::record::Marks;
    use crate::shard::{Fields, Found};

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);
    const VALUE: [u8; 500] = [7; 500];

    fn shard() -> Shard {
        Shard::new(512 * 1024, Version(0), 1, RandomState::default())
    }

    fn find(shard: &mut Shard, number: u32) -> Option<Found> {
        let hash = shard.hash(&number.to_be_bytes());
        shard.find(hash, &number.to_be_bytes(), NOW)
    }

    fn insert(shard: &mut Shard, number: u32) -> Found {
        let hash = shard.hash(&number.to_be_bytes());
        let fields = Fields { now: NOW, flags: 0, expires_at: None, marks: Marks::default() };
        shard.insert(hash, &number.to_be_bytes(), &VALUE, fields)
    }

    /// Inserts newcomers until `number` has been looked at by the eviction; returns where it is then.
    fn press(shard: &mut Shard, number: u32) -> Option<QueueName> {
        let before = find(shard, number)?.position;
        for newcomer in 1_000_000.. {
            match find(shard, number) {
                None => return None,
                Some(found) if found.position != before => return Some(shard.heap.queue_of(found.position)),
                Some(_) => _ = insert(shard, newcomer),
            }
        }
        None
    }

    #[test]
    fn what_was_not_used_leaves_the_small_queue_for_good() {
        let mut shard = shard();
        insert(&mut shard, 1);
        assert_eq!(press(&mut shard, 1), None);
        assert_eq!(shard.counts.evicted, shard.counts.evicted_unread);
        assert!(shard.counts.evicted > 0);
    }

    #[test]
    fn what_was_used_moves_to_the_main_queue() {
        let mut shard = shard();
        let found = insert(&mut shard, 1);
        assert_eq!(shard.heap.queue_of(found.position), QueueName::Small);
        shard.used(found);
        assert_eq!(press(&mut shard, 1), Some(QueueName::Main));
        let found = find(&mut shard, 1).unwrap();
        assert_eq!(found.header.marks.uses(), 0, "and has to be used again to stay");
    }

    #[test]
    fn what_comes_back_soon_goes_to_the_main_queue_at_once() {
        let mut shard = shard();
        insert(&mut shard, 1);
        assert_eq!(press(&mut shard, 1), None);
        let found = insert(&mut shard, 1);
        assert_eq!(shard.heap.queue_of(found.position), QueueName::Main);
    }

    #[test]
    fn a_write_spares_a_bounded_number_of_entries() {
        let mut shard = Shard::new(2 * 1024 * 1024, Version(0), 1, RandomState::default());
        let mut number = 0;
        while shard.counts.evicted == 0 {
            let found = insert(&mut shard, number);
            let mut header = found.header;
            header.marks.set_uses(3);
            shard.heap.set_header(found.position, &header);
            number += 1;
        }
        let spared = (0..number)
            .filter_map(|number| find(&mut shard, number))
            .collect::<Vec<_>>()
            .into_iter()
            .filter(|found| shard.heap.queue_of(found.position) == QueueName::Main)
            .count();
        assert_eq!(spared, MEMORY_SPARED_MAX, "of {number} that were used");
    }
}
