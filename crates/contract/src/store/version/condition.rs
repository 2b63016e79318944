//! Compare-and-set: a write over exactly one version.

use std::collections::HashSet;

use forebay_core::entry::{Claim, Condition, Mode, State, Version, Write, Written};

use crate::store::ask::{Make, ROOMY, at, delete, get, get_to_load, mark_stale, set, set_if, stored, value};

/// After it, the version is another one.
pub fn a_write_over_the_right_version_is_stored_once(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"first", at(0));
    let newer = stored(set_if(&*store, b"key", b"second", at(0), Condition::Version(version)));
    assert!(newer > version);
    assert_eq!(set_if(&*store, b"key", b"third", at(0), Condition::Version(version)), Written::Exists);
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"second");
}

/// Neither older nor newer ones match.
pub fn a_write_over_another_version_is_refused(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"value", at(0));
    for other in [Version(0), Version(version.0 - 1), Version(version.0 + 1), Version(u64::MAX)] {
        assert_eq!(set_if(&*store, b"key", b"other", at(0), Condition::Version(other)), Written::Exists);
    }
    assert_eq!(get(&*store, b"key", at(0)).unwrap().version, version);
}

/// There is nothing to compare with.
pub fn a_version_of_an_absent_key_is_not_found(make: Make<'_>) {
    let store = make(ROOMY);
    assert_eq!(set_if(&*store, b"key", b"value", at(0), Condition::Version(Version(1))), Written::NotFound);
    let version = set(&*store, b"key", b"value", at(0));
    delete(&*store, b"key", at(0));
    assert_eq!(set_if(&*store, b"key", b"value", at(0), Condition::Version(version)), Written::NotFound);
}

/// A key that was away is not the same key.
pub fn a_version_from_before_a_deletion_never_matches_again(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"value", at(0));
    delete(&*store, b"key", at(0));
    set(&*store, b"key", b"value", at(0));
    assert_eq!(set_if(&*store, b"key", b"other", at(0), Condition::Version(version)), Written::Exists);
}

/// Only an older version, only for a set; the next reader is asked to load.
pub fn an_older_version_can_be_stored_as_stale(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"newer", at(0));
    let offer = |version, mode| {
        let condition = Condition::Version(version);
        store.write(b"key", b"older", Write { condition, mode, stale_if_older: true, ..Write::at(at(0)) })
    };
    assert_eq!(offer(Version(version.0 + 1), Mode::Set), Written::Exists);
    assert_eq!(offer(Version(version.0 - 1), Mode::Append), Written::Exists);
    assert!(stored(offer(Version(version.0 - 1), Mode::Set)) > version);
    let seen = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.state, seen.claim), (&b"older"[..], State::Stale, Claim::Won));
    assert_eq!(get_to_load(&*store, b"key", at(0)).unwrap().claim, Claim::Lost);
    stored(offer(seen.version, Mode::Set));
    let seen = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.state, seen.claim), (State::Fresh, Claim::None));
}

/// A version names its entry: memcached's clients may take two that are equal for one.
pub fn no_two_entries_have_the_same_version(make: Make<'_>) {
    let store = make(ROOMY);
    let versions: HashSet<u64> =
        (0..1_000u32).map(|number| set(&*store, &number.to_be_bytes(), b"value", at(0)).0).collect();
    assert_eq!(versions.len(), 1_000);
}

/// Somebody is loading already, and the entry lives no longer than it did: memcached keeps both, too.
pub fn a_stale_write_keeps_the_end_and_the_claim(make: Make<'_>) {
    let store = make(ROOMY);
    let life = Write { expires_at: Some(at(50)), ..Write::at(at(0)) };
    let version = stored(store.write(b"key", b"value", life));
    mark_stale(&*store, b"key", at(0));
    assert_eq!(get_to_load(&*store, b"key", at(0)).unwrap().claim, Claim::Won);
    let late = Write { condition: Condition::Version(version), stale_if_older: true, ..Write::at(at(1)) };
    stored(store.write(b"key", b"late", late));
    let seen = get_to_load(&*store, b"key", at(1)).unwrap();
    assert_eq!((seen.value.as_slice(), seen.state, seen.claim), (&b"late"[..], State::Stale, Claim::Lost));
    assert_eq!(seen.expires_at, Some(at(50)));
}

/// A version goes with every mode that needs a value.
pub fn extensions_obey_the_version(make: Make<'_>) {
    let store = make(ROOMY);
    let extend = |mode, version| {
        let condition = Condition::Version(version);
        store.write(b"key", b"x", Write { mode, condition, ..Write::at(at(0)) })
    };
    let first = set(&*store, b"key", b"value", at(0));
    let second = stored(extend(Mode::Append, first));
    assert_eq!(extend(Mode::Append, first), Written::Exists);
    assert_eq!(extend(Mode::Prepend, first), Written::Exists);
    assert_eq!(extend(Mode::Replace, first), Written::Exists);
    let third = stored(extend(Mode::Prepend, second));
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"xvaluex");
    stored(extend(Mode::Replace, third));
    assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"x");
}
