//! What a read shows and what it leaves behind.

use forebay_core::entry::{Claim, Read, State, Write};
use forebay_core::limits::KEY_BYTES_MAX;

use super::ask::{Make, ROOMY, at, get, read, set, set_until, stored, value};

/// A read of what is not there visits nothing.
pub fn a_missing_key_is_a_miss(make: Make<'_>) {
    let store = make(ROOMY);
    assert_eq!(get(&*store, b"key", at(0)), None);
    set(&*store, b"other", b"value", at(0));
    assert_eq!(get(&*store, b"key", at(0)), None);
}

/// What was written is shown.
pub fn a_value_reads_back_with_its_flags_and_end(make: Make<'_>) {
    let store = make(ROOMY);
    let end = Some(at(5_000));
    let version = stored(store.write(
        b"key",
        b"value",
        Write { flags: 0xdead_beef, expires_at: end, ..Write::at(at(0)) },
    ));
    let seen = get(&*store, b"key", at(1)).unwrap();
    assert_eq!(seen.value, b"value");
    assert_eq!(seen.flags, 0xdead_beef);
    assert_eq!(seen.expires_at, end);
    assert_eq!(seen.version, version);
    assert_eq!(seen.state, State::Fresh);
    assert_eq!(seen.claim, Claim::None);
}

/// Nothing is cut, padded or read as text.
pub fn every_length_and_byte_of_keys_and_values_is_kept(make: Make<'_>) {
    let store = make(ROOMY);
    let bytes = |length: usize, salt: usize| -> Vec<u8> {
        (0..length).map(|place| (place * 7 + salt * 13 + length) as u8).collect()
    };
    let cases =
        || (1..=KEY_BYTES_MAX).map(|length| (bytes(length, 1), bytes((length - 1) * (length - 1), 2)));
    for (key, value) in cases() {
        set(&*store, &key, &value, at(0));
    }
    for (key, expected) in cases() {
        assert!(value(&*store, &key, at(1)).unwrap() == expected, "key of {} bytes", key.len());
    }
}

/// The border between key and value is part of what is stored.
pub fn keys_and_values_with_the_same_bytes_together_are_told_apart(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"ab", b"c", at(0));
    set(&*store, b"a", b"bc", at(0));
    set(&*store, b"abc", b"", at(0));
    assert_eq!(value(&*store, b"ab", at(0)).unwrap(), b"c");
    assert_eq!(value(&*store, b"a", at(0)).unwrap(), b"bc");
    assert_eq!(value(&*store, b"abc", at(0)).unwrap(), b"");
}

/// A touch changes the end of life and nothing else.
pub fn a_touch_sets_a_new_end_and_keeps_the_version(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set_until(&*store, b"key", b"value", at(0), at(100));
    let touch = |now, end| read(&*store, b"key", Read { touch: Some(end), ..Read::at(now) });
    let seen = touch(at(99), Some(at(200))).unwrap();
    assert_eq!(seen.expires_at, Some(at(200)));
    assert_eq!(seen.value, b"value");
    let seen = get(&*store, b"key", at(199)).unwrap();
    assert_eq!(seen.version, version);
    assert_eq!(get(&*store, b"key", at(200)), None);
    assert_eq!(touch(at(200), Some(at(300))), None, "a touch does not revive");
}

/// An entry can be made to live on.
pub fn a_touch_can_take_the_end_away(make: Make<'_>) {
    let store = make(ROOMY);
    set_until(&*store, b"key", b"value", at(0), at(100));
    read(&*store, b"key", Read { touch: Some(None), ..Read::at(at(1)) });
    assert_eq!(get(&*store, b"key", at(1_000_000_000)).unwrap().expires_at, None);
}

/// As memcached does for `gat` with a negative time.
pub fn a_touch_into_the_past_shows_the_value_once_more(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    let seen = read(&*store, b"key", Read { touch: Some(Some(at(5))), ..Read::at(at(5)) });
    assert_eq!(seen.unwrap().value, b"value");
    assert_eq!(get(&*store, b"key", at(5)), None);
}

/// A reader learns whether and when the entry was read before.
pub fn a_read_leaves_its_marks(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    let first = get(&*store, b"key", at(5_000)).unwrap();
    assert!(!first.read_before);
    assert_eq!(first.accessed_at, at(0));
    let second = get(&*store, b"key", at(7_000)).unwrap();
    assert!(second.read_before);
    assert_eq!(second.accessed_at, at(5_000));
}

/// Watching does not change what is watched.
pub fn a_read_that_does_not_count_leaves_no_trace(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    let before = store.stats();
    let look = |now| read(&*store, b"key", Read { counts: false, ..Read::at(now) });
    assert_eq!(look(at(5_000)).unwrap().value, b"value");
    assert_eq!(read(&*store, b"absent", Read { counts: false, ..Read::at(at(5_000)) }), None);
    assert_eq!(store.stats(), before);
    let seen = look(at(6_000)).unwrap();
    assert!(!seen.read_before);
    assert_eq!(seen.accessed_at, at(0));
}

/// Hits, misses, writes and entries are counted.
pub fn reads_are_counted(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    set(&*store, b"key", b"value", at(0));
    set(&*store, b"other", b"value", at(0));
    for _ in 0..3 {
        get(&*store, b"key", at(0));
    }
    for _ in 0..2 {
        get(&*store, b"absent", at(0));
    }
    let stats = store.stats();
    assert_eq!((stats.hits, stats.misses), (3, 2));
    assert_eq!((stats.writes, stats.items, stats.items_created), (3, 2, 2));
    assert!(stats.bytes > 0 && stats.bytes <= stats.bytes_max);
}
