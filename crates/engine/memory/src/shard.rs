//! One shard: a table over records, within a share of the budget.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use forebay_core::entry::{Expiry, Version};
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;

use crate::floor::Floors;
use crate::ghost::Ghost;
use crate::insight::classes::Classes;
use crate::insight::observers::Observers;
use crate::insight::top::Sampler;
use crate::records::heap::{HEAP_BYTES_MAX, Heap, Position};
use crate::records::queue::QueueName;
use crate::records::record::{Header, Marks, seconds};
use crate::table::Table;

/// Everything under one lock.
pub(crate) struct Shard {
    pub(crate) table: Table,
    pub(crate) heap: Heap,
    pub(crate) ghost: Ghost,
    hasher: RandomState,
    /// The newest version given out here.
    pub(crate) version: u64,
    /// From one version to the next: as many as there are shards, so that no two of them give out the same.
    version_step: u64,
    pub(crate) floors: Floors,
    /// The latest time any operation brought.
    pub(crate) now: Instant,
    pub(crate) bytes_max: usize,
    /// The segment where the next sweep begins to look.
    pub(crate) sweep_from: u32,
    pub(crate) counts: StoreStats,
    pub(crate) classes: Classes,
    pub(crate) sampler: Sampler,
    pub(crate) observers: Arc<Observers>,
}

/// An entry that is there.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) position: Position,
    pub(crate) header: Header,
}

/// The fields of a write besides its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) now: Instant,
    pub(crate) flags: u32,
    pub(crate) expires_at: Expiry,
    pub(crate) marks: Marks,
    pub(crate) named: Option<Version>,
}

/// Why an entry leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// To make room.
    Evicted,
    /// For a smaller budget.
    Resized,
    /// Its life was over.
    Over,
    /// Somebody asked for it.
    Removed,
}

impl Shard {
    pub(crate) fn new(
        bytes_max: usize,
        first_version: Version,
        version_step: u64,
        hasher: RandomState,
        observers: Arc<Observers>,
    ) -> Self {
        let bytes_max = bytes_max.min(HEAP_BYTES_MAX);
        Self {
            table: Table::new(bytes_max),
            heap: Heap::new(bytes_max),
            ghost: Ghost::default(),
            hasher,
            version: first_version.0,
            version_step,
            floors: Floors::new(first_version.0),
            now: Instant::default(),
            bytes_max,
            sweep_from: 0,
            counts: StoreStats::default(),
            classes: Classes::default(),
            sampler: Sampler::new(first_version.0 as u32),
            observers,
        }
    }

    /// Bytes allocated, those for growth that stand empty included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_beside_heap() + self.heap.bytes()
    }

    /// Bytes that stay when all entries are dropped.
    pub(crate) fn bytes_beside_entries(&self) -> usize {
        let table_and_heap = self.table.bytes_empty() + self.heap.bytes_empty();
        size_of::<Self>() + self.floors.bytes() + self.ghost.bytes() + table_and_heap
    }

    /// The most that `bytes` can be with the present entries, wherever they lie.
    pub(crate) fn bytes_bound(&self) -> usize {
        self.bytes_beside_heap() + self.heap.bytes_bound()
    }

    /// Key and value of the largest entry that could be held if it were alone, in a shard of so many bytes.
    pub(crate) fn entry_bytes_max(&self, bytes_max: usize) -> usize {
        // Room for a first table and for the first lists of blocks.
        const FIRST_ENTRY: usize = 8 * 1024;
        let empty = size_of::<Self>() + self.floors.bytes() + self.table.bytes_empty();
        bytes_max.saturating_sub(empty + self.heap.bytes_bound_empty() + FIRST_ENTRY)
    }

    pub(crate) fn next_version(&mut self) -> u64 {
        self.version += self.version_step;
        self.version
    }

    /// The version of a change that may be named. A named one says nothing of the order of changes, so the floor rises to the
    /// one that it stands in place of: leases from before are void.
    pub(crate) fn version_of(&mut self, hash: u64, named: Option<Version>) -> u64 {
        let next = self.next_version();
        // No entry has version 0: it stands for nothing.
        let Some(Version(named @ 1..)) = named else { return next };
        self.floors.raise(hash, next);
        named
    }

    /// What a version, named or not, says of the order of changes: a named one that no lease has come to says nothing.
    pub(crate) fn in_order(&self, version: u64) -> u64 {
        if version > self.version { 0 } else { version }
    }

    /// From here on versions are above this one.
    pub(crate) fn begin_above(&mut self, version: Version) {
        let behind = version.0.saturating_sub(self.version);
        // Shards stay on their own versions.
        self.version += behind.div_ceil(self.version_step) * self.version_step;
    }

    /// `LocalStore::flush`. To give back the memory of all shards takes long, so each does it when somebody next comes to it; until
    /// then nothing in it is shown.
    pub(crate) fn flush(&mut self, at: Instant, now: Instant) {
        self.now = self.now.max(now);
        self.floors.flush_at(at, self.now);
    }

    /// Whether everything in it is to be dropped as soon as somebody comes.
    pub(crate) fn is_flushed(&self) -> bool {
        self.floors.is_due(self.now)
    }

    /// Moves the shard's time on, and carries out a flush that has come due.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.carry_out_flush();
    }

    /// Carries out a flush that is due. Whoever has let go of the lock asks for it again.
    pub(crate) fn carry_out_flush(&mut self) {
        if self.is_flushed() {
            let version = self.next_version();
            self.floors.flush(version, self.now);
            self.counts.flushed += self.table.len() as u64;
            self.classes.clear();
            self.table.clear();
            self.heap.clear();
        }
    }

    /// The entry, if its life is not over; one whose life is over is dropped on the way.
    pub(crate) fn find(&mut self, hash: u64, key: &[u8], now: Instant) -> Option<Found> {
        self.tick(now);
        let position = self.position(hash, key)?;
        let header = self.heap.header(position);
        if header.expired(now) {
            self.remove(hash, position, Cause::Over);
            return None;
        }
        Some(Found { position, header })
    }

    /// Where the record of a key is, its life over or not.
    pub(crate) fn position(&self, hash: u64, key: &[u8]) -> Option<Position> {
        self.table.find(hash, |&position| self.heap.key(position) == key)
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Notes that an entry was used, for the eviction to see.
    pub(crate) fn used(&mut self, found: Found) {
        let mut header = found.header;
        header.marks.set_uses(header.marks.uses() + 1);
        if header != found.header {
            self.heap.set_header(found.position, &header);
        }
    }

    /// Looks at the latest hit for the keys that are read most. Few hits come here.
    #[cold]
    pub(crate) fn sampled(&mut self, hash: u64, key: &[u8], now: Instant) {
        let weight = self.sampler.take(self.counts.hits);
        self.observers.top.note(hash, key, weight, now);
    }

    /// Puts a new entry under a key that has none, pushing others out where needed.
    pub(crate) fn insert(&mut self, hash: u64, key: &[u8], value: &[u8], fields: Fields) -> Found {
        self.make_all_room(hash, key, value.len());
        let queue = if self.ghost.take(hash) { QueueName::Main } else { QueueName::Small };
        let header = self.header(hash, fields);
        self.counts.items_created += 1;
        self.append(hash, key, value, header, queue)
    }

    /// Gives an entry another value, and returns its version. It keeps its place if the value takes as much as the one before.
    pub(crate) fn overwrite(
        &mut self,
        hash: u64,
        found: Found,
        key: &[u8],
        value: &[u8],
        fields: Fields,
    ) -> u64 {
        let mut header = self.header(hash, fields);
        header.marks.set_uses(found.header.marks.uses() + 1);
        self.counts.replaced += 1;
        if self.heap.overwrite(found.position, header, key, value) {
            self.classes.take(found.header.entry_bytes());
            self.classes.add(key.len() + value.len());
            return header.version;
        }
        let queue = self.heap.queue_of(found.position);
        self.unlink(hash, found.position);
        self.make_all_room(hash, key, value.len());
        self.append(hash, key, value, header, queue);
        header.version
    }

    /// Takes an entry out and remembers its version as gone.
    pub(crate) fn remove(&mut self, hash: u64, position: Position, cause: Cause) {
        let header = self.heap.header(position);
        let version = self.in_order(header.version);
        self.floors.raise(hash, version);
        match cause {
            Cause::Evicted | Cause::Resized => {
                self.counts.evicted += 1;
                self.counts.evicted_by_resize += u64::from(cause == Cause::Resized);
                self.counts.evicted_unread += u64::from(!header.marks.has(Marks::READ));
            }
            Cause::Over => {
                self.counts.expired += 1;
                self.counts.expired_unread += u64::from(!header.marks.has(Marks::READ));
            }
            Cause::Removed => self.counts.removed += 1,
        }
        self.unlink(hash, position);
    }

    /// What `bytes_bound` grows by with one more entry at most.
    pub(crate) fn weight(&self, hash: u64, key_len: usize, value_len: usize) -> usize {
        self.table.bytes_to_grow(hash) + self.heap.weight(key_len, value_len)
    }

    fn bytes_beside_heap(&self) -> usize {
        size_of::<Self>() + self.floors.bytes() + self.ghost.bytes() + self.table.bytes()
    }

    fn header(&mut self, hash: u64, fields: Fields) -> Header {
        let mut header = Header::new(self.version_of(hash, fields.named), fields.now);
        header.flags = fields.flags;
        header.set_expiry(fields.expires_at);
        header.marks = fields.marks;
        header.accessed = seconds(fields.now);
        header
    }

    pub(crate) fn append(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        header: Header,
        queue: QueueName,
    ) -> Found {
        let position = self.heap.append(queue, header, key, value);
        self.classes.add(key.len() + value.len());
        let (heap, hasher) = (&self.heap, &self.hasher);
        self.table.insert(hash, position, |&position| hasher.hash_one(heap.key(position)));
        Found { position, header: self.heap.header(position) }
    }

    fn unlink(&mut self, hash: u64, position: Position) {
        self.classes.take(self.heap.header(position).entry_bytes());
        let (heap, hasher) = (&self.heap, &self.hasher);
        self.table.remove(hash, position, |&position| hasher.hash_one(heap.key(position)));
        self.heap.remove(position);
    }
}
