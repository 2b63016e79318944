//! A fill is stored under its lease, once, and not over what came in between.

use forebay_core::error::Kind;
use forebay_core::ports::remote_store::{Addition, Asked, Fill, Filled, Grant};

use super::super::Rig;
use super::super::scene::{
    FILL, OVER, SHORT, add, ask, ask_other, can, fill, fill_with, filled, get, kind, lease, put, remove, run,
    seconds, shared, together, touch, up,
};

pub fn a_fill_is_read_as_it_was(rig: &mut dyn Rig) {
    if can(rig).lease {
        let grant = lease(rig, "key");
        let version = filled(fill_with(rig, "key", "value", Fill { flags: 7, ..FILL }, grant));
        let read = shared(rig, "key").expect("it was filled");
        assert_eq!((&*read.value, read.flags, read.version), (&b"value"[..], 7, version));
    }
}

pub fn a_grant_serves_once(rig: &mut dyn Rig) {
    if can(rig).lease {
        let grant = lease(rig, "key");
        filled(fill(rig, "key", "first", grant));
        assert_eq!(fill(rig, "key", "second", grant), Filled::Refused);
        assert_eq!(get(rig, "key").as_deref(), Some(&b"first"[..]));
        remove(rig, "key");
        assert_eq!(fill(rig, "key", "third", grant), Filled::Refused);
        assert_eq!(get(rig, "key"), None);
    }
}

pub fn a_grant_that_was_never_given_is_refused(rig: &mut dyn Rig) {
    if can(rig).lease {
        let made_up = Grant { token: 77, incarnation: 77 };
        assert_eq!(fill(rig, "key", "value", made_up), Filled::Refused);
        let grant = lease(rig, "key");
        let made_up = Grant { token: grant.token.wrapping_add(1), ..grant };
        assert_eq!(fill(rig, "key", "value", made_up), Filled::Refused);
        filled(fill(rig, "key", "value", grant));
    }
}

pub fn a_filled_entry_ends_its_life(rig: &mut dyn Rig) {
    if can(rig).lease {
        let grant = lease(rig, "key");
        filled(fill_with(rig, "key", "value", Fill { life: seconds(2), ..FILL }, grant));
        assert!(get(rig, "key").is_some());
        rig.pass(OVER);
        assert_eq!(get(rig, "key"), None);
        lease(rig, "key");
    }
}

/// It does not live as long as its lease would have.
pub fn a_filled_entry_outlives_its_lease(rig: &mut dyn Rig) {
    if can(rig).lease {
        let store = rig.store();
        let Asked::Granted(grant) = run(rig, store.get_or_lease(b"key", SHORT)).unwrap() else {
            panic!("the lease was to be granted");
        };
        filled(fill(rig, "key", "value", grant));
        rig.pass(OVER);
        assert!(get(rig, "key").is_some());
    }
}

fn voids(rig: &mut dyn Rig, key: &str, change: impl FnOnce(&dyn Rig, &str)) {
    let grant = lease(rig, key);
    change(rig, key);
    let before = get(rig, key);
    assert_eq!(fill(rig, key, "loaded before the change", grant), Filled::Refused, "{key}");
    assert_eq!(get(rig, key), before, "{key}");
}

pub fn every_change_voids_the_lease_before_it(rig: &mut dyn Rig) {
    if !can(rig).lease {
        return;
    }
    voids(rig, "put", |rig, key| _ = put(rig, key, "value"));
    voids(rig, "remove", |rig, key| _ = remove(rig, key));
    voids(rig, "remove-and-lease", |rig, key| {
        remove(rig, key);
        ask_other(rig, key);
    });
    voids(rig, "put-and-remove", |rig, key| {
        put(rig, key, "value");
        remove(rig, key);
    });
    if can(rig).arithmetic {
        voids(rig, "count", |rig, key| {
            add(rig, key, Addition { create: Some((5, None)), ..up(1) });
        });
    }
}

pub fn who_fills_with_the_same_grant_at_the_same_time_fills_once(rig: &mut dyn Rig) {
    if !can(rig).lease {
        return;
    }
    let store = rig.store();
    for round in 0..20 {
        let key = format!("twice:{round}");
        let grant = lease(rig, &key);
        let fills = (0..8).map(|_| store.fill(key.as_bytes(), b"value", FILL, grant)).collect();
        let answers = together(rig, fills);
        let stored = answers.iter().filter(|answer| matches!(answer, Ok(Filled::Stored(_)))).count();
        assert_eq!(stored, 1);
    }
}

pub fn a_touch_of_what_is_being_filled_finds_nothing_and_disturbs_nothing(rig: &mut dyn Rig) {
    if can(rig).lease && can(rig).touch {
        let grant = lease(rig, "key");
        assert!(!touch(rig, "key", seconds(100)));
        assert_eq!(ask(rig, "key"), Asked::Busy);
        filled(fill(rig, "key", "value", grant));
    }
}

pub fn a_fill_with_tags_is_refused_where_there_are_none(rig: &mut dyn Rig) {
    if can(rig).lease && !can(rig).tags {
        let grant = lease(rig, "key");
        let store = rig.store();
        let tagged = Fill { tags: &[b"tag"], ..FILL };
        let refused = run(rig, store.fill(b"key", b"value", tagged, grant));
        assert_eq!(kind(refused), Kind::Unsupported);
        assert_eq!(get(rig, "key"), None);
    }
}
