//! Walks: what is there, part of the table by part. An entry stays in its part for as long as it is there, however it is moved
//! about in memory, so none is missed and none is shown twice.

use forebay_core::entry::{Claim, View};
use forebay_core::time::Instant;

use crate::memory::Memory;
use crate::shard::Shard;

/// Parts of which one call may find nothing in.
const EMPTY_PARTS_MAX: usize = 1024;

impl Shard {
    /// Shows the entries of a part of the table, and returns how many there were, those whose time is over included.
    fn show_part(&self, part: usize, now: Instant, visit: &mut dyn FnMut(&[u8], View<'_>)) -> usize {
        let mut count = 0;
        for position in self.table.entries_of(part) {
            let header = self.heap.header(position);
            if !header.expired(now) {
                let value = self.heap.value(position, &header);
                visit(self.heap.key(position), header.view(value, Claim::None));
            }
            count += 1;
        }
        count
    }
}

impl Memory {
    /// `LocalStore::walk`: one part that is not empty. A place is the number of a part among those of all shards.
    pub(crate) fn walk_part(
        &self,
        from: u64,
        now: Instant,
        visit: &mut dyn FnMut(&[u8], View<'_>),
    ) -> Option<u64> {
        let mut place = usize::try_from(from).ok()?;
        for _ in 0..EMPTY_PARTS_MAX {
            // All shards have as many parts.
            let parts = self.shards.first()?.lock().table.parts();
            let mut shard = self.shards.get(place / parts)?.lock();
            // A flush that is due has taken everything.
            shard.tick(now);
            let shown = shard.show_part(place % parts, now, visit);
            place += 1;
            if shown > 0 {
                break;
            }
        }
        Some(place as u64)
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
