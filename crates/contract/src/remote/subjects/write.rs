//! Writes and removals, on condition of what is there.

use std::collections::HashSet;
use std::time::Duration;

use forebay_core::entry::{Mode, Version};
use forebay_core::error::Kind;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{Asked, Changed, Filled, Put};

use super::super::Rig;
use super::super::scene::{
    LONG, OVER, SET, SHORT, ask, can, done, fill, get, lease, offered, put, put_with, remove, seconds,
    shared, together, try_put, try_remove,
};

const ADD: Put = Put { mode: Mode::Add, ..SET };
const REPLACE: Put = Put { mode: Mode::Replace, ..SET };

const fn over(version: Version) -> Put {
    Put { version: Some(version), ..SET }
}

pub fn a_set_replaces_what_is_there(rig: &mut dyn Rig) {
    put(rig, "key", "first");
    put(rig, "key", "second");
    assert_eq!(get(rig, "key").as_deref(), Some(&b"second"[..]));
}

pub fn an_add_is_stored_only_where_nothing_is(rig: &mut dyn Rig) {
    done(put_with(rig, "key", "first", ADD));
    assert_eq!(put_with(rig, "key", "second", ADD), Changed::NotStored);
    assert_eq!(get(rig, "key").as_deref(), Some(&b"first"[..]));
    remove(rig, "key");
    done(put_with(rig, "key", "third", ADD));
}

pub fn a_replace_is_stored_only_where_something_is(rig: &mut dyn Rig) {
    assert_eq!(put_with(rig, "key", "first", REPLACE), Changed::NotStored);
    assert_eq!(get(rig, "key"), None);
    put(rig, "key", "second");
    done(put_with(rig, "key", "third", REPLACE));
    assert_eq!(get(rig, "key").as_deref(), Some(&b"third"[..]));
}

/// Neither while somebody fills it nor while it is held.
pub fn a_key_without_a_value_has_none_also_while_it_is_leased_or_held(rig: &mut dyn Rig) {
    if !can(rig).lease {
        return;
    }
    let hold = |rig: &dyn Rig, key: &str| {
        put(rig, key, "value");
        done(try_remove(rig, key, None, LONG).unwrap());
    };
    for (name, prepare) in
        [("leased", (|rig, key| _ = lease(rig, key)) as fn(&dyn Rig, &str)), ("held", hold)]
    {
        let key = |what: &str| format!("{name}-{what}");
        prepare(rig, &key("replace"));
        assert_eq!(put_with(rig, &key("replace"), "value", REPLACE), Changed::NotStored, "{name}");
        assert_eq!(get(rig, &key("replace")), None, "{name}");
        prepare(rig, &key("add"));
        done(put_with(rig, &key("add"), "value", ADD));
        assert_eq!(get(rig, &key("add")).as_deref(), Some(&b"value"[..]), "{name}");
        prepare(rig, &key("remove"));
        assert_eq!(remove(rig, &key("remove")), Changed::NotFound, "{name}");
    }
}

const APPEND: Put = Put { mode: Mode::Append, ..SET };
const PREPEND: Put = Put { mode: Mode::Prepend, ..SET };

pub fn an_extension_leaves_flags_and_life_alone(rig: &mut dyn Rig) {
    let first = done(put_with(rig, "key", "b", Put { flags: 7, life: seconds(2), ..SET }));
    let second = done(put_with(rig, "key", "c", Put { flags: 9, life: seconds(60), ..APPEND }));
    let third = done(put_with(rig, "key", "a", PREPEND));
    assert!(first != second && second != third, "it has another version");
    let read = shared(rig, "key").expect("it is there");
    assert_eq!((&*read.value, read.flags, read.version), (&b"abc"[..], 7, third));
    rig.pass(OVER);
    assert_eq!(get(rig, "key"), None);
}

pub fn what_is_not_there_is_not_extended(rig: &mut dyn Rig) {
    for extend in [APPEND, PREPEND] {
        assert_eq!(put_with(rig, "absent", "value", extend), Changed::NotStored);
        try_remove(rig, "held", None, LONG).unwrap();
        assert_eq!(put_with(rig, "held", "value", extend), Changed::NotStored);
        if can(rig).lease {
            remove(rig, "leased");
            lease(rig, "leased");
            assert_eq!(put_with(rig, "leased", "value", extend), Changed::NotStored);
        }
        assert!(["absent", "held", "leased"].iter().all(|key| get(rig, key).is_none()), "{extend:?}");
    }
}

pub fn an_extension_over_a_version_needs_exactly_that_one(rig: &mut dyn Rig) {
    if can_compare(rig) {
        for extend in [APPEND, PREPEND] {
            let version = put(rig, "key", "b");
            match try_put(rig, "none", b"value", Put { version: Some(version), ..extend }) {
                // It says that it cannot, and does nothing.
                Err(error) if error.kind() == Kind::Unsupported => continue,
                answer => assert_eq!(answer.unwrap(), Changed::NotFound),
            }
            done(put_with(rig, "key", "b", Put { version: Some(version), ..extend }));
            assert_eq!(put_with(rig, "key", "b", Put { version: Some(version), ..extend }), Changed::Exists);
            assert_eq!(get(rig, "key").as_deref(), Some(&b"bb"[..]));
        }
    }
}

/// A few at a time: some stores make an extension anew that another has come before.
pub fn everybodys_extensions_count(rig: &mut dyn Rig) {
    let (store, other) = (rig.store(), rig.other());
    put(rig, "key", "");
    for _ in 0..10 {
        let writes = (0..5).map(|writer| {
            let store = if writer % 2 == 0 { &store } else { &other };
            let write: BoxFuture<'_, _> = store.put(b"key", b"x", if writer < 3 { APPEND } else { PREPEND });
            write
        });
        let answers = together(rig, writes.collect());
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Changed::Done(_)))), "{answers:?}");
    }
    rig.pass(rig.age_max());
    assert_eq!(get(rig, "key"), Some(vec![b'x'; 50]));
}

pub fn every_change_gives_another_version(rig: &mut dyn Rig) {
    let mut seen = HashSet::new();
    for round in 0..50 {
        let version = put(rig, "key", "same");
        assert!(seen.insert(version), "round {round}");
        assert_eq!(shared(rig, "key").map(|shared| shared.version), Some(version));
        if can(rig).conditional {
            let next = done(put_with(rig, "key", "same", over(version)));
            let last = done(put_with(rig, "key", "same", over(next)));
            assert!(seen.insert(next) && seen.insert(last), "round {round}, over another");
        }
        if round % 5 == 0 {
            remove(rig, "key");
        }
    }
}

fn can_compare(rig: &dyn Rig) -> bool {
    offered(can(rig).conditional, || try_put(rig, "other", b"value", over(Version(1))))
}

pub fn a_write_over_a_version_needs_exactly_that_one(rig: &mut dyn Rig) {
    if can_compare(rig) {
        assert_eq!(put_with(rig, "key", "value", over(Version(1))), Changed::NotFound);
        let first = put(rig, "key", "first");
        let second = done(put_with(rig, "key", "second", over(first)));
        assert_eq!(put_with(rig, "key", "third", over(first)), Changed::Exists);
        assert_eq!(get(rig, "key").as_deref(), Some(&b"second"[..]));
        done(put_with(rig, "key", "third", over(second)));
        remove(rig, "key");
        assert_eq!(put_with(rig, "key", "fourth", over(second)), Changed::NotFound);
        assert_eq!(get(rig, "key"), None);
    }
}

pub fn a_removal_of_a_version_needs_exactly_that_one(rig: &mut dyn Rig) {
    if can_compare(rig) {
        for hold in [Duration::ZERO, LONG] {
            let key = format!("key:{}", hold.as_secs());
            assert_eq!(try_remove(rig, &key, Some(Version(1)), hold).unwrap(), Changed::NotFound);
            let first = put(rig, &key, "first");
            let second = put(rig, &key, "second");
            assert_eq!(try_remove(rig, &key, Some(first), hold).unwrap(), Changed::Exists);
            assert_eq!(get(rig, &key).as_deref(), Some(&b"second"[..]));
            done(try_remove(rig, &key, Some(second), hold).unwrap());
            assert_eq!(get(rig, &key), None);
        }
    }
}

pub fn of_many_writes_over_one_version_one_is_done(rig: &mut dyn Rig) {
    if !can_compare(rig) {
        return;
    }
    let (store, other) = (rig.store(), rig.other());
    for round in 0..20 {
        let key = format!("race:{round}");
        let version = put(rig, &key, "before");
        let writes = (0..20).map(|writer| {
            let store = if writer % 2 == 0 { &store } else { &other };
            let write: BoxFuture<'_, _> = store.put(key.as_bytes(), b"after", over(version));
            write
        });
        let answers = together(rig, writes.collect());
        let done = answers.iter().filter(|answer| matches!(answer, Ok(Changed::Done(_)))).count();
        let exists = answers.iter().filter(|answer| matches!(answer, Ok(Changed::Exists))).count();
        assert_eq!((done, exists), (1, 19), "{key}");
    }
}

pub fn of_many_adds_one_is_done(rig: &mut dyn Rig) {
    let (store, other) = (rig.store(), rig.other());
    for round in 0..20 {
        let key = format!("add:{round}");
        let writes = (0..20).map(|writer| {
            let store = if writer % 2 == 0 { &store } else { &other };
            let write: BoxFuture<'_, _> = store.put(key.as_bytes(), b"value", ADD);
            write
        });
        let answers = together(rig, writes.collect());
        let done = answers.iter().filter(|answer| matches!(answer, Ok(Changed::Done(_)))).count();
        let not_stored = answers.iter().filter(|answer| matches!(answer, Ok(Changed::NotStored))).count();
        assert_eq!((done, not_stored), (1, 19), "{key}");
    }
}

pub fn a_removal_says_whether_there_was_one(rig: &mut dyn Rig) {
    assert_eq!(remove(rig, "key"), Changed::NotFound);
    put(rig, "key", "value");
    done(remove(rig, "key"));
    assert_eq!(get(rig, "key"), None);
    assert_eq!(remove(rig, "key"), Changed::NotFound);
    assert_eq!(try_remove(rig, "key", None, LONG).unwrap(), Changed::NotFound);
    put(rig, "key", "value");
    done(try_remove(rig, "key", None, LONG).unwrap());
    assert_eq!(get(rig, "key"), None);
}

pub fn while_a_key_is_held_no_lease_is_granted(rig: &mut dyn Rig) {
    if can(rig).lease {
        let before = lease(rig, "key");
        try_remove(rig, "key", None, SHORT).unwrap();
        assert_eq!(ask(rig, "key"), Asked::Busy);
        assert_eq!(fill(rig, "key", "older", before), Filled::Refused);
        assert_eq!(get(rig, "key"), None);
        assert_eq!(ask(rig, "key"), Asked::Busy);
        rig.pass(OVER);
        lease(rig, "key");
    }
}

pub fn a_held_key_can_be_written(rig: &mut dyn Rig) {
    try_remove(rig, "key", None, LONG).unwrap();
    put(rig, "key", "value");
    assert_eq!(get(rig, "key").as_deref(), Some(&b"value"[..]));
}

pub fn a_later_removal_without_a_hold_ends_an_earlier_one(rig: &mut dyn Rig) {
    if can(rig).lease {
        try_remove(rig, "key", None, LONG).unwrap();
        remove(rig, "key");
        lease(rig, "key");
    }
}
