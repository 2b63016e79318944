//! The store: keys to shards, and the port over them.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::fast::RandomState;
use forebay_core::entry::{
    Arithmetic, Counted, Delete, Deleted, Lease, Mode, Read, Version, View, Write, Written,
};
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::limits::memory::{SHARD_BYTES_MIN, SHARDS_MAX};
use forebay_core::ports::local_store::{EvictionWatcher, LocalStore};
use forebay_core::ports::pledges::Pledges;
use forebay_core::stats::{StoreDetail, StoreStats};
use forebay_core::time::Instant;
use parking_lot::{Mutex, MutexGuard};

use crate::evict::holds_max;
use crate::insight::classes::Classes;
use crate::insight::observers::Observers;
use crate::resize::Asked;
use crate::shard::Shard;

/// What a store is made with.
#[derive(Clone, Copy, Debug)]
pub struct MemoryOptions {
    /// The budget for everything the store allocates.
    pub bytes_max: usize,
    /// The largest value; a value that its shard could not hold is refused as well.
    pub value_bytes_max: usize,
    /// Versions start above it. In production the milliseconds of the start, shifted left by ten, so that they do not
    /// repeat after a restart.
    pub first_version: Version,
}

/// The embedded memory store.
pub struct Memory {
    pub(crate) shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// The budget that holds at present.
    pub(crate) bytes_max: AtomicUsize,
    /// What it is to be; held while the budget changes.
    pub(crate) asked: Mutex<Asked>,
    value_bytes_max: usize,
    /// The shard where the next sweep begins to look.
    pub(crate) sweep_from: AtomicUsize,
    observers: Arc<Observers>,
}

impl Memory {
    /// An empty store.
    pub fn new(options: MemoryOptions) -> Self {
        let hasher = RandomState::default();
        let count = shard_count(options.bytes_max, options.value_bytes_max);
        let shard_bytes_max = options.bytes_max / count;
        let (step, observers) = (count as u64, Arc::<Observers>::default());
        let shards: Vec<Shard> = (0..step)
            .map(|index| {
                let first = Version(options.first_version.0 + index);
                Shard::new(shard_bytes_max, first, step, hasher.clone(), Arc::clone(&observers))
            })
            .collect();
        Self {
            shards: shards.into_iter().map(Mutex::new).collect(),
            bytes_max: AtomicUsize::new(options.bytes_max),
            asked: Mutex::new(Asked { bytes: options.bytes_max, bytes_max: usize::MAX }),
            value_bytes_max: options.value_bytes_max,
            sweep_from: AtomicUsize::new(0),
            observers,
            hasher,
        }
    }

    /// The largest value it takes.
    pub fn value_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    /// Room for a large value is made in steps, between which others have the shard.
    pub(crate) fn write_within(&self, key: &[u8], value: &[u8], write: Write, holds_max: usize) -> Written {
        let (hash, shard) = self.shard(key);
        let mut shard = shard.lock();
        let extends = matches!(write.mode, Mode::Append | Mode::Prepend);
        for _ in 0..holds_max {
            shard.tick(write.now);
            let entry_bytes_max = shard.entry_bytes_max(shard.bytes_max);
            let value_bytes_max = self.value_bytes_max.min(entry_bytes_max.saturating_sub(key.len()));
            if !extends && value.len() > value_bytes_max {
                return shard.refuse(hash, key, write, Written::TooLarge);
            }
            if shard.has_room(hash, key, value.len(), extends, value_bytes_max) {
                return if extends {
                    shard.extend(hash, key, value, write, value_bytes_max)
                } else {
                    shard.store(hash, key, value, write)
                };
            }
            MutexGuard::bump(&mut shard);
        }
        shard.refuse(hash, key, write, Written::NoRoom)
    }

    pub(crate) fn shard(&self, key: &[u8]) -> (u64, &Mutex<Shard>) {
        let hash = self.hasher.hash_one(key);
        // The count is a power of two, and the table uses the lowest and the highest bits.
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        (hash, &self.shards[index])
    }
}

/// A power of two: as many as leave each shard room for several of the largest values, and none too small to be worth it.
fn shard_count(bytes_max: usize, value_bytes_max: usize) -> usize {
    let shard_bytes = SHARD_BYTES_MIN.max(value_bytes_max.saturating_mul(4));
    let count = (bytes_max / shard_bytes).clamp(1, SHARDS_MAX);
    1 << count.ilog2()
}

impl LocalStore for Memory {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        if key.len() > KEY_BYTES_MAX {
            return false;
        }
        let (hash, shard) = self.shard(key);
        shard.lock().read(hash, key, read, visit)
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        if key.len() > KEY_BYTES_MAX {
            return Written::TooLarge;
        }
        self.write_within(key, value, write, holds_max(value.len()))
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        if key.len() > KEY_BYTES_MAX {
            return Deleted::NotFound;
        }
        let (hash, shard) = self.shard(key);
        shard.lock().delete(hash, key, delete)
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        if key.len() > KEY_BYTES_MAX {
            return Counted::NotFound;
        }
        let (hash, shard) = self.shard(key);
        shard.lock().count(hash, key, arithmetic)
    }

    fn lease(&self, key: &[u8]) -> Lease {
        let (_, shard) = self.shard(key);
        let mut shard = shard.lock();
        // A flush takes a version, which the lease is to be above.
        shard.carry_out_flush();
        Lease(Version(shard.version))
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.shards.iter().for_each(|shard| shard.lock().flush(at, now));
    }

    fn sweep(&self, now: Instant) -> usize {
        self.sweep_some(now).dropped
    }

    fn resize(&self, bytes_max: u64) -> bool {
        self.ask(bytes_max)
    }

    fn walk(&self, from: u64, now: Instant, visit: &mut dyn FnMut(&[u8], View<'_>)) -> Option<u64> {
        self.walk_on(from, now, visit)
    }

    fn watch_evictions(&self, watcher: Arc<dyn EvictionWatcher>) -> bool {
        self.observers.watch_evictions(watcher)
    }

    fn stats(&self) -> StoreStats {
        let mut total =
            StoreStats { bytes_max: self.bytes_max.load(Relaxed) as u64, ..StoreStats::default() };
        for shard in &self.shards {
            let shard = shard.lock();
            let counts = &shard.counts;
            let (items, flushed) = (shard.table.len() as u64, shard.is_flushed());
            *if flushed { &mut total.flushed } else { &mut total.items } += items;
            total.bytes += if flushed { shard.bytes_beside_entries() } else { shard.bytes() } as u64;
            total.hits += counts.hits;
            total.misses += counts.misses;
            total.misses_expired += counts.misses_expired;
            total.writes += counts.writes;
            total.items_created += counts.items_created;
            total.evicted += counts.evicted;
            total.evicted_unread += counts.evicted_unread;
            total.evicted_by_resize += counts.evicted_by_resize;
            total.expired += counts.expired;
            total.expired_unread += counts.expired_unread;
            total.flushed += counts.flushed;
            total.removed += counts.removed;
            total.replaced += counts.replaced;
            total.fills_refused += counts.fills_refused;
        }
        total
    }

    fn detail(&self) -> StoreDetail {
        let mut classes = Classes::default();
        let shards = self.shards.iter().map(|shard| shard.lock()).filter(|shard| !shard.is_flushed());
        shards.for_each(|shard| classes.merge(&shard.classes));
        StoreDetail { classes: classes.filled(), top: self.observers.top.keys() }
    }
}

/// It may forget anything, and so it pledges nothing.
impl Pledges for Memory {}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn shards_are_a_power_of_two_with_room_for_the_largest_values() {
        for (bytes_max, value_bytes_max, count) in [
            (MIB, MIB, 1),
            (8 * MIB, MIB, 2),
            (256 * MIB, MIB, 64),
            (300 * MIB, MIB, 64),
            (256 * MIB, 1024, 256),
            (1024 * 1024 * MIB, MIB, SHARDS_MAX),
            (0, usize::MAX, 1),
        ] {
            assert_eq!(shard_count(bytes_max, value_bytes_max), count, "{bytes_max} {value_bytes_max}");
        }
    }

    #[test]
    fn a_value_that_no_shard_can_hold_is_refused() {
        let options = MemoryOptions { bytes_max: MIB, value_bytes_max: MIB, first_version: Version(1) };
        let store = Memory::new(options);
        let write = |length: usize| store.write(b"key", &vec![1; length], Write::at(Instant::from_ms(1)));
        let largest = store.shards[0].lock().entry_bytes_max(MIB) - 3;
        assert!(largest > MIB * 9 / 10 && largest < MIB);
        assert!(matches!(write(largest), Written::Stored(_)));
        assert_eq!(store.stats().items, 1);
        assert!(store.stats().bytes <= MIB as u64);
        assert_eq!(write(largest + 1), Written::TooLarge);
        assert_eq!(store.stats().items, 0);
    }

    #[test]
    fn a_budget_of_nothing_holds_nothing() {
        let store =
            Memory::new(MemoryOptions { bytes_max: 0, value_bytes_max: MIB, first_version: Version(1) });
        assert_eq!(store.write(b"key", b"value", Write::at(Instant::from_ms(1))), Written::TooLarge);
        assert!(!store.read(b"key", Read::at(Instant::from_ms(1)), &mut |_| ()));
    }

    #[test]
    fn a_write_that_finds_no_room_in_the_time_it_has_is_refused_and_leaves_nothing_older() {
        let options =
            MemoryOptions { bytes_max: 8 * MIB, value_bytes_max: 2 * MIB, first_version: Version(1) };
        let store = Memory::new(options);
        let now = Instant::from_ms(1);
        assert!(matches!(store.write(b"key", b"older", Write::at(now)), Written::Stored(_)));
        for number in 0..200_000u32 {
            store.write(&number.to_be_bytes(), b"value", Write::at(now));
            store.read(b"key", Read::at(now), &mut |_| ());
        }
        let before = store.stats();
        let large = vec![1; MIB];
        assert_eq!(store.write_within(b"key", &large, Write::at(now), 1), Written::NoRoom);
        let evicted = store.stats().evicted - before.evicted;
        assert!(evicted > 0 && evicted <= forebay_core::limits::memory::EVICTED_MAX as u64, "{evicted}");
        assert!(!store.read(b"key", Read::at(now), &mut |_| ()), "the older value is not shown any more");
        assert!(matches!(store.write(b"key", &large, Write::at(now)), Written::Stored(_)));
        assert!(store.stats().bytes <= store.stats().bytes_max);
    }

    #[test]
    fn a_value_may_be_compared_and_set_in_a_store_that_holds_no_other() {
        let options = MemoryOptions { bytes_max: MIB, value_bytes_max: MIB, first_version: Version(1) };
        let store = Memory::new(options);
        let now = Instant::from_ms(1);
        let Written::Stored(mut version) = store.write(b"key", &vec![1; 900_000], Write::at(now)) else {
            panic!("not stored")
        };
        for length in [800_000, 400_000, 450_000, 950_000, 100] {
            let condition = forebay_core::entry::Condition::Version(version);
            let written = store.write(b"key", &vec![2; length], Write { condition, ..Write::at(now) });
            let Written::Stored(next) = written else { panic!("{written:?} for {length} bytes") };
            version = next;
        }
    }

    #[test]
    fn versions_do_not_overtake_the_clock_in_any_size_of_store() {
        let now = Instant::from_ms(1_700_000_000_000);
        for count in [1, SHARDS_MAX as u64] {
            // A million writes in a second, all to one key, whose shard takes every `count`th version.
            let last = Version::first(now).0 + 1_000_000 * count;
            let a_second_later = Version::first(Instant::from_ms(now.as_ms() + 1_000)).0;
            assert!(last < a_second_later, "{count} shards");
        }
        assert!(Version::first(now).0 < i64::MAX as u64);
    }

    #[test]
    fn a_key_that_is_too_long_is_nowhere() {
        let memory = Memory::new(MemoryOptions {
            bytes_max: 4 * MIB,
            value_bytes_max: MIB,
            first_version: Version(1),
        });
        let (now, key) = (Instant::from_ms(1), vec![b'k'; 300]);
        let lease = Read { lease: Some(None), ..Read::at(now) };
        assert!(!memory.read(&key, lease, &mut |_| panic!("there is nothing to show")));
        let create = Arithmetic {
            now,
            delta: 1,
            step: forebay_core::entry::Step::Up,
            version: None,
            create: Some((1, None)),
            touch: None,
            named: None,
        };
        assert_eq!(memory.count(&key, create), Counted::NotFound);
        assert_eq!(memory.delete(&key, Delete::at(now)), Deleted::NotFound);
    }
}
