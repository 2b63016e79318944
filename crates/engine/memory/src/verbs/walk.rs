//! Walks: what is there, in the order of the table's parts, and within a part of the hashes' lower halves. Where an entry is in
//! that order its key alone says, however it is moved about in memory, so none is missed and none is shown twice.

use std::ops::RangeInclusive;

use forebay_core::entry::{Claim, View};
use forebay_core::time::Instant;

use crate::memory::Memory;
use crate::shard::Shard;

/// Steps of one call that may find nothing.
const EMPTY_STEPS_MAX: usize = 1024;
/// Entries of one step, about: a part has many more once the store was given a larger budget than it began with.
const STEP_ENTRIES: usize = 4096;

impl Shard {
    /// The lower halves, from `first` on, that a step through a part goes through.
    fn step(&self, part: usize, first: u32) -> RangeInclusive<u32> {
        let steps = self.table.len_of(part).div_ceil(STEP_ENTRIES).next_power_of_two();
        let width = u32::MAX.checked_shr(steps.ilog2()).unwrap_or(0);
        first..=first.saturating_add(width)
    }

    /// Shows the entries of a step, and returns how many there were, those whose time is over included.
    fn show(
        &self,
        part: usize,
        hashes: &RangeInclusive<u32>,
        now: Instant,
        visit: &mut dyn FnMut(&[u8], View<'_>),
    ) -> usize {
        let mut count = 0;
        for position in self.table.entries_about(part, *hashes.start(), *hashes.end()) {
            let key = self.heap.key(position);
            if !hashes.contains(&(self.hash(key) as u32)) {
                continue;
            }
            let header = self.heap.header(position);
            if !header.expired(now) {
                visit(key, header.view(self.heap.value(position, &header), Claim::None));
            }
            count += 1;
        }
        count
    }
}

impl Memory {
    /// `LocalStore::walk`: one step that finds something. A place is the number of a part among those of all shards, and where in
    /// it to go on.
    pub(crate) fn walk_on(
        &self,
        from: u64,
        now: Instant,
        visit: &mut dyn FnMut(&[u8], View<'_>),
    ) -> Option<u64> {
        let (mut place, mut first) = (usize::try_from(from >> 32).ok()?, from as u32);
        // All shards have as many parts, always.
        let parts = self.shards.first()?.lock().table.parts();
        for _ in 0..EMPTY_STEPS_MAX {
            let mut shard = self.shards.get(place / parts)?.lock();
            shard.now = shard.now.max(now);
            let hashes = shard.step(place % parts, first);
            // What was flushed is for others to drop: it is much for one who only looks.
            let shown = if shard.is_flushed() { 0 } else { shard.show(place % parts, &hashes, now, visit) };
            (place, first) = match hashes.end().checked_add(1) {
                Some(next) => (place, next),
                None => (place + 1, 0),
            };
            if shown > 0 {
                break;
            }
        }
        Some((place as u64) << 32 | u64::from(first))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use forebay_core::entry::{Delete, Version, Write};
    use forebay_core::ports::local_store::LocalStore;

    use super::*;
    use crate::memory::MemoryOptions;

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);

    fn filled(count: u32) -> Memory {
        let (bytes_max, value_bytes_max) = (64 << 20, 1 << 20);
        let memory = Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version: Version(1) });
        for number in 0..count {
            memory.write(format!("stays{number}").as_bytes(), b"value", Write::at(NOW));
        }
        memory
    }

    /// All that a walk shows and how often, with something done between its steps.
    fn walk(memory: &Memory, mut between: impl FnMut(&Memory)) -> BTreeMap<Vec<u8>, usize> {
        let (mut shown, mut place) = (BTreeMap::new(), Some(0));
        while let Some(from) = place {
            let mut count = 0;
            place = memory.walk(from, NOW, &mut |key, _| {
                *shown.entry(key.to_vec()).or_default() += 1;
                count += 1;
            });
            assert!(count <= 16 * 1024, "{count} at once");
            between(memory);
        }
        shown
    }

    #[test]
    fn a_walk_shows_each_entry_once() {
        for count in [0, 1, 100_000] {
            let shown = walk(&filled(count), |_| {});
            assert_eq!(shown.len(), count as usize);
            assert!(shown.values().all(|times| *times == 1));
        }
    }

    #[test]
    fn a_walk_goes_in_small_steps_also_where_the_store_has_grown() {
        let (bytes_max, value_bytes_max) = (1 << 20, 1 << 10);
        let memory = Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version: Version(1) });
        assert!(memory.resize(64 << 20));
        let write = |numbers: std::ops::Range<u32>| {
            numbers.for_each(|number| {
                memory.write(&number.to_be_bytes(), b"v", Write::at(NOW));
            });
        };
        write(0..100_000);
        let mut more = 100_000;
        let shown = walk(&memory, |_| {
            // The steps become smaller on the way.
            write(more..more + 2_000);
            more += 2_000;
        });
        assert_eq!(memory.stats().evicted, 0);
        assert!((0..100_000_u32).all(|number| shown.get(&number.to_be_bytes()[..]) == Some(&1)));
        assert!(shown.values().all(|times| *times == 1));
    }

    #[test]
    fn what_stays_is_shown_once_while_others_come_and_go_and_it_moves() {
        let memory = filled(20_000);
        let mut number = 0;
        let shown = walk(&memory, |memory| {
            for _ in 0..200 {
                // It grows, and so it is elsewhere; others come and go.
                memory.write(format!("stays{}", number % 20_000).as_bytes(), &[1; 900], Write::at(NOW));
                memory.write(format!("new{number}").as_bytes(), &[2; 30], Write::at(NOW));
                memory.delete(format!("new{}", number / 2).as_bytes(), Delete::at(NOW));
                number += 1;
            }
        });
        assert_eq!(memory.stats().evicted, 0);
        assert!((0..20_000).all(|number| shown.get(format!("stays{number}").as_bytes()) == Some(&1)));
        assert!(shown.values().all(|times| *times == 1));
    }

    #[test]
    fn what_is_over_or_flushed_is_not_shown() {
        let memory = filled(10);
        let ends = Write { expires_at: Some(Instant::from_ms(NOW.as_ms() + 5)), ..Write::at(NOW) };
        memory.write(b"ends", b"x", ends);
        let later = Instant::from_ms(NOW.as_ms() + 5);
        let count = |now| {
            let (mut count, mut place) = (0, Some(0));
            while let Some(from) = place {
                place = memory.walk(from, now, &mut |_, _| count += 1);
            }
            count
        };
        assert_eq!((count(NOW), count(later)), (11, 10));
        let flushed = Instant::from_ms(later.as_ms() + 5);
        memory.flush(flushed, later);
        assert_eq!((count(later), count(flushed)), (10, 0));
    }
}
