//! SIEVE: one queue and a hand that spares what was read since it last came by.
//!
//! Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is simpler than LRU", NSDI 2024.

use forebay_core::limits::MEMORY_EVICTION_STEPS_MAX;

use super::Policy;
use crate::slot::NONE;
use crate::slots::{List, Slots};

/// The bit that says an entry was read since the hand last came by.
const VISITED: u8 = 1;

/// The policy's state.
pub struct Sieve {
    list: List,
    hand: u32,
}

impl Default for Sieve {
    fn default() -> Self {
        Self { list: List::default(), hand: NONE }
    }
}

impl Policy for Sieve {
    fn admitted(&mut self, slots: &mut Slots, index: u32, _hash: u64) {
        slots.at_mut(index).marks.set_policy(0);
        self.list.push_head(slots, index);
    }

    fn hit(&mut self, slots: &mut Slots, index: u32) {
        slots.at_mut(index).marks.set_policy(VISITED);
    }

    fn removed(&mut self, slots: &mut Slots, index: u32, _hash: u64, _evicted: bool) {
        if self.hand == index {
            self.hand = slots.at(index).previous;
        }
        self.list.unlink(slots, index);
    }

    fn moved(&mut self, slots: &mut Slots, from: u32, to: u32) {
        if self.hand == from {
            self.hand = to;
        }
        self.list.moved(slots, to);
    }

    fn reweighed(&mut self, _slots: &Slots, _index: u32, before: usize, after: usize) {
        self.list.reweighed(before, after);
    }

    fn victim(&mut self, slots: &mut Slots) -> Option<u32> {
        let tail = self.list.tail()?;
        for _ in 0..MEMORY_EVICTION_STEPS_MAX {
            let index = if self.hand == NONE { tail } else { self.hand };
            self.hand = index;
            if slots.at(index).marks.policy() & VISITED == 0 {
                return Some(index);
            }
            slots.at_mut(index).marks.set_policy(0);
            self.hand = slots.at(index).previous;
        }
        Some(if self.hand == NONE { tail } else { self.hand })
    }

    fn bytes(&self) -> usize {
        0
    }
}
