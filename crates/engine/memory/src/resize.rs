//! Another budget while the store is in use: more at once, less in steps between which others have the shard.
//!
//! Two have a say in it. Whoever owns the cache asks for a budget; whoever shares the process's memory out grants at most that,
//! and may grant less for as long as others need it. Without the second one what was asked for is what holds.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::limits::memory::MOVED_BYTES_MAX;
use parking_lot::MutexGuard;

use crate::memory::Memory;
use crate::records::heap::HEAP_BYTES_MAX;
use crate::shard::Shard;

/// What the budget is to be where nothing is short.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) bytes: usize,
    /// The most that may be asked for.
    pub(crate) bytes_max: usize,
}

/// The budget as it was asked for and as it holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// What it is to be where nothing is short.
    pub asked: u64,
    /// What holds at present, never more.
    pub granted: u64,
}

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
    /// The budget, asked and granted.
    pub fn budget(&self) -> MemoryBudget {
        let asked = self.asked.lock();
        MemoryBudget { asked: asked.bytes as u64, granted: self.bytes_max.load(Relaxed) as u64 }
    }

    /// The most that may be asked for from now on; what was asked for before stays.
    pub fn ask_at_most(&self, bytes_max: u64) {
        self.asked.lock().bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    }

    /// Grants this much of what was asked for, at once. False if the shards cannot do with it; then nothing has changed.
    pub fn grant(&self, bytes: u64) -> bool {
        let asked = self.asked.lock();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.change_budget(bytes.min(asked.bytes))
    }

    /// `LocalStore::resize`: asks for another budget. It holds at once, unless less than was asked for is granted just now:
    /// then more is granted as there is room, and only less holds at once. False if it is too much, or the shards cannot do
    /// with it.
    pub(crate) fn ask(&self, bytes: u64) -> bool {
        let mut asked = self.asked.lock();
        let granted = self.bytes_max.load(Relaxed);
        let Ok(bytes) = usize::try_from(bytes) else { return false };
        let held_back = granted < asked.bytes && granted < bytes;
        if bytes > asked.bytes_max || !self.can_do_with(bytes) || !(held_back || self.change_budget(bytes)) {
            return false;
        }
        asked.bytes = bytes;
        true
    }

    /// The number of shards stays: they could not hold anything in too little, nor address too much.
    fn can_do_with(&self, bytes_max: usize) -> bool {
        let shard_bytes = bytes_max / self.shards.len();
        let worth_having = self
            .shards
            .first()
            .is_some_and(|shard| shard.lock().entry_bytes_max(shard_bytes) >= ENTRY_BYTES_MIN);
        worth_having && shard_bytes <= HEAP_BYTES_MAX
    }

    /// To be called by one at a time.
    fn change_budget(&self, bytes_max: usize) -> bool {
        if !self.can_do_with(bytes_max) {
            return false;
        }
        let shard_bytes = bytes_max / self.shards.len();
        self.bytes_max.store(bytes_max, Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.limit(shard_bytes);
            loop {
                shard.carry_out_flush();
                if shard.shrink(shard_bytes) {
                    break;
                }
                MutexGuard::bump(&mut shard);
            }
            // Writers move the other way; should they never pause, what is free stays with the shard.
            let steps_max = 64 + 8 * shard.heap.region_bytes() / MOVED_BYTES_MAX;
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
    fn what_is_granted_is_never_more_than_was_asked_for_and_comes_back_up_to_that() {
        let store = memory(64);
        let budget = || {
            let MemoryBudget { asked, granted } = store.budget();
            assert_eq!(store.stats().bytes_max, granted);
            (asked / MIB as u64, granted / MIB as u64)
        };
        let (ask, grant) = (|mib| store.resize((mib * MIB) as u64), |mib| store.grant((mib * MIB) as u64));
        assert!(ask(32) && budget() == (32, 32));
        assert!(grant(16) && budget() == (32, 16));
        assert!(ask(48) && budget() == (48, 16), "who asks for more gets it when there is room");
        assert!(grant(64) && budget() == (48, 48));
        assert!(grant(16) && ask(24) && budget() == (24, 16));
        assert!(ask(8) && budget() == (8, 8), "who asks for less gets that at once");
        assert!(ask(16) && budget() == (16, 16), "nothing was held back");
    }

    #[test]
    fn no_more_may_be_asked_for_than_there_is_to_share_out() {
        let store = memory(16);
        store.ask_at_most(32 * MIB as u64);
        assert!(store.resize(32 * MIB as u64));
        let before = store.budget();
        assert!(!store.resize(32 * MIB as u64 + 1));
        assert!(!store.grant(0));
        assert_eq!(store.budget(), before);
    }

    #[test]
    fn what_was_flushed_while_room_was_made_is_pushed_out_by_nobody() {
        let store = memory(16);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..20u32 {
                    fill(&store, round * 1_000..(round + 1) * 1_000);
                    assert!(store.resize(((12 + round as usize % 4) * MIB) as u64));
                }
            });
            while !writer.is_finished() {
                // Whoever pushes out what is flushed by now is found by an assertion there.
                store.flush(NOW, NOW);
            }
            writer.join().expect("nothing wrong was seen");
        });
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
