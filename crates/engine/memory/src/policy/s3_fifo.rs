//! S3-FIFO: a small queue for newcomers, a main queue for those read again, and a memory of those that were let go.
//!
//! Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023. Sizes are bytes here.

use forebay_core::limits::MEMORY_EVICTION_STEPS_MAX;

use super::Policy;
use super::ghost::Ghost;
use crate::slots::{List, Slots};

/// The share of the small queue: one in so many bytes.
const SMALL_SHARE: usize = 10;
/// Reads beyond this are not counted.
const READS_MAX: u8 = 3;
/// The bit that says an entry is in the main queue; the two below it count its reads.
const MAIN: u8 = 1 << 2;

/// The policy's state.
#[derive(Default)]
pub struct S3Fifo {
    small: List,
    main: List,
    ghost: Ghost,
}

impl S3Fifo {
    fn list(&mut self, slots: &Slots, index: u32) -> &mut List {
        if slots.at(index).marks.policy() & MAIN != 0 { &mut self.main } else { &mut self.small }
    }

    /// Moves an entry to the head of the main queue with this many reads left.
    fn move_to_main(&mut self, slots: &mut Slots, index: u32, reads: u8) {
        self.list(slots, index).unlink(slots, index);
        slots.at_mut(index).marks.set_policy(MAIN | reads);
        self.main.push_head(slots, index);
    }
}

impl Policy for S3Fifo {
    fn admitted(&mut self, slots: &mut Slots, index: u32, hash: u64) {
        let main = if self.ghost.take(hash) { MAIN } else { 0 };
        slots.at_mut(index).marks.set_policy(main);
        self.list(slots, index).push_head(slots, index);
    }

    fn hit(&mut self, slots: &mut Slots, index: u32) {
        let marks = &mut slots.at_mut(index).marks;
        let bits = marks.policy();
        if bits & READS_MAX < READS_MAX {
            marks.set_policy(bits + 1);
        }
    }

    fn removed(&mut self, slots: &mut Slots, index: u32, hash: u64, evicted: bool) {
        if evicted && slots.at(index).marks.policy() & MAIN == 0 {
            self.ghost.insert(hash, slots.len());
        }
        self.list(slots, index).unlink(slots, index);
    }

    fn moved(&mut self, slots: &mut Slots, _from: u32, to: u32) {
        self.list(slots, to).moved(slots, to);
    }

    fn reweighed(&mut self, slots: &Slots, index: u32, before: usize, after: usize) {
        self.list(slots, index).reweighed(before, after);
    }

    fn victim(&mut self, slots: &mut Slots) -> Option<u32> {
        for _ in 0..MEMORY_EVICTION_STEPS_MAX {
            let total = self.small.bytes() + self.main.bytes();
            let small = self.small.tail().filter(|_| self.small.bytes() > total / SMALL_SHARE);
            if let Some(index) = small {
                if slots.at(index).marks.policy() & READS_MAX == 0 {
                    return Some(index);
                }
                self.move_to_main(slots, index, 0);
            } else if let Some(index) = self.main.tail() {
                let reads = slots.at(index).marks.policy() & READS_MAX;
                if reads == 0 {
                    return Some(index);
                }
                self.move_to_main(slots, index, reads - 1);
            } else {
                break;
            }
        }
        self.main.tail().or(self.small.tail())
    }

    fn bytes(&self) -> usize {
        self.ghost.bytes()
    }
}
