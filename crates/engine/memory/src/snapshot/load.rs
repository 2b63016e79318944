//! Reading: every chunk is verified before any of it is used, and no more is read than was written.

use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::limits::memory::SNAPSHOT_CHUNK_BYTES;
use forebay_core::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX_CEILING};
use forebay_core::time::Instant;

use super::format::{self, CHUNK_HEADER_BYTES, HEADER_BYTES, Kept, MAIN, READ, STALE, damaged};
use crate::memory::Memory;
use crate::records::queue::QueueName;
use crate::records::record::{Header, Marks};
use crate::shard::Shard;

/// The longest chunk: it is finished by the entry that makes it long enough.
const CHUNK_BYTES_MAX: usize = SNAPSHOT_CHUNK_BYTES + VALUE_BYTES_MAX_CEILING + 1024;

impl Memory {
    /// Takes in what `save` wrote, `bytes` in all, and returns how many entries there are. `read` fills its buffer with what
    /// comes next. Entries keep their versions, and new ones are above them. Those whose time is over stay away, and those
    /// whose keys are not `wanted`.
    /// `Damaged`: it is not what was written, and the store holds a part of it: nothing of that may be served.
    pub fn load(
        &self,
        now: Instant,
        bytes: u64,
        wanted: &dyn Fn(&[u8]) -> bool,
        read: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut left = bytes;
        let mut take = |buffer: &mut [u8]| {
            left = left.checked_sub(buffer.len() as u64).ok_or_else(|| damaged("it is cut off"))?;
            read(buffer)?;
            Ok::<_, forebay_core::error::Error>(left)
        };
        let mut header = [0; HEADER_BYTES];
        take(&mut header)?;
        let highest = format::read_header(&header)?;
        let mut chunk = Vec::new();
        for number in 0.. {
            let mut header = [0; CHUNK_HEADER_BYTES];
            let left = take(&mut header)?;
            let (length, checksum) = format::read_chunk_header(&header);
            if length > CHUNK_BYTES_MAX || length as u64 > left {
                return Err(damaged("a chunk is too long"));
            }
            chunk.resize(length, 0);
            take(&mut chunk)?;
            if format::checksum(number, &chunk) != checksum {
                return Err(damaged("a chunk does not verify"));
            }
            if chunk.is_empty() {
                break;
            }
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let kept = format::entry(&mut rest)?;
                if wanted(kept.key) {
                    self.restore(&kept, now);
                }
            }
        }
        for shard in &self.shards {
            shard.lock().begin_above(Version(highest));
        }
        Ok(self.shards.iter().map(|shard| shard.lock().table.len() as u64).sum())
    }

    fn restore(&self, kept: &Kept<'_>, now: Instant) {
        let over = kept.expires_ms.is_some_and(|at| at <= now.as_ms());
        if over || !(1..=KEY_BYTES_MAX).contains(&kept.key.len()) || kept.value.len() > self.value_bytes_max()
        {
            return;
        }
        let (hash, shard) = self.shard(kept.key);
        let mut shard = shard.lock();
        shard.tick(now);
        // The budget may be smaller than it was.
        let fits = kept.key.len() + kept.value.len() <= shard.entry_bytes_max(shard.bytes_max);
        if fits && shard.position(hash, kept.key).is_none() {
            shard.restore(hash, kept, now);
        }
    }
}

impl Shard {
    fn restore(&mut self, hash: u64, kept: &Kept<'_>, now: Instant) {
        self.make_all_room(hash, kept.key, kept.value.len());
        let mut header = Header::new(kept.version, now);
        header.accessed = kept.accessed;
        header.flags = kept.flags;
        header.set_expiry(kept.expires_ms.map(Instant::from_ms));
        for (mark, meaning) in [(STALE, Marks::STALE), (READ, Marks::READ)] {
            if kept.marks & mark != 0 {
                header.marks.set(meaning);
            }
        }
        header.marks.set_uses(kept.uses());
        let queue = if kept.marks & MAIN != 0 { QueueName::Main } else { QueueName::Small };
        self.counts.items_created += 1;
        self.append(hash, kept.key, kept.value, header, queue);
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::entry::{Delete, Lease, Read, State, Write, Written};
    use forebay_core::error::Kind;
    use forebay_core::ports::local_store::LocalStore;

    use super::*;
    use crate::memory::MemoryOptions;

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);
    const LATER: Instant = Instant::from_ms(1_700_000_060_000);

    fn memory(mib: usize, first: u64) -> Memory {
        let (bytes_max, value_bytes_max) = (mib << 20, 1 << 20);
        Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version: Version(first) })
    }

    fn saved(memory: &Memory) -> Vec<u8> {
        let mut bytes = Vec::new();
        memory
            .save(NOW, &mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        bytes
    }

    fn load(memory: &Memory, mut bytes: &[u8]) -> Result<u64> {
        memory.load(LATER, bytes.len() as u64, &|_| true, &mut |buffer| {
            let (piece, rest) = bytes.split_at(buffer.len());
            buffer.copy_from_slice(piece);
            bytes = rest;
            Ok(())
        })
    }

    type Seen = (Vec<u8>, u32, Version, Option<Instant>, State);

    fn seen(memory: &Memory, key: &[u8]) -> Option<Seen> {
        let mut seen = None;
        memory.read(key, Read { counts: false, ..Read::at(LATER) }, &mut |view| {
            seen = Some((view.value.to_vec(), view.flags, view.version, view.expires_at, view.state));
        });
        seen
    }

    #[test]
    fn entries_come_back_as_they_were_and_new_versions_are_above_theirs() {
        let before = memory(64, 1_000);
        let numbers = 0..20_000u32;
        for number in numbers.clone() {
            let length = if number % 500 == 0 { 300_000 } else { number as usize % 300 };
            let expires_at =
                (number % 3 == 0).then_some(LATER + std::time::Duration::from_secs(number.into()));
            let write = Write { flags: number % 2 * number, expires_at, ..Write::at(NOW) };
            before.write(&number.to_be_bytes(), &vec![number as u8; length], write);
            if number % 7 == 0 {
                before.read(&number.to_be_bytes(), Read::at(NOW), &mut |_| ());
            }
        }
        before.delete(&5u32.to_be_bytes(), Delete { keep_stale: Some(None), ..Delete::at(NOW) });
        let bytes = saved(&before);
        // Another number of shards, and a clock that went back.
        let after = memory(128, 7);
        let there = load(&after, &bytes).unwrap();
        assert_eq!(there, after.stats().items);
        assert!(there > 19_900);
        for number in numbers {
            let key = number.to_be_bytes();
            assert_eq!(seen(&after, &key), seen(&before, &key), "{number}");
        }
        assert_eq!(seen(&after, &5u32.to_be_bytes()).unwrap().4, State::Stale);
        let highest = before.shards.iter().map(|shard| shard.lock().version).max().unwrap();
        let Lease(lease) = after.lease(b"new");
        let Written::Stored(version) = after.write(b"new", b"", Write::at(LATER)) else {
            panic!("not stored")
        };
        assert!(lease.0 >= highest && version.0 > highest, "{lease:?} {version:?} {highest}");
    }

    #[test]
    fn what_is_over_or_was_never_a_value_stays_away() {
        let before = memory(8, 1);
        before.write(b"over", b"x", Write { expires_at: Some(LATER), ..Write::at(NOW) });
        before.read(b"leased", Read { lease: Some(None), ..Read::at(NOW) }, &mut |_| ());
        before.write(b"here", b"x", Write::at(NOW));
        let after = memory(8, 1);
        assert_eq!(load(&after, &saved(&before)).unwrap(), 1);
        assert!(seen(&after, b"here").is_some());
    }

    #[test]
    fn a_flush_that_is_to_come_takes_what_was_saved_before_it() {
        let before = memory(8, 1);
        before.write(b"key", b"x", Write::at(NOW));
        before.flush(LATER, NOW);
        let bytes = saved(&before);
        let after = memory(8, 1);
        assert_eq!(load(&after, &bytes).unwrap(), 0);
        let soon = Instant::from_ms(LATER.as_ms() + 1);
        before.write(b"other", b"x", Write::at(NOW));
        before.flush(soon, NOW);
        let after = memory(8, 1);
        assert_eq!(load(&after, &saved(&before)).unwrap(), 2);
        assert_eq!(seen(&after, b"key").unwrap().3, Some(soon));
    }

    #[test]
    fn a_smaller_store_takes_what_fits() {
        let before = memory(64, 1);
        for number in 0..100_000u32 {
            before.write(&number.to_be_bytes(), &[7; 200], Write::at(NOW));
        }
        let after = memory(4, 1);
        let there = load(&after, &saved(&before)).unwrap();
        let stats = after.stats();
        assert!(there > 5_000 && stats.bytes <= stats.bytes_max, "{stats:?}");
    }

    #[test]
    fn a_flip_of_any_bit_and_a_cut_anywhere_are_found() {
        let before = memory(1, 1);
        for number in 0..20u32 {
            before.write(&number.to_be_bytes(), &[7; 9], Write::at(NOW));
        }
        let bytes = saved(&before);
        for at in 0..bytes.len() {
            // Nothing depends on the zeros of the header.
            if !(12..16).contains(&at) && !(28..32).contains(&at) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                let kind = load(&memory(1, 1), &flipped).map_err(|error| error.kind());
                assert_eq!(kind, Err(Kind::Damaged), "byte {at}");
            }
            let kind = load(&memory(1, 1), &bytes[..at]).map_err(|error| error.kind());
            assert_eq!(kind, Err(Kind::Damaged), "cut at {at}");
        }
    }

    #[test]
    fn a_change_while_it_is_written_makes_it_worthless() {
        let memory = memory(8, 1);
        memory.write(b"key", b"value", Write::at(NOW));
        let changed = memory.save(NOW, &mut |_| {
            memory.delete(b"key", Delete::at(NOW));
            Ok(())
        });
        assert_eq!(changed.map_err(|error| error.kind()), Err(Kind::Conflict));
    }

    #[test]
    fn whatever_becomes_of_the_store_in_the_middle_is_a_conflict() {
        let change = |change: &mut dyn FnMut(&Memory)| {
            let memory = memory(8, 1);
            for number in 0..20_000u32 {
                memory.write(&number.to_be_bytes(), &[7; 200], Write::at(NOW));
            }
            let mut pieces = 0;
            let saved = memory.save(NOW, &mut |_| {
                pieces += 1;
                if pieces == 3 {
                    change(&memory);
                }
                Ok(())
            });
            assert_eq!(saved.map_err(|error| error.kind()), Err(Kind::Conflict));
        };
        change(&mut |memory| memory.flush(NOW, NOW));
        change(&mut |memory| {
            for number in 0..100_000u32 {
                memory.write(&number.to_be_bytes(), &[8; 333], Write::at(NOW));
            }
        });
        // Refused, but only after others were pushed out for it.
        change(&mut |memory| {
            for number in 0..20u32 {
                memory.write_within(&number.to_le_bytes(), &[9; 1 << 20], Write::at(NOW), 1);
            }
        });
    }

    #[test]
    fn it_takes_little_memory_beside_the_store() {
        let memory = memory(64, 1);
        for number in 0..100_000u32 {
            memory.write(&number.to_be_bytes(), &[7; 300], Write::at(NOW));
        }
        let mut longest = 0;
        memory
            .save(NOW, &mut |piece| {
                longest = longest.max(piece.len());
                Ok(())
            })
            .unwrap();
        assert!(longest < SNAPSHOT_CHUNK_BYTES + 1024, "{longest}");
    }
}
