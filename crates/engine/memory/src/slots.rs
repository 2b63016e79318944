//! The entries of one shard, densely packed, and the lists a policy keeps through them.

use crate::slot::{NONE, Slot};

/// All entries of a shard. An entry's index changes when another one is removed: the last takes the free place.
#[derive(Default)]
pub struct Slots {
    slots: Vec<Slot>,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    /// The entry with an index that the table or a list holds; those are always of entries that are there.
    pub(crate) fn at(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }

    /// The same, to change it.
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    /// The index that the next `push` gives.
    pub(crate) fn next_index(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(NONE)
    }

    pub(crate) fn push(&mut self, slot: Slot) {
        let grow = self.growth();
        self.slots.reserve_exact(grow);
        self.slots.push(slot);
    }

    /// Takes an entry out. If the return says so, the entry that had the last index has this one now.
    pub(crate) fn swap_remove(&mut self, index: u32) -> Slot {
        let slot = self.slots.swap_remove(index as usize);
        if self.slots.len() < self.slots.capacity() / 2 {
            self.slots.shrink_to(self.slots.len() + self.slots.len() / 8);
        }
        slot
    }

    /// Bytes allocated for entries, without what they point to.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Bytes that the next `push` will add to `bytes`.
    pub(crate) fn bytes_to_grow(&self) -> usize {
        self.growth() * size_of::<Slot>()
    }

    /// An eighth at a time, so that little stands empty.
    fn growth(&self) -> usize {
        if self.slots.len() < self.slots.capacity() { 0 } else { self.slots.len() / 8 + 8 }
    }

    /// What an entry weighs in the policy's balance: the bytes it takes alone.
    pub(crate) fn weight(&self, index: u32) -> usize {
        self.at(index).allocated() + size_of::<Slot>()
    }
}

/// A doubly linked list through the entries: new ones enter at the head, the oldest is the tail.
pub(crate) struct List {
    head: u32,
    tail: u32,
    bytes: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, bytes: 0 }
    }
}

impl List {
    /// The sum of its entries' weights.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn tail(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    pub(crate) fn push_head(&mut self, slots: &mut Slots, index: u32) {
        self.bytes += slots.weight(index);
        slots.at_mut(index).previous = NONE;
        slots.at_mut(index).next = self.head;
        match self.head {
            NONE => self.tail = index,
            head => slots.at_mut(head).previous = index,
        }
        self.head = index;
    }

    pub(crate) fn unlink(&mut self, slots: &mut Slots, index: u32) {
        self.bytes -= slots.weight(index);
        let (previous, next) = (slots.at(index).previous, slots.at(index).next);
        self.join(slots, previous, next);
    }

    /// Puts the entry that now has index `to` where it was in the list before it moved there.
    pub(crate) fn moved(&mut self, slots: &mut Slots, to: u32) {
        let (previous, next) = (slots.at(to).previous, slots.at(to).next);
        match previous {
            NONE => self.head = to,
            previous => slots.at_mut(previous).next = to,
        }
        match next {
            NONE => self.tail = to,
            next => slots.at_mut(next).previous = to,
        }
    }

    /// Keeps the sum right when an entry's weight has changed.
    pub(crate) fn reweighed(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes + after - before;
    }

    fn join(&mut self, slots: &mut Slots, previous: u32, next: u32) {
        match previous {
            NONE => self.head = next,
            previous => slots.at_mut(previous).next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => slots.at_mut(next).previous = previous,
        }
    }
}
