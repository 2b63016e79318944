//! Short ways to ask a store, so that a case reads as its promise.

use std::sync::Arc;

use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Expiry, Mode, Read, State, Step, Version, Write,
    Written,
};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;

/// Makes a store with a budget of so many bytes, which takes values of up to `VALUE_BYTES_MAX_DEFAULT`.
pub type Make<'a> = &'a dyn Fn(usize) -> Arc<dyn LocalStore>;

/// A budget that no case reaches unless it wants to.
pub const ROOMY: usize = 64 * 1024 * 1024;

/// The time at which the cases begin.
pub const START: Instant = Instant::from_ms(1_700_000_000_000);

/// So many milliseconds after the start.
pub fn at(ms: u64) -> Instant {
    Instant::from_ms(START.as_ms() + ms)
}

/// What a read showed, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The bytes.
    pub value: Vec<u8>,
    /// The flags.
    pub flags: u32,
    /// The version.
    pub version: Version,
    /// The end of life.
    pub expires_at: Expiry,
    /// Fresh, stale or leased.
    pub state: State,
    /// Whether the reader shall load.
    pub claim: Claim,
    /// Whether it was read before.
    pub read_before: bool,
    /// The last access before.
    pub accessed_at: Instant,
}

/// Reads and keeps what was shown.
pub fn read(store: &dyn LocalStore, key: &[u8], read: Read) -> Option<Seen> {
    let mut seen = None;
    let hit = store.read(key, read, &mut |view| {
        assert!(seen.is_none(), "a read visits once");
        seen = Some(Seen {
            value: view.value.to_vec(),
            flags: view.flags,
            version: view.version,
            expires_at: view.expires_at,
            state: view.state,
            claim: view.claim,
            read_before: view.read_before,
            accessed_at: view.accessed_at,
        });
    });
    assert_eq!(hit, seen.is_some(), "a read visits exactly if it says so");
    seen
}

/// A plain read.
pub fn get(store: &dyn LocalStore, key: &[u8], now: Instant) -> Option<Seen> {
    read(store, key, Read::at(now))
}

/// The value that a plain read shows.
pub fn value(store: &dyn LocalStore, key: &[u8], now: Instant) -> Option<Vec<u8>> {
    get(store, key, now).map(|seen| seen.value)
}

/// A read that leaves a placeholder on a miss.
pub fn get_or_lease(store: &dyn LocalStore, key: &[u8], now: Instant, lease: Expiry) -> Seen {
    read(store, key, Read { lease: Some(lease), ..Read::at(now) })
        .expect("a read with a lease always shows something")
}

/// A read whose reader would load a stale entry.
pub fn get_to_load(store: &dyn LocalStore, key: &[u8], now: Instant) -> Option<Seen> {
    read(store, key, Read { refresh_below_ms: Some(0), ..Read::at(now) })
}

/// An unconditional write with a mode.
pub fn write(store: &dyn LocalStore, mode: Mode, key: &[u8], value: &[u8], now: Instant) -> Written {
    store.write(key, value, Write { mode, ..Write::at(now) })
}

/// A set, which is expected to be stored.
pub fn set(store: &dyn LocalStore, key: &[u8], value: &[u8], now: Instant) -> Version {
    stored(write(store, Mode::Set, key, value, now))
}

/// A set with an end of life.
pub fn set_until(store: &dyn LocalStore, key: &[u8], value: &[u8], now: Instant, end: Instant) -> Version {
    stored(store.write(key, value, Write { expires_at: Some(end), ..Write::at(now) }))
}

/// A set under a condition.
pub fn set_if(
    store: &dyn LocalStore,
    key: &[u8],
    value: &[u8],
    now: Instant,
    condition: Condition,
) -> Written {
    store.write(key, value, Write { condition, ..Write::at(now) })
}

/// The version of a write that was stored.
pub fn stored(written: Written) -> Version {
    match written {
        Written::Stored(version) => version,
        other => panic!("not stored: {other:?}"),
    }
}

/// A deletion.
pub fn delete(store: &dyn LocalStore, key: &[u8], now: Instant) -> Deleted {
    store.delete(key, Delete::at(now))
}

/// An invalidation that keeps the value as stale, and its end of life.
pub fn mark_stale(store: &dyn LocalStore, key: &[u8], now: Instant) -> Deleted {
    store.delete(key, Delete { keep_stale: Some(None), ..Delete::at(now) })
}

/// Arithmetic that neither creates nor touches.
pub fn arithmetic(now: Instant, step: Step, delta: u64) -> Arithmetic {
    Arithmetic { now, delta, step, version: None, create: None, touch: None, named: None }
}

/// Counts up.
pub fn up(store: &dyn LocalStore, key: &[u8], delta: u64, now: Instant) -> Counted {
    store.count(key, arithmetic(now, Step::Up, delta))
}

/// Counts down.
pub fn down(store: &dyn LocalStore, key: &[u8], delta: u64, now: Instant) -> Counted {
    store.count(key, arithmetic(now, Step::Down, delta))
}

/// The number of a count that went well.
pub fn number(counted: Counted) -> u64 {
    match counted {
        Counted::Value { number, .. } => number,
        other => panic!("not counted: {other:?}"),
    }
}

/// Sweeps as often as it takes to look at everything in a store of a few thousand entries.
pub fn sweep_all(store: &dyn LocalStore, now: Instant) -> usize {
    (0..1000).map(|_| store.sweep(now)).sum()
}
