//! Another budget while the store is in use: more at once, less in steps between which others have the shard.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::limits::{KEY_BYTES_MAX, MEMORY_MOVED_BYTES_MAX};
use parking_lot::MutexGuard;

use crate::memory::Memory;
use crate::records::heap::HEAP_BYTES_MAX;
use crate::shard::Shard;

/// A shard that holds less than this beside what it needs for itself is not worth having.
const ENTRY_BYTES_MIN: usize = KEY_BYTES_MAX + 4 * 1024;

impl Shard {
    /// Grows at once, or says what to shrink to.
    fn limit(&mut self, bytes_max: usize) {
        self.bytes_max = self.bytes_max.max(bytes_max);
        self.heap.limit(bytes_max);
    }
}

impl Memory {
    /// `LocalStore::resize`. The number of shards stays; false if they could not hold anything in so little, or cannot address
    /// so much.
    pub(crate) fn change_budget(&self, bytes_max: u64) -> bool {
        let _one_at_a_time = self.resizing.lock();
        let Ok(bytes_max) = usize::try_from(bytes_max) else { return false };
        let shard_bytes = bytes_max / self.shards.len();
        let worth_having = self
            .shards
            .first()
            .is_some_and(|shard| shard.lock().entry_bytes_max(shard_bytes) >= ENTRY_BYTES_MIN);
        if !worth_having || shard_bytes > HEAP_BYTES_MAX {
            return false;
        }
        self.bytes_max.store(bytes_max, Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.limit(shard_bytes);
            while !shard.shrink(shard_bytes) {
                MutexGuard::bump(&mut shard);
            }
            // Writers move the other way; should they never pause, what is free stays with the shard.
            let steps_max = 64 + 8 * shard.heap.region_bytes() / MEMORY_MOVED_BYTES_MAX;
            for _ in 0..steps_max {
                if shard.give_back() {
                    break;
                }
                MutexGuard::bump(&mut shard);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::entry::{Read, Version, Write, Written};
    use forebay_core::ports::local_store::LocalStore;
    use forebay_core::time::Instant;

    use super::*;
    use crate::memory::MemoryOptions;

    const MIB: usize = 1024 * 1024;
    const NOW: Instant = Instant::from_ms(1_700_000_000_000);

    fn memory(mib: usize) -> Memory {
        Memory::new(MemoryOptions { bytes_max: mib * MIB, value_bytes_max: MIB, first_version: Version(1) })
    }

    /// Small and large values, each as its number says; returns how many of the numbers are there.
    fn fill(store: &Memory, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let length = if number % 100 == 0 { 150_000 } else { 200 };
            store.write(&number.to_be_bytes(), &vec![number as u8; length], Write::at(NOW));
        }
    }

    fn present(store: &Memory, numbers: std::ops::Range<u32>) -> usize {
        let intact = |number: &u32| {
            let mut intact = true;
            let found = store.read(&number.to_be_bytes(), Read::at(NOW), &mut |view| {
                intact = view.value.iter().all(|byte| *byte == *number as u8);
            });
            assert!(intact, "value {number} is not what was written");
            found
        };
        numbers.filter(intact).count()
    }

    fn regions_bytes(store: &Memory) -> usize {
        store.shards.iter().map(|shard| shard.lock().heap.region_bytes()).sum()
    }

    #[test]
    fn a_smaller_budget_holds_from_the_answer_on_and_what_stays_is_intact() {
        let store = memory(64);
        fill(&store, 0..60_000);
        assert!(store.stats().bytes > 50 * MIB as u64);
        for mib in [32, 9, 8] {
            assert!(store.resize((mib * MIB) as u64));
            let stats = store.stats();
            assert_eq!(stats.bytes_max, (mib * MIB) as u64);
            assert!(stats.bytes <= stats.bytes_max, "{stats:?}");
            assert!(stats.bytes > stats.bytes_max / 2, "{stats:?}");
            assert!(regions_bytes(&store) <= mib * MIB * 5 / 4, "{} bytes are kept", regions_bytes(&store));
            assert_eq!(present(&store, 0..120_000), stats.items as usize);
            fill(&store, 100_000..120_000);
            assert!(store.stats().bytes <= stats.bytes_max);
        }
    }

    #[test]
    fn a_larger_budget_is_there_at_once_and_takes_memory_only_as_it_is_used() {
        let store = memory(16);
        fill(&store, 0..20_000);
        assert!(store.stats().evicted > 0);
        let (items, bytes) = (store.stats().items, regions_bytes(&store));
        assert!(store.resize(64 * MIB as u64));
        assert_eq!((store.stats().bytes_max, store.stats().items), (64 * MIB as u64, items));
        assert_eq!(regions_bytes(&store), bytes);
        assert_eq!(present(&store, 0..20_000), items as usize);
        let evicted = store.stats().evicted;
        fill(&store, 30_000..48_000);
        assert_eq!(store.stats().evicted, evicted, "all that is new has room");
        assert_eq!(present(&store, 30_000..48_000), 18_000);
    }

    #[test]
    fn an_empty_store_changes_its_budget_too() {
        let store = memory(64);
        assert!(store.resize(8 * MIB as u64));
        fill(&store, 0..20_000);
        assert!(store.stats().bytes <= 8 * MIB as u64);
        assert!(store.resize(64 * MIB as u64));
        fill(&store, 0..20_000);
        assert!(store.stats().bytes > 30 * MIB as u64);
    }

    #[test]
    fn a_value_that_no_longer_fits_is_refused_and_one_that_does_is_stored() {
        let store = memory(64);
        let write = |length: usize| store.write(b"key", &vec![1; length], Write::at(NOW));
        assert!(matches!(write(MIB), Written::Stored(_)));
        assert!(store.resize(8 * MIB as u64));
        assert_eq!(write(MIB), Written::TooLarge);
        assert!(matches!(write(MIB / 4), Written::Stored(_)));
    }

    #[test]
    fn a_budget_in_which_nothing_could_be_held_is_refused_and_changes_nothing() {
        let store = memory(64);
        fill(&store, 0..1_000);
        let before = store.stats();
        assert!(!store.resize(0));
        assert!(!store.resize(MIB as u64 / 2));
        assert!(!store.resize(u64::MAX));
        assert_eq!(store.stats(), before);
    }

    #[test]
    fn others_write_while_the_budget_shrinks_and_grows() {
        let store = memory(64);
        std::thread::scope(|scope| {
            for writer in 0..2u32 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..10 {
                        fill(
                            store,
                            writer * 1_000_000 + round * 5_000..writer * 1_000_000 + (round + 1) * 5_000,
                        );
                    }
                });
            }
            for mib in [8, 32, 16, 64, 10, 24] {
                assert!(store.resize((mib * MIB) as u64));
            }
        });
        assert!(store.stats().bytes <= 24 * MIB as u64);
        for writer in 0..2 {
            present(&store, writer * 1_000_000..writer * 1_000_000 + 50_000);
        }
    }
}
