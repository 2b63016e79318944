//! The end of life: exact for every verb, cheap in the background.

use forebay_core::entry::{Claim, Condition, Counted, Deleted, Mode, Version, Write, Written};
use forebay_core::limits::memory::{SHARDS_MAX, SWEEP_ENTRIES_MAX};
use forebay_core::time::Instant;

use super::ask::{
    Make, ROOMY, at, delete, get, get_or_lease, set, set_if, set_until, stored, sweep_all, up, value, write,
};

/// There at one millisecond, gone at the next.
pub fn an_entry_ends_to_the_millisecond(make: Make<'_>) {
    let store = make(ROOMY);
    set_until(&*store, b"key", b"value", at(0), at(1_234));
    assert_eq!(value(&*store, b"key", at(1_233)).unwrap(), b"value");
    assert_eq!(get(&*store, b"key", at(1_234)), None);
}

/// As memcached has it for negative times: stored, and gone.
pub fn an_entry_written_without_life_is_absent_at_once(make: Make<'_>) {
    let store = make(ROOMY);
    for end in [Instant::from_ms(0), at(9), at(10)] {
        set(&*store, b"key", b"older", at(0));
        stored(store.write(b"key", b"newer", Write { expires_at: Some(end), ..Write::at(at(10)) }));
        assert_eq!(get(&*store, b"key", at(10)), None);
    }
    set(&*store, b"key", b"older", at(0));
    let add = Write { mode: Mode::Add, expires_at: Some(at(0)), ..Write::at(at(10)) };
    assert_eq!(store.write(b"key", b"newer", add), Written::NotStored);
    assert_eq!(value(&*store, b"key", at(10)).unwrap(), b"older");
    let won = get_or_lease(&*store, b"leased", at(10), Some(at(10)));
    assert_eq!(won.claim, Claim::Won);
    assert_eq!(get(&*store, b"leased", at(10)), None);
}

/// Not only reads.
pub fn an_expired_entry_is_absent_for_every_verb(make: Make<'_>) {
    let store = make(ROOMY);
    let expired = || set_until(&*store, b"key", b"1", at(0), at(1));
    let version = expired();
    assert_eq!(set_if(&*store, b"key", b"2", at(1), Condition::Version(version)), Written::NotFound);
    for mode in [Mode::Replace, Mode::Append, Mode::Prepend] {
        expired();
        assert_eq!(write(&*store, mode, b"key", b"2", at(1)), Written::NotStored);
    }
    expired();
    assert_eq!(up(&*store, b"key", 1, at(1)), Counted::NotFound);
    expired();
    assert_eq!(delete(&*store, b"key", at(1)), Deleted::NotFound);
    expired();
    assert_eq!(get_or_lease(&*store, b"key", at(1), None).claim, Claim::Won);
    expired();
    stored(write(&*store, Mode::Add, b"key", b"2", at(1)));
    assert_eq!(value(&*store, b"key", at(2)).unwrap(), b"2");
}

/// Also in a thousand years.
pub fn a_far_end_is_kept_to_the_millisecond(make: Make<'_>) {
    let store = make(ROOMY);
    let far = at(1_000 * 365 * 24 * 3_600 * 1_000 + 7);
    set_until(&*store, b"key", b"value", at(0), far);
    assert_eq!(get(&*store, b"key", at(0)).unwrap().expires_at, Some(far));
    assert!(get(&*store, b"key", Instant::from_ms(far.as_ms() - 1)).is_some());
    assert_eq!(get(&*store, b"key", far), None);
    let never = set_until(&*store, b"key", b"value", at(0), Instant::from_ms(u64::MAX));
    assert!(never > Version(0));
    assert!(get(&*store, b"key", far).is_some());
}

/// A sweep is not an eviction.
pub fn sweeping_drops_what_has_expired_and_nothing_else(make: Make<'_>) {
    let store = make(ROOMY);
    for number in 0..1_000u32 {
        set_until(&*store, &number.to_be_bytes(), b"value", at(0), at(u64::from(number % 4) * 100 + 100));
        set(&*store, &(number + 10_000).to_be_bytes(), b"value", at(0));
    }
    assert_eq!(sweep_all(&*store, at(99)), 0);
    assert_eq!(sweep_all(&*store, at(200)), 500);
    assert_eq!(sweep_all(&*store, at(200)), 0);
    let stats = store.stats();
    assert_eq!((stats.items, stats.expired, stats.evicted), (1_500, 500, 0));
    for number in 0..1_000u32 {
        assert_eq!(get(&*store, &number.to_be_bytes(), at(200)).is_some(), number % 4 >= 2);
        assert!(get(&*store, &(number + 10_000).to_be_bytes(), at(200)).is_some());
    }
}

/// Mass expiry does not make one call long.
pub fn sweeping_looks_at_a_bounded_number_of_entries(make: Make<'_>) {
    let store = make(4 * 1024 * 1024);
    let mut written = 0u32;
    while store.stats().evicted == 0 {
        set_until(&*store, &written.to_be_bytes(), b"", at(0), at(1));
        written += 1;
    }
    let items = store.stats().items;
    let mut left = items;
    let mut calls = 0;
    while left > 0 {
        let dropped = store.sweep(at(1)) as u64;
        assert!(dropped <= (SWEEP_ENTRIES_MAX * SHARDS_MAX) as u64);
        left -= dropped;
        calls += 1;
        assert!(calls <= items, "sweeping comes to an end");
    }
    assert!(calls > 1, "one call did it all");
    assert_eq!(store.stats().items, 0);
}

/// By a read or by a sweep, not by both.
pub fn an_expired_entry_is_counted_once(make: Make<'_>) {
    let store = make(ROOMY);
    set_until(&*store, b"key", b"value", at(0), at(1));
    assert_eq!(get(&*store, b"key", at(1)), None);
    assert_eq!(get(&*store, b"key", at(1)), None);
    sweep_all(&*store, at(1));
    let stats = store.stats();
    assert_eq!((stats.expired, stats.items, stats.misses), (1, 0, 2));
}
