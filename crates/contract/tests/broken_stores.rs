//! Stores that are broken in the usual ways, each of which the search must find, and a sound one in which it finds nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use forebay_contract::store::ask::{Seen, read};
use forebay_contract::store::linear::record::Plan;
use forebay_contract::store::linear::search::{Memory, check};
use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Lease, Mode, Read, State, Step, Version, View,
    Write, Written,
};
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use forebay_memory::{Memory as Embedded, MemoryOptions};
use parking_lot::Mutex;

const TRIES: u64 = 200;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Appending is a read and a write.
    LostUpdate,
    /// Counting is a read and a write.
    LostCount,
    /// A read may look at a copy that was made a moment ago.
    StaleRead,
    /// A fill does not look whether its lease is still good.
    FillOverInvalidation,
    /// An add looks first and writes later.
    TwoWinners,
    /// A deletion of one version does not look at it.
    WrongDeletion,
}

struct Broken {
    store: Embedded,
    fault: Fault,
    calls: AtomicU64,
    copies: Mutex<HashMap<Vec<u8>, Option<Seen>>>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        let options = MemoryOptions {
            bytes_max: 64 * 1024 * 1024,
            value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
            first_version: Version(1),
        };
        Self { store: Embedded::new(options), fault, calls: AtomicU64::new(0), copies: Mutex::default() }
    }

    fn called(&self) {
        self.calls.fetch_add(1, SeqCst);
    }

    /// Lets somebody else come in between, if somebody will.
    fn window(&self) {
        let before = self.calls.load(SeqCst);
        for _ in 0..1_000 {
            if self.calls.load(SeqCst) > before + 1 {
                return;
            }
            thread::yield_now();
        }
    }

    fn look(&self, key: &[u8], now: Instant) -> Option<Seen> {
        read(&self.store, key, Read { counts: false, ..Read::at(now) })
    }
}

impl LocalStore for Broken {
    fn read(&self, key: &[u8], asked: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        self.called();
        let plain = asked.touch.is_none() && asked.lease.is_none() && asked.refresh_below_ms.is_none();
        if self.fault != Fault::StaleRead || !plain || asked.counts {
            return self.store.read(key, asked, visit);
        }
        let present = self.look(key, asked.now);
        let shown = self.copies.lock().insert(key.to_vec(), present.clone()).unwrap_or(present);
        if let Some(seen) = &shown {
            visit(View {
                value: &seen.value,
                flags: seen.flags,
                version: seen.version,
                expires_at: seen.expires_at,
                state: seen.state,
                claim: seen.claim,
                read_before: seen.read_before,
                accessed_at: seen.accessed_at,
            });
        }
        shown.is_some()
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        self.called();
        let plain = write.condition == Condition::None;
        match (self.fault, write.mode, write.condition) {
            (Fault::LostUpdate, Mode::Append, Condition::None) => {
                let Some(seen) = self.look(key, write.now) else { return Written::NotStored };
                self.window();
                let whole = [&seen.value, value].concat();
                let set = Write { mode: Mode::Set, flags: seen.flags, expires_at: seen.expires_at, ..write };
                self.store.write(key, &whole, set)
            }
            (Fault::FillOverInvalidation, _, Condition::Lease(_)) => {
                self.store.write(key, value, Write { condition: Condition::None, ..write })
            }
            (Fault::TwoWinners, Mode::Add, _) if plain => {
                if self.look(key, write.now).is_some() {
                    return self.store.write(key, value, write);
                }
                self.window();
                self.store.write(key, value, Write { mode: Mode::Set, ..write })
            }
            _ => self.store.write(key, value, write),
        }
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        self.called();
        let version = delete.version.filter(|_| self.fault != Fault::WrongDeletion);
        self.store.delete(key, Delete { version, ..delete })
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        self.called();
        let plain = arithmetic.version.is_none() && arithmetic.touch.is_none();
        if self.fault == Fault::LostCount && plain && arithmetic.step == Step::Up {
            // Only where a write leaves what counting would: the race is to be found and nothing else.
            let plain =
                |seen: &Seen| seen.state == State::Fresh && !seen.read_before && seen.claim == Claim::None;
            if let Some(seen) = self.look(key, arithmetic.now).filter(plain)
                && let Some(number) =
                    std::str::from_utf8(&seen.value).ok().and_then(|text| text.parse::<u64>().ok())
            {
                self.window();
                let sum = number.wrapping_add(arithmetic.delta);
                let width = seen.value.len();
                let Seen { flags, expires_at, .. } = seen;
                let set = Write { mode: Mode::Replace, flags, expires_at, ..Write::at(arithmetic.now) };
                return match self.store.write(key, format!("{sum:<width$}").as_bytes(), set) {
                    Written::Stored(version) => {
                        Counted::Value { number: sum, version, expires_at, created: false }
                    }
                    _ => Counted::NotFound,
                };
            }
        }
        self.store.count(key, arithmetic)
    }

    fn lease(&self, key: &[u8]) -> Lease {
        self.called();
        self.store.lease(key)
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.store.flush(at, now);
    }

    fn sweep(&self, now: Instant) -> usize {
        self.store.sweep(now)
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}

/// Whether the search finds something wrong within so many histories of three threads.
fn is_found(fault: Fault, memory: Memory) -> bool {
    is_found_by(3, fault, memory)
}

fn is_found_by(threads: usize, fault: Fault, memory: Memory) -> bool {
    (0..TRIES).any(|seed| {
        let plan = Plan { seed, threads, calls: 100, keys: 2, crowd: 0 };
        let store = Broken::new(fault);
        catch_unwind(AssertUnwindSafe(|| check(&store, plan, memory))).is_err()
    })
}

#[test]
fn nothing_is_found_in_a_sound_store() {
    assert!(!is_found(Fault::None, Memory::Keeps));
}

#[test]
fn what_only_a_second_thread_can_break_is_not_found_with_one() {
    for fault in [Fault::LostUpdate, Fault::LostCount, Fault::TwoWinners] {
        assert!(!is_found_by(1, fault, Memory::Keeps), "{fault:?}");
    }
}

#[test]
fn a_lost_update_is_found() {
    assert!(is_found(Fault::LostUpdate, Memory::Keeps));
    assert!(is_found(Fault::LostUpdate, Memory::Forgets));
}

#[test]
fn a_lost_increment_is_found() {
    assert!(is_found(Fault::LostCount, Memory::Keeps));
}

#[test]
fn a_stale_read_is_found_also_in_a_store_that_may_forget() {
    assert!(is_found(Fault::StaleRead, Memory::Keeps));
    assert!(is_found(Fault::StaleRead, Memory::Forgets));
}

#[test]
fn a_fill_over_an_invalidation_is_found_also_in_a_store_that_may_forget() {
    assert!(is_found(Fault::FillOverInvalidation, Memory::Keeps));
    assert!(is_found(Fault::FillOverInvalidation, Memory::Forgets));
}

#[test]
fn two_winners_of_an_add_are_found() {
    assert!(is_found(Fault::TwoWinners, Memory::Keeps));
}

#[test]
fn a_deletion_of_the_wrong_version_is_found() {
    assert!(is_found(Fault::WrongDeletion, Memory::Keeps));
}
