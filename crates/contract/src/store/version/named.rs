//! Versions that the writer names, and entries that are left without their value. A name says nothing of the order of changes, so
//! leases hold beside it as ever.

use forebay_core::entry::{
    Claim, Condition, Counted, Delete, Deleted, Emptied, Lease, Read, State, Step, Version, Write, Written,
};
use forebay_core::ports::local_store::LocalStore;

use crate::store::ask::{
    Make, ROOMY, arithmetic, at, delete, get, get_or_lease, get_to_load, read, set, set_if, stored, value,
};

const NAMES: [Version; 4] = [Version(1), Version(77), Version(1 << 62), Version(u64::MAX)];

fn set_named(store: &dyn LocalStore, key: &[u8], bytes: &[u8], named: Version) -> Version {
    stored(store.write(key, bytes, Write { named: Some(named), ..Write::at(at(0)) }))
}

fn fill(store: &dyn LocalStore, key: &[u8], lease: Lease) -> bool {
    let write = Write { condition: Condition::Lease(lease), ..Write::at(at(0)) };
    matches!(store.write(key, b"filled", write), Written::Stored(_))
}

/// Where it may be named, the name is the version.
pub fn a_named_version_is_shown_and_compared(make: Make<'_>) {
    let store = make(ROOMY);
    for named in NAMES {
        let written = set_named(&*store, b"key", b"value", named);
        if !store.takes_names(b"key") {
            assert_ne!(written, named, "a name is passed over");
            continue;
        }
        assert_eq!((written, get(&*store, b"key", at(0)).unwrap().version), (named, named));
        let newer = stored(set_if(&*store, b"key", b"newer", at(0), Condition::Version(named)));
        assert_ne!(newer, named, "a change that names none has the store's own");
    }
}

/// An older one too, and the greatest that there is.
pub fn a_named_write_voids_the_leases_before_it(make: Make<'_>) {
    for named in NAMES {
        let store = make(ROOMY);
        let before = store.lease(b"key");
        set_named(&*store, b"key", b"value", named);
        assert!(!fill(&*store, b"key", before), "{named:?}");
        assert_eq!(value(&*store, b"key", at(0)).unwrap(), b"value");
    }
}

/// The store goes on from its own versions.
pub fn leases_are_good_after_a_named_write(make: Make<'_>) {
    for named in NAMES {
        let store = make(ROOMY);
        let own = set(&*store, b"other", b"value", at(0));
        set_named(&*store, b"key", b"value", named);
        let lease = store.lease(b"key");
        assert!(fill(&*store, b"key", lease), "over {named:?}");
        set_named(&*store, b"key", b"value", named);
        delete(&*store, b"key", at(0));
        let (before, after) = (lease, store.lease(b"key"));
        assert!(!fill(&*store, b"key", before) && fill(&*store, b"key", after), "after {named:?}");
        let newer = set(&*store, b"other", b"newer", at(0));
        assert!(newer > own && newer.0 < u64::MAX / 2, "{newer:?}");
    }
}

/// So that one who loads can name what it brings.
pub fn placeholders_counters_and_stale_entries_may_be_named(make: Make<'_>) {
    let store = make(ROOMY);
    if !store.takes_names(b"key") {
        return;
    }
    let named = Some(Version(77));
    let seen = read(&*store, b"key", Read { lease: Some(None), named, ..Read::at(at(0)) }).unwrap();
    assert_eq!((seen.state, seen.claim, seen.version), (State::Leased, Claim::Won, Version(77)));
    assert_eq!(get_or_lease(&*store, b"key", at(0), None).claim, Claim::Lost);
    stored(set_if(&*store, b"key", b"9", at(0), Condition::Version(Version(77))));

    for number in [10, 11] {
        let up = forebay_core::entry::Arithmetic { named, ..arithmetic(at(0), Step::Up, 1) };
        let Counted::Value { number: counted, version, .. } = store.count(b"key", up) else { panic!() };
        assert_eq!((counted, version), (number, Version(77)));
    }
    let mark = Delete { keep_stale: Some(None), named: Some(Version(5)), ..Delete::at(at(0)) };
    assert_eq!(store.delete(b"key", mark), Deleted::Done);
    let seen = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.version, seen.state, seen.claim), (Version(5), State::Stale, Claim::Won));
}

/// The bytes go, the version stays; leases from before are void.
pub fn an_entry_can_be_left_without_its_value(make: Make<'_>) {
    let store = make(ROOMY);
    let write = Write { flags: 7, expires_at: Some(at(50)), ..Write::at(at(0)) };
    let version = stored(store.write(b"key", b"value", write));
    let before = store.lease(b"key");
    let empty = |expires_at| {
        let emptied = Emptied { flags: 3, expires_at };
        store.delete(b"key", Delete { empties: Some(emptied), ..Delete::at(at(0)) })
    };
    assert_eq!(empty(Some(at(90))), Deleted::Done);
    let seen = get(&*store, b"key", at(60)).unwrap();
    assert_eq!((seen.value, seen.flags, seen.expires_at), (Vec::new(), 3, Some(at(90))));
    assert_eq!((seen.version, seen.state), (version, State::Fresh));
    assert!(!fill(&*store, b"key", before));
    assert_eq!(empty(None), Deleted::Done);
    assert_eq!(get(&*store, b"key", at(1_000_000)).unwrap().expires_at, None);
    delete(&*store, b"key", at(0));
    assert_eq!(empty(None), Deleted::NotFound);
}

/// A tombstone: the next reader is asked to load.
pub fn an_entry_without_its_value_can_be_stale(make: Make<'_>) {
    let store = make(ROOMY);
    let version = set(&*store, b"key", b"value", at(0));
    let bury = Delete { keep_stale: Some(None), empties: Some(Emptied::default()), ..Delete::at(at(0)) };
    assert_eq!(store.delete(b"key", bury), Deleted::Done);
    let seen = get_to_load(&*store, b"key", at(0)).unwrap();
    assert_eq!((seen.value, seen.state, seen.claim), (Vec::new(), State::Stale, Claim::Won));
    assert!(seen.version > version);
}

/// Who was told to load an entry knows its version, and does not fill what was emptied since.
pub fn what_is_emptied_while_somebody_loads_it_is_not_filled(make: Make<'_>) {
    let store = make(ROOMY);
    let lease = Read { lease: Some(None), ..Read::at(at(0)) };
    let mut granted = None;
    assert!(store.read(b"key", lease, &mut |view| granted = Some(view.version)));
    let emptied = Delete { empties: Some(Emptied::default()), ..Delete::at(at(0)) };
    assert_eq!(store.delete(b"key", emptied), Deleted::Done);
    let condition = Condition::Version(granted.expect("it is shown to who has the lease"));
    assert_eq!(store.write(b"key", b"old", Write { condition, ..Write::at(at(0)) }), Written::Exists);
}

/// Version 0 stands for nothing, and no entry gets it.
pub fn nothing_is_the_name_of_no_version(make: Make<'_>) {
    let store = make(ROOMY);
    let named = Some(Version(0));
    let version = stored(store.write(b"key", b"value", Write { named, ..Write::at(at(0)) }));
    assert_ne!(version, Version(0));
    assert_eq!(get(&*store, b"key", at(0)).unwrap().version, version);
}
