//! One shard: a table over densely packed entries, within a share of the budget.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use forebay_core::entry::{Expiry, Version};
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use hashbrown::HashTable;

use crate::floor::Floors;
use crate::policy::Policy;
use crate::slot::{Marks, Slot, allocated, joined, seconds};
use crate::slots::Slots;

/// Why an entry leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// To make room.
    Evicted,
    /// Its life was over, or it was flushed.
    Over,
    /// Somebody asked for it.
    Removed,
}

/// Everything under one lock.
pub(crate) struct Shard<P> {
    table: HashTable<u32>,
    pub(crate) slots: Slots,
    policy: P,
    hasher: RandomState,
    /// The newest version given out here.
    pub(crate) version: u64,
    pub(crate) floors: Floors,
    /// The latest time any operation brought.
    pub(crate) now: Instant,
    /// Bytes of all keys and values as allocated.
    data_bytes: usize,
    bytes_max: usize,
    pub(crate) sweep_index: u32,
    pub(crate) counts: StoreStats,
}

/// The fields of a write besides its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) now: Instant,
    pub(crate) flags: u32,
    pub(crate) expires_at: Expiry,
    pub(crate) marks: Marks,
}

impl<P: Policy> Shard<P> {
    pub(crate) fn new(bytes_max: usize, first_version: Version, hasher: RandomState) -> Self {
        Self {
            table: HashTable::new(),
            slots: Slots::default(),
            policy: P::default(),
            hasher,
            version: first_version.0,
            floors: Floors::new(first_version.0),
            now: Instant::default(),
            data_bytes: 0,
            bytes_max,
            sweep_index: 0,
            counts: StoreStats::default(),
        }
    }

    /// All bytes this shard takes, those for growth that stand empty included.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.floors.bytes()
            + self.table.allocation_size()
            + self.slots.bytes()
            + self.policy.bytes()
            + self.data_bytes
    }

    /// Key and value of the largest entry that could be held if it were alone.
    pub(crate) fn entry_bytes_max(&self) -> usize {
        // Room for a first table, the first entries, and what the allocator rounds.
        const FIRST_ENTRY: usize = 8 * 1024;
        self.bytes_max.saturating_sub(self.bytes() + FIRST_ENTRY)
    }

    pub(crate) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Moves the shard's time on, and carries out a flush that has come due.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.floors.fire(now, &mut self.version);
    }

    /// The entry, if its life is not over; one whose life is over is dropped on the way.
    pub(crate) fn find(&mut self, hash: u64, key: &[u8], now: Instant) -> Option<u32> {
        self.tick(now);
        let index = *self.table.find(hash, |&index| self.slots.at(index).key() == key)?;
        if self.is_over(self.slots.at(index), now) {
            self.remove(index, hash, Cause::Over);
            return None;
        }
        Some(index)
    }

    pub(crate) fn is_over(&self, slot: &Slot, now: Instant) -> bool {
        slot.version <= self.floors.flushed() || slot.expired(now)
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Tells the policy that the entry was asked for.
    pub(crate) fn hit(&mut self, index: u32) {
        self.policy.hit(&mut self.slots, index);
    }

    /// Puts a new entry under a key that has none, pushing others out where needed, and returns where it is.
    pub(crate) fn insert(&mut self, hash: u64, key_len: usize, bytes: Box<[u8]>, fields: Fields) -> u32 {
        self.make_room(allocated(bytes.len()));
        let version = self.next_version();
        let mut slot = Slot::new(bytes, u8::try_from(key_len).unwrap_or(u8::MAX), version, fields.now);
        slot.flags = fields.flags;
        slot.set_expiry(fields.expires_at);
        slot.marks = fields.marks;
        self.data_bytes += slot.allocated();
        let index = self.slots.next_index();
        self.slots.push(slot);
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table.insert_unique(hash, index, |&index| hasher.hash_one(slots.at(index).key()));
        self.policy.admitted(&mut self.slots, index, hash);
        self.counts.items_created += 1;
        index
    }

    /// Gives an entry other bytes (the same key in front) and returns the old ones, to be freed outside the lock.
    pub(crate) fn overwrite(&mut self, index: u32, bytes: Box<[u8]>, fields: Fields) -> (u64, Box<[u8]>) {
        let version = self.next_version();
        let before = self.slots.weight(index);
        let slot = self.slots.at_mut(index);
        let old = slot.replace_bytes(bytes);
        slot.version = version;
        slot.flags = fields.flags;
        slot.set_expiry(fields.expires_at);
        slot.marks.replace(fields.marks);
        slot.accessed = seconds(fields.now);
        let after = self.slots.weight(index);
        self.data_bytes = self.data_bytes + after - before;
        self.policy.reweighed(&self.slots, index, before, after);
        self.policy.hit(&mut self.slots, index);
        self.make_room(0);
        (version, old)
    }

    /// Takes an entry out and remembers its version as gone.
    pub(crate) fn remove(&mut self, index: u32, hash: u64, cause: Cause) -> Slot {
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == index) {
            entry.remove();
        }
        self.policy.removed(&mut self.slots, index, hash, cause == Cause::Evicted);
        let slot = self.slots.swap_remove(index);
        let from = self.slots.next_index();
        if from != index {
            let moved = self.hash(self.slots.at(index).key());
            if let Some(place) = self.table.find_mut(moved, |&other| other == from) {
                *place = index;
            }
            self.policy.moved(&mut self.slots, from, index);
        }
        self.data_bytes -= slot.allocated();
        self.floors.raise(hash, slot.version);
        match cause {
            Cause::Evicted => {
                self.counts.evicted += 1;
                self.counts.evicted_unread += u64::from(!slot.marks.has(Marks::READ));
            }
            Cause::Over => self.counts.expired += 1,
            Cause::Removed => {}
        }
        self.shrink_table();
        slot
    }

    /// The bytes of a key and its value, ready for [`Self::insert`] or [`Self::overwrite`].
    pub(crate) fn prepare(key: &[u8], value: &[u8]) -> Box<[u8]> {
        joined(&[key, value])
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes() + bytes + self.bytes_to_grow(bytes) > self.bytes_max {
            let Some(index) = self.policy.victim(&mut self.slots) else { return };
            let slot = self.slots.at(index);
            let cause = if self.is_over(slot, self.now) { Cause::Over } else { Cause::Evicted };
            let hash = self.hash(slot.key());
            self.remove(index, hash, cause);
        }
    }

    /// Bytes by which table and entries grow with the next insertion.
    fn bytes_to_grow(&self, bytes: usize) -> usize {
        if bytes == 0 {
            return 0;
        }
        let table =
            if self.table.len() == self.table.capacity() { self.table.allocation_size() + 64 } else { 0 };
        table + self.slots.bytes_to_grow()
    }

    fn shrink_table(&mut self) {
        if self.table.len() < self.table.capacity() / 8 {
            let (slots, hasher) = (&self.slots, &self.hasher);
            self.table.shrink_to(self.table.len() * 2, |&index| hasher.hash_one(slots.at(index).key()));
        }
    }
}
