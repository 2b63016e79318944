//! The cache over a restart: what it held when the process ended in good order is there when the next one begins.
//!
//! A snapshot says what was true when it was written, and nothing that happens later can correct it. So it is believed once,
//! by the very next start: before anything is read of it, it is durably taken away under another name. A crash after that, a
//! start that does not want it, a damaged file: each leaves nothing behind that a later start could take for the truth.

use forebay_core::error::Result;
use forebay_core::ports::files::Files;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::Memory;

use crate::pinned::Prefixes;

/// The snapshot that the next start may believe.
const SNAPSHOT: &str = "cache.snapshot";
/// The one that is being written, or that is being read and belongs to nobody else any more.
const UNFINISHED: &str = "cache.snapshot.unfinished";

/// To be called by every start, before the cache is used: takes the snapshot away and, where it is wanted, fills the
/// memory from it, except with the keys `apart`, of which others have the truth. Returns how many entries there are. A damaged
/// one is said and leaves the memory empty; `Err`: the snapshot is there and cannot be taken away, so that nobody may go on.
pub fn begin(
    files: &dyn Files,
    memory: &Memory,
    wanted: bool,
    apart: &Prefixes,
    now: Instant,
) -> Result<u64> {
    let names = files.list()?;
    let is_there = |name: &str| names.iter().any(|other| other == name);
    if is_there(SNAPSHOT) {
        files.rename(SNAPSHOT, UNFINISHED)?;
    } else if is_there(UNFINISHED) {
        // Cut off by a crash, in the middle of writing or of reading.
        files.remove(UNFINISHED)?;
        return Ok(0);
    } else {
        return Ok(0);
    }
    files.sync_names()?;
    let loaded = if wanted { load(files, memory, apart, now) } else { Ok(0) };
    let loaded = loaded.unwrap_or_else(|error| {
        tracing::warn!(%error, "the cache begins empty");
        memory.flush(now, now);
        0
    });
    files.remove(UNFINISHED)?;
    Ok(loaded)
}

/// To be called at the very end, when nobody uses the cache any more: leaves a snapshot for the next start, and says of how
/// many entries. `Conflict`: somebody did use it, and there is none. After another error there may be none.
pub fn end(files: &dyn Files, memory: &Memory, now: Instant) -> Result<u64> {
    let saved = save(files, memory, now);
    if saved.is_err() {
        // The next start removes it otherwise.
        drop(files.remove(UNFINISHED));
    }
    saved
}

fn load(files: &dyn Files, memory: &Memory, apart: &Prefixes, now: Instant) -> Result<u64> {
    let file = files.open(UNFINISHED)?;
    let mut offset = 0;
    memory.load(now, file.len()?, &|key| !apart.has(key), &mut |buffer| {
        file.read_at(buffer, offset)?;
        offset += buffer.len() as u64;
        Ok(())
    })
}

fn save(files: &dyn Files, memory: &Memory, now: Instant) -> Result<u64> {
    let file = files.create(UNFINISHED, 0)?;
    let mut offset = 0;
    let entries = memory.save(now, &mut |piece| {
        file.write_at(piece, offset)?;
        offset += piece.len() as u64;
        Ok(())
    })?;
    file.sync()?;
    files.rename(UNFINISHED, SNAPSHOT)?;
    files.sync_names()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use forebay_contract::files::{Operation, Saboteur};
    use forebay_core::entry::{Read, Version, Write};
    use forebay_core::error::Kind;
    use forebay_memory::MemoryOptions;

    use super::*;

    const NOW: Instant = Instant::from_ms(1_700_000_000_000);

    fn memory() -> Memory {
        let (bytes_max, value_bytes_max) = (4 << 20, 1 << 20);
        Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version: Version(1) })
    }

    /// A cache with one entry, saved.
    fn ended(files: &Saboteur) {
        let memory = memory();
        memory.write(b"key", b"value", Write::at(NOW));
        assert_eq!(end(files, &memory, NOW).unwrap(), 1);
    }

    /// The next start, and whether the entry is there.
    fn begun(files: &Saboteur, wanted: bool) -> bool {
        let memory = memory();
        let loaded = begin(files, &memory, wanted, &Prefixes::default(), NOW).unwrap();
        let there = memory.read(b"key", Read::at(NOW), &mut |view| assert_eq!(view.value, b"value"));
        assert_eq!((loaded, memory.stats().items), (u64::from(there), u64::from(there)));
        there
    }

    #[test]
    fn the_next_start_has_what_the_last_end_left_and_no_start_after_it() {
        let files = Saboteur::new();
        assert!(!begun(&files, true));
        ended(&files);
        assert!(begun(&files, true));
        assert!(!begun(&files, true), "that was a crash, or a run that left none");
        assert_eq!(files.list().unwrap(), [""; 0]);
    }

    #[test]
    fn a_start_that_does_not_want_it_ends_it() {
        let files = Saboteur::new();
        ended(&files);
        assert!(!begun(&files, false));
        assert!(!begun(&files, true));
    }

    #[test]
    fn after_it_was_loaded_no_loss_of_power_brings_it_back() {
        for seed in 0..100 {
            let files = Saboteur::new();
            ended(&files);
            assert!(begun(&files, true));
            assert!(!begun(&files.crash(seed), true), "seed {seed}");
        }
    }

    #[test]
    fn once_the_end_has_answered_no_loss_of_power_takes_it_and_before_that_it_is_whole_or_nothing() {
        for seed in 0..100 {
            let files = Saboteur::new();
            ended(&files);
            assert!(begun(&files.crash(seed), true), "seed {seed}");
            for effects in 0..8 {
                let files = Saboteur::new();
                let memory = memory();
                memory.write(b"key", b"value", Write::at(NOW));
                files.power_off_after(effects);
                let ended = end(&files, &memory, NOW);
                let there = begun(&files.crash(seed), true);
                assert!(there || ended.is_err(), "seed {seed}, {effects} effects");
            }
        }
    }

    #[test]
    fn a_write_or_sync_that_fails_leaves_none() {
        for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename] {
            let files = Saboteur::new();
            files.fail(operation, 0, Kind::Full);
            assert!(end(&files, &memory(), NOW).is_err(), "{operation:?}");
            assert!(!begun(&files, true));
        }
    }

    #[test]
    fn keys_that_are_pinned_by_now_are_not_taken_from_it() {
        let files = Saboteur::new();
        let before = memory();
        for key in [&b"task:7"[..], b"task", b"key"] {
            before.write(key, b"value", Write::at(NOW));
        }
        assert_eq!(end(&files, &before, NOW).unwrap(), 3);
        let after = memory();
        let apart = Prefixes::new(["task:"]).unwrap();
        assert_eq!(begin(&files, &after, true, &apart, NOW).unwrap(), 2);
        assert!(!after.read(b"task:7", Read::at(NOW), &mut |_| ()));
    }

    #[test]
    fn a_damaged_one_is_passed_over_and_gone() {
        let files = Saboteur::new();
        ended(&files);
        let file = files.open(SNAPSHOT).unwrap();
        file.write_at(b"X", file.len().unwrap() - 12).unwrap();
        assert!(!begun(&files, true));
        assert_eq!(files.list().unwrap(), [""; 0]);
    }
}
