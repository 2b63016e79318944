//! Least recently used first: what others are measured by.

use super::Policy;
use crate::slots::{List, Slots};

/// The policy's state.
#[derive(Default)]
pub struct Lru {
    list: List,
}

impl Policy for Lru {
    fn admitted(&mut self, slots: &mut Slots, index: u32, _hash: u64) {
        self.list.push_head(slots, index);
    }

    fn hit(&mut self, slots: &mut Slots, index: u32) {
        self.list.unlink(slots, index);
        self.list.push_head(slots, index);
    }

    fn removed(&mut self, slots: &mut Slots, index: u32, _hash: u64, _evicted: bool) {
        self.list.unlink(slots, index);
    }

    fn moved(&mut self, slots: &mut Slots, _from: u32, to: u32) {
        self.list.moved(slots, to);
    }

    fn reweighed(&mut self, _slots: &Slots, _index: u32, before: usize, after: usize) {
        self.list.reweighed(before, after);
    }

    fn victim(&mut self, _slots: &mut Slots) -> Option<u32> {
        self.list.tail()
    }

    fn bytes(&self) -> usize {
        0
    }
}
