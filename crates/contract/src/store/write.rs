//! What each mode of a write does with what is there.

use forebay_core::entry::{Condition, Deleted, Mode, Read, Version, Write, Written};
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;

use super::ask::{
    Make, ROOMY, at, delete, get, mark_stale, read, set, set_if, set_until, stored, up, value, write,
};

const MODES: [Mode; 5] = [Mode::Set, Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend];

/// Nothing of the older entry stays.
pub fn a_set_replaces_value_flags_and_end(make: Make<'_>) {
    let store = make(ROOMY);
    stored(store.write(
        b"key",
        b"a longer value",
        Write { flags: 7, expires_at: Some(at(100)), ..Write::at(at(0)) },
    ));
    set(&*store, b"key", b"short", at(1));
    let seen = get(&*store, b"key", at(1_000)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.flags, seen.expires_at), (&b"short"[..], 0, None));
    assert_eq!(store.stats().items, 1);
}

/// The second `add` changes nothing.
pub fn an_add_stores_only_where_nothing_is(make: Make<'_>) {
    let store = make(ROOMY);
    stored(write(&*store, Mode::Add, b"key", b"first", at(0)));
    assert_eq!(write(&*store, Mode::Add, b"key", b"second", at(0)), Written::NotStored);
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"first");
    delete(&*store, b"key", at(0));
    stored(write(&*store, Mode::Add, b"key", b"third", at(0)));
}

/// `replace` does not create.
pub fn a_replace_stores_only_where_something_is(make: Make<'_>) {
    let store = make(ROOMY);
    assert_eq!(write(&*store, Mode::Replace, b"key", b"first", at(0)), Written::NotStored);
    assert_eq!(get(&*store, b"key", at(0)), None);
    set(&*store, b"key", b"first", at(0));
    stored(write(&*store, Mode::Replace, b"key", b"second", at(0)));
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"second");
}

/// The flags and end that come with an extension are ignored.
pub fn append_and_prepend_keep_flags_and_end(make: Make<'_>) {
    let store = make(ROOMY);
    stored(store.write(b"key", b"b", Write { flags: 7, expires_at: Some(at(100)), ..Write::at(at(0)) }));
    let extend = |mode, bytes: &[u8]| {
        stored(store.write(
            b"key",
            bytes,
            Write { flags: 9, expires_at: Some(at(1)), mode, ..Write::at(at(1)) },
        ));
    };
    extend(Mode::Append, b"cc");
    extend(Mode::Prepend, b"aa");
    extend(Mode::Append, b"");
    let seen = get(&*store, b"key", at(99)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.flags, seen.expires_at), (&b"aabcc"[..], 7, Some(at(100))));
}

/// There is nothing to extend.
pub fn append_and_prepend_need_a_value(make: Make<'_>) {
    let store = make(ROOMY);
    for mode in [Mode::Append, Mode::Prepend] {
        assert_eq!(write(&*store, mode, b"key", b"value", at(0)), Written::NotStored);
    }
    assert_eq!(get(&*store, b"key", at(0)), None);
}

/// No two states of a key have one version, not even across its absence.
pub fn versions_rise_over_every_change(make: Make<'_>) {
    let store = make(ROOMY);
    let mut last = Version(0);
    let mut rises = |version: Version| {
        assert!(version > last, "{version:?} after {last:?}");
        last = version;
    };
    let key = b"key";
    for _ in 0..3 {
        rises(set(&*store, key, b"1", at(0)));
        rises(set(&*store, key, b"1", at(0)));
        for mode in [Mode::Replace, Mode::Append, Mode::Prepend] {
            rises(stored(write(&*store, mode, key, b"1", at(0))));
        }
        up(&*store, key, 1, at(0));
        rises(get(&*store, key, at(0)).unwrap().version);
        mark_stale(&*store, key, at(0));
        rises(get(&*store, key, at(0)).unwrap().version);
        assert_eq!(delete(&*store, key, at(0)), Deleted::Done);
        rises(stored(write(&*store, Mode::Add, key, b"1", at(0))));
        delete(&*store, key, at(0));
        rises(read(&*store, key, Read { lease: Some(None), ..Read::at(at(0)) }).unwrap().version);
        rises(set_until(&*store, key, b"1", at(0), at(0)));
    }
}

/// A reader must not find the value that the writer wanted to replace.
pub fn a_set_too_large_leaves_no_older_value(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"older", at(0));
    let large = vec![b'x'; VALUE_BYTES_MAX_DEFAULT + 1];
    assert_eq!(write(&*store, Mode::Set, b"key", &large, at(0)), Written::TooLarge);
    assert_eq!(get(&*store, b"key", at(0)), None);

    set(&*store, b"key", b"older", at(0));
    let lease = store.lease(b"key");
    assert_eq!(set_if(&*store, b"key", &large, at(0), Condition::Lease(lease)), Written::TooLarge);
    assert_eq!(get(&*store, b"key", at(0)), None);
    assert_eq!(set_if(&*store, b"key", b"x", at(0), Condition::Lease(lease)), Written::Exists);
}

/// As memcached does for everything but `set`.
pub fn other_writes_too_large_leave_the_value(make: Make<'_>) {
    let store = make(ROOMY);
    let large = vec![b'x'; VALUE_BYTES_MAX_DEFAULT + 1];
    let version = set(&*store, b"key", b"older", at(0));
    for mode in MODES.into_iter().filter(|mode| *mode != Mode::Set) {
        assert_eq!(write(&*store, mode, b"key", &large, at(0)), Written::TooLarge, "{mode:?}");
    }
    assert_eq!(set_if(&*store, b"key", &large, at(0), Condition::Version(version)), Written::TooLarge);
    let lease = store.lease(b"key");
    let newer = set(&*store, b"key", b"newer", at(0));
    assert_eq!(set_if(&*store, b"key", &large, at(0), Condition::Lease(lease)), Written::TooLarge);
    assert_eq!(get(&*store, b"key", at(0)).unwrap().version, newer);
}

/// The part is small enough, the whole is not.
pub fn an_extension_beyond_the_limit_is_not_stored(make: Make<'_>) {
    let store = make(ROOMY);
    let half = vec![b'x'; VALUE_BYTES_MAX_DEFAULT / 2 + 1];
    let version = set(&*store, b"key", &half, at(0));
    for mode in [Mode::Append, Mode::Prepend] {
        assert_eq!(write(&*store, mode, b"key", &half, at(0)), Written::NotStored);
    }
    let seen = get(&*store, b"key", at(0)).unwrap();
    assert!(seen.version == version && seen.value == half);
}

/// The limit itself is allowed.
pub fn the_largest_value_is_stored(make: Make<'_>) {
    let store = make(ROOMY);
    let largest: Vec<u8> = (0..VALUE_BYTES_MAX_DEFAULT).map(|place| (place % 251) as u8).collect();
    set(&*store, b"key", &largest, at(0));
    assert!(value(&*store, b"key", at(0)).unwrap() == largest);
    let last = largest.last().copied().unwrap();
    set(&*store, b"key", &largest[..VALUE_BYTES_MAX_DEFAULT - 1], at(0));
    stored(write(&*store, Mode::Append, b"key", &[last], at(0)));
    assert!(value(&*store, b"key", at(0)).unwrap() == largest);
}

/// A new value has not been read yet.
pub fn a_write_clears_the_read_mark(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    get(&*store, b"key", at(0));
    assert!(get(&*store, b"key", at(0)).unwrap().read_before);
    set(&*store, b"key", b"value", at(0));
    assert!(!get(&*store, b"key", at(0)).unwrap().read_before);
}
