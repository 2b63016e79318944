//! Deletion, and invalidation that keeps the value as stale.

use forebay_core::entry::{Claim, Delete, Deleted, State, Version};

use super::ask::{Make, ROOMY, at, delete, get, get_to_load, mark_stale, set, set_until, value};

/// Gone, and nothing of it in the way of a new one.
pub fn a_deleted_key_is_absent(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    set(&*store, b"other", b"value", at(0));
    assert_eq!(delete(&*store, b"key", at(0)), Deleted::Done);
    assert_eq!(get(&*store, b"key", at(0)), None);
    assert_eq!(value(&*store, b"other", at(0)).unwrap(), b"value");
    assert_eq!(store.stats().items, 1);
    set(&*store, b"key", b"again", at(0));
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"again");
}

/// Twice is not done twice.
pub fn a_deletion_of_nothing_says_so(make: Make<'_>) {
    let store = make(ROOMY);
    assert_eq!(delete(&*store, b"key", at(0)), Deleted::NotFound);
    set(&*store, b"key", b"value", at(0));
    delete(&*store, b"key", at(0));
    assert_eq!(delete(&*store, b"key", at(0)), Deleted::NotFound);
    assert_eq!(mark_stale(&*store, b"key", at(0)), Deleted::NotFound);
}

/// Only what the caller has seen.
pub fn a_deletion_of_another_version_is_refused(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"value", at(0));
    for keep_stale in [None, Some(None)] {
        let delete = |version| {
            store.delete(b"key", Delete { version: Some(version), keep_stale, ..Delete::at(at(0)) })
        };
        assert_eq!(delete(Version(version.0 + 1)), Deleted::Exists);
        assert_eq!(get(&*store, b"key", at(0)).unwrap().state, State::Fresh);
    }
    let right = Delete { version: Some(version), ..Delete::at(at(0)) };
    assert_eq!(store.delete(b"key", right), Deleted::Done);
    assert_eq!(store.delete(b"key", right), Deleted::NotFound);
}

/// The value is still served, marked, and one reader is told to load.
pub fn a_stale_value_has_one_winner_and_a_new_version(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"value", at(0));
    assert_eq!(mark_stale(&*store, b"key", at(0)), Deleted::Done);
    let first = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((first.value.as_slice(), first.state, first.claim), (&b"value"[..], State::Stale, Claim::Won));
    assert!(first.version > version);
    let second = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((second.state, second.claim, second.version), (State::Stale, Claim::Lost, first.version));
    assert_eq!(store.stats().hits, 2);
}

/// `keep_stale` may carry a new end.
pub fn a_stale_value_keeps_its_end_or_gets_a_new_one(make: Make<'_>) {
    let store = make(ROOMY);
    set_until(&*store, b"key", b"value", at(0), at(100));
    mark_stale(&*store, b"key", at(1));
    assert_eq!(get(&*store, b"key", at(1)).unwrap().expires_at, Some(at(100)));
    for end in [Some(at(50)), None, Some(at(60))] {
        store.delete(b"key", Delete { keep_stale: Some(Some(end)), ..Delete::at(at(1)) });
        assert_eq!(get(&*store, b"key", at(1)).unwrap().expires_at, end);
    }
    assert_eq!(get(&*store, b"key", at(60)), None);
}

/// The winner before may have read the source too early.
pub fn a_stale_value_marked_again_has_a_new_winner(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    mark_stale(&*store, b"key", at(0));
    let first = get_to_load(&*store, b"key", at(0)).unwrap();
    mark_stale(&*store, b"key", at(0));
    let second = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((first.claim, second.claim), (Claim::Won, Claim::Won));
    assert!(second.version > first.version);
}

/// And takes the claim away.
pub fn a_write_makes_a_stale_value_fresh(make: Make<'_>) {
    let store = make(ROOMY);
    set(&*store, b"key", b"value", at(0));
    mark_stale(&*store, b"key", at(0));
    get_to_load(&*store, b"key", at(0));
    set(&*store, b"key", b"newer", at(0));
    let seen = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.state, seen.claim), (&b"newer"[..], State::Fresh, Claim::None));
}
