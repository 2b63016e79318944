//! Flushing: everything written up to a moment is gone from that moment on.

use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;

use super::ask::{Make, ROOMY, at, get, set, sweep_all, value};

const KEYS: u32 = 500;

fn fill(store: &dyn LocalStore, now: Instant) {
    for number in 0..KEYS {
        set(store, &number.to_be_bytes(), b"value", now);
    }
}

fn present(store: &dyn LocalStore, now: Instant) -> usize {
    (0..KEYS).filter(|number| get(store, &number.to_be_bytes(), now).is_some()).count()
}

/// In every corner of the store.
pub fn a_flush_takes_everything_written_before(make: Make<'_>) {
    let store = make(ROOMY);
    fill(&*store, at(0));
    assert_eq!(present(&*store, at(1)), KEYS as usize);
    store.flush(at(1), at(1));
    assert_eq!(present(&*store, at(1)), 0);
}

/// Even in the same millisecond.
pub fn what_is_written_after_a_flush_stays(make: Make<'_>) {
    let store = make(ROOMY);
    fill(&*store, at(0));
    store.flush(at(1), at(1));
    fill(&*store, at(1));
    assert_eq!(present(&*store, at(1)), KEYS as usize);
    assert_eq!(present(&*store, at(1_000)), KEYS as usize);
}

/// Until its time it does nothing.
pub fn a_delayed_flush_takes_what_is_written_until_then(make: Make<'_>) {
    let store = make(ROOMY);
    fill(&*store, at(0));
    store.flush(at(100), at(0));
    assert_eq!(present(&*store, at(50)), KEYS as usize);
    set(&*store, b"between", b"value", at(99));
    assert_eq!(value(&*store, b"between", at(99)).unwrap(), b"value");
    assert_eq!(present(&*store, at(100)), 0);
    assert_eq!(get(&*store, b"between", at(100)), None);
    fill(&*store, at(100));
    assert_eq!(present(&*store, at(200)), KEYS as usize);
}

/// Earlier or later than the first.
pub fn a_later_flush_replaces_one_that_is_not_due(make: Make<'_>) {
    let store = make(ROOMY);
    fill(&*store, at(0));
    store.flush(at(100), at(0));
    store.flush(at(200), at(0));
    assert_eq!(present(&*store, at(150)), KEYS as usize);
    assert_eq!(present(&*store, at(200)), 0);
    fill(&*store, at(200));
    store.flush(at(400), at(200));
    store.flush(at(300), at(200));
    assert_eq!(present(&*store, at(300)), 0);
}

/// Not even where nobody has looked since it was due.
pub fn a_later_flush_does_not_undo_one_that_was_due(make: Make<'_>) {
    let store = make(ROOMY);
    fill(&*store, at(0));
    store.flush(at(100), at(0));
    assert_eq!(get(&*store, b"any key at all", at(100)), None);
    store.flush(at(10_000), at(101));
    assert_eq!(present(&*store, at(101)), 0);
}

/// Nobody has to look at them first.
pub fn flushed_entries_are_not_counted_from_the_flush_on(make: Make<'_>) {
    let store = make(ROOMY);
    let empty = store.stats().bytes;
    fill(&*store, at(0));
    store.flush(at(5), at(5));
    let stats = store.stats();
    assert_eq!((stats.items, stats.flushed), (0, u64::from(KEYS)));
    assert!(stats.bytes - empty < 64 * 1024, "{} of {empty}", stats.bytes);
}

/// Their memory comes back.
pub fn flushed_entries_are_swept(make: Make<'_>) {
    let store = make(ROOMY);
    let empty = store.stats().bytes;
    fill(&*store, at(0));
    store.flush(at(1), at(1));
    sweep_all(&*store, at(1));
    let stats = store.stats();
    assert_eq!((stats.items, stats.flushed), (0, u64::from(KEYS)));
    assert!(stats.bytes - empty < 64 * 1024, "{} of {empty}", stats.bytes);
}
