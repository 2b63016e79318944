//! What is pushed out when the budget is reached: S3-FIFO, with bytes for sizes.
//!
//! A small queue takes newcomers; what is used while it goes through moves on to the main queue, the rest is let go and
//! its key remembered for a while. The main queue gives what was used another round for every use, up to three.
//! Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023.

use forebay_core::entry::Claim;
use forebay_core::limits::memory::{EVICTED_MAX, HOLDS_MAX, MOVED_BYTES_MAX, SHRINK_STEP_BYTES, SPARED_MAX};

use crate::ghost::Ghost;
use crate::records::heap::Position;
use crate::records::queue::QueueName;
use crate::records::record::Header;
use crate::shard::{Cause, Shard};

/// The small queue is kept to one in so many bytes.
const SMALL_SHARE: usize = 10;
/// How often a write may carry the entry that it is about to replace out of its own way.
const OWN_SPARED_MAX: usize = 16;
/// Looking up the records of a segment takes as long as moving so many times its bytes.
const LOOKED_UP_COST: usize = 4;

/// How often a write may take the shard to make room for a value.
pub(crate) fn holds_max(value_len: usize) -> usize {
    HOLDS_MAX * (1 + value_len / (1024 * 1024))
}

impl Shard {
    /// Makes room in the budget and in memory for an entry, but does no more of it than the lock may be held for: true when
    /// the room is there, false when this is to be called again. What has the key itself is not pushed out for it.
    pub(crate) fn make_room(&mut self, hash: u64, key: &[u8], value_len: usize) -> bool {
        if self.heap.is_sparse() {
            self.gather();
        }
        let (mut spared, mut own_spared, mut let_go) = (0, 0, 0);
        while self.bytes_bound() + self.weight(hash, key.len(), value_len) > self.bytes_max {
            if let_go == EVICTED_MAX {
                return false;
            }
            let Some((queue, position)) = self.oldest() else {
                self.forget_ghosts();
                break;
            };
            if own_spared < OWN_SPARED_MAX && self.heap.key(position) == key {
                let header = self.heap.header(position);
                self.copy_to_head(position, queue, &header);
                own_spared += 1;
            } else if !self.spare_one(&mut spared, queue, position) {
                self.let_go(queue, position, Cause::Evicted);
                let_go += 1;
            }
        }
        self.make_way(value_len)
    }

    /// Makes room for an entry that is about to be written. A small one has its room after one step; a large one has it before,
    /// unless the value that it replaces had to go first.
    pub(crate) fn make_all_room(&mut self, hash: u64, key: &[u8], value_len: usize) {
        let steps_max = if self.heap.is_large(value_len) { holds_max(value_len) } else { 1 };
        for _ in 0..steps_max {
            if self.make_room(hash, key, value_len) {
                return;
            }
        }
    }

    /// Whether the shard is within a smaller budget, after having pushed out as much as the lock may be held for. The budget
    /// follows in small steps, so that no write finds itself far beyond it.
    pub(crate) fn shrink(&mut self, bytes_max: usize) -> bool {
        let step = self.bytes_max.min(self.bytes_bound()).saturating_sub(SHRINK_STEP_BYTES);
        self.bytes_max = bytes_max.max(step).min(self.bytes_max);
        let mut spared = 0;
        while self.bytes_bound() > self.bytes_max {
            let Some((queue, position)) = self.oldest() else {
                self.forget_ghosts();
                break;
            };
            if !self.spare_one(&mut spared, queue, position) {
                self.let_go(queue, position, Cause::Resized);
            }
        }
        self.bytes_max == bytes_max
    }

    /// What is remembered of others is worth less than an entry.
    fn forget_ghosts(&mut self) {
        self.ghost = Ghost::default();
    }

    /// Spares an entry that was used, as long as not too many were.
    fn spare_one(&mut self, spared: &mut usize, queue: QueueName, position: Position) -> bool {
        let spares = *spared < SPARED_MAX && self.spare(queue, position);
        *spared += usize::from(spares);
        spares
    }

    /// Whether all memory beyond the budget is given back to the system, after moving as much as the lock may be held for.
    pub(crate) fn give_back(&mut self) -> bool {
        let mut moved = 0;
        while let Some(from) = self.heap.in_the_way_of_cut() {
            if moved >= MOVED_BYTES_MAX {
                return false;
            }
            let Some(to) = self.heap.free_below(from) else { return true };
            moved += self.move_segment(from, to);
        }
        loop {
            match self.heap.cut_step() {
                0 => return true,
                step => moved += step,
            }
            if moved >= MOVED_BYTES_MAX {
                return false;
            }
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

    fn let_go(&mut self, queue: QueueName, position: Position, cause: Cause) {
        debug_assert!(!self.is_flushed(), "what was flushed is nobody's to push out");
        let hash = self.hash(self.heap.key(position));
        let over = self.heap.header(position).expired(self.now);
        if !over && queue == QueueName::Small {
            self.ghost.insert(hash, self.table.len());
        }
        if !over {
            let header = self.heap.header(position);
            let view = header.view(self.heap.value(position, &header), Claim::None);
            self.observers.evicted(self.heap.key(position), view, self.now);
        }
        self.remove(hash, position, if over { Cause::Over } else { cause });
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

    /// Moves what lies where a segment is to begin, or where a large value is to go; false when there is more to move than the
    /// lock may be held for. It is free room that is wanted, so there is some elsewhere.
    fn make_way(&mut self, value_len: usize) -> bool {
        let mut moved = 0;
        loop {
            if moved >= MOVED_BYTES_MAX {
                return false;
            }
            let step = match self.heap.ready_step() {
                0 => match self.heap.in_the_way(value_len) {
                    Some(from) => self.heap.free_below(from).map_or(0, |to| self.move_segment(from, to)),
                    None => self.heap.join_step(value_len),
                },
                step => step,
            };
            if step == 0 {
                return true;
            }
            moved += step;
        }
    }

    /// Moves a segment into a free one, and returns what that costs: every record in it is looked up.
    fn move_segment(&mut self, from: u32, to: u32) -> usize {
        let mut offset = 0;
        while let Some((position, next, _)) = self.heap.next_in(from, offset) {
            let hash = self.hash(self.heap.key(position));
            self.table.moved(hash, position, self.heap.moved(position, to));
            offset = next;
        }
        self.heap.move_segment(from, to);
        self.heap.segment_bytes() * LOOKED_UP_COST
    }

    fn copy_to_head(&mut self, position: Position, queue: QueueName, header: &Header) {
        let hash = self.hash(self.heap.key(position));
        let moved = self.heap.copy_to_head(position, queue, header);
        self.table.moved(hash, position, moved);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foldhash::fast::RandomState;
    use forebay_core::entry::Version;
    use forebay_core::time::Instant;

    use super::*;
    use crate::records::record::Marks;
    use crate::shard::{Fields, Found};

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);
    const VALUE: [u8; 500] = [7; 500];

    fn shard() -> Shard {
        Shard::new(512 * 1024, Version(0), 1, RandomState::default(), Arc::default())
    }

    fn find(shard: &mut Shard, number: u32) -> Option<Found> {
        let hash = shard.hash(&number.to_be_bytes());
        shard.find(hash, &number.to_be_bytes(), NOW)
    }

    fn insert(shard: &mut Shard, number: u32) -> Found {
        let hash = shard.hash(&number.to_be_bytes());
        let fields = Fields { now: NOW, flags: 0, expires_at: None, marks: Marks::default(), named: None };
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
        let mut shard = Shard::new(2 * 1024 * 1024, Version(0), 1, RandomState::default(), Arc::default());
        let in_main = |shard: &mut Shard, number| {
            let found: Vec<_> = (0..number).filter_map(|number| find(shard, number)).collect();
            found.iter().filter(|found| shard.heap.queue_of(found.position) == QueueName::Main).count()
        };
        let (mut number, mut before, mut spared) = (0, 0, 0);
        while shard.counts.evicted == 0 {
            let size = shard.heap.size(QueueName::Main);
            let found = insert(&mut shard, number);
            let mut header = found.header;
            header.marks.set_uses(3);
            shard.heap.set_header(found.position, &header);
            number += 1;
            if shard.heap.size(QueueName::Main) != size {
                // A write before the last may have found its room by sparing a few.
                let now = in_main(&mut shard, number);
                (before, spared) = (now, now - before);
            }
        }
        assert_eq!(spared, SPARED_MAX, "of {number} that were used");
    }
}
