//! Of all readers of a missing key one is told to load.

use std::time::Duration;

use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{Asked, Filled};

use super::super::Rig;
use super::super::scene::{
    LONG, OVER, SHORT, ask, ask_other, can, fill, filled, get, granted, hit, lease, offered, put, remove,
    together, try_ask,
};

fn can_lease(rig: &dyn Rig) -> bool {
    offered(can(rig).lease, || try_ask(rig, &*rig.store(), "key", LONG))
}

pub fn a_hit_needs_no_lease(rig: &mut dyn Rig) {
    if can_lease(rig) {
        put(rig, "key", "value");
        assert_eq!(hit(ask(rig, "key")), b"value");
        assert_eq!(hit(ask_other(rig, "key")), b"value");
    }
}

pub fn of_two_readers_one_is_granted_the_lease_and_the_other_is_told_so(rig: &mut dyn Rig) {
    if can_lease(rig) {
        let grant = lease(rig, "key");
        assert_eq!(ask(rig, "key"), Asked::Busy);
        assert_eq!(ask_other(rig, "key"), Asked::Busy);
        filled(fill(rig, "key", "value", grant));
        assert_eq!(hit(ask(rig, "key")), b"value");
        assert_eq!(hit(ask_other(rig, "key")), b"value");
    }
}

pub fn of_many_readers_at_once_one_is_granted_the_lease(rig: &mut dyn Rig) {
    if !can_lease(rig) {
        return;
    }
    let (store, other) = (rig.store(), rig.other());
    for round in 0..20 {
        let key = format!("crowd:{round}");
        let readers = (0..40).map(|reader| {
            let store = if reader % 2 == 0 { &store } else { &other };
            let read: BoxFuture<'_, _> = store.get_or_lease(key.as_bytes(), LONG);
            read
        });
        let answers = together(rig, readers.collect());
        let granted = answers.iter().filter(|answer| matches!(answer, Ok(Asked::Granted(_)))).count();
        let busy = answers.iter().filter(|answer| matches!(answer, Ok(Asked::Busy))).count();
        assert_eq!((granted, busy), (1, 39), "{key}");
    }
}

pub fn leases_of_different_keys_do_not_disturb_each_other(rig: &mut dyn Rig) {
    if can_lease(rig) {
        let grants = ["one", "two", "three"].map(|key| (key, lease(rig, key)));
        for (key, grant) in grants {
            filled(fill(rig, key, key, grant));
        }
        assert_eq!(get(rig, "two").as_deref(), Some(&b"two"[..]));
    }
}

pub fn a_grant_of_one_key_is_none_of_another(rig: &mut dyn Rig) {
    if can_lease(rig) {
        let (one, _two) = (lease(rig, "one"), lease(rig, "two"));
        assert_eq!(fill(rig, "two", "value", one), Filled::Refused);
        assert_eq!(get(rig, "two"), None);
    }
}

pub fn a_lease_that_runs_out_goes_to_the_next_reader(rig: &mut dyn Rig) {
    if can_lease(rig) {
        let first = granted(try_ask(rig, &*rig.store(), "key", SHORT).unwrap());
        assert_eq!(ask_other(rig, "key"), Asked::Busy);
        rig.pass(OVER);
        let second = lease(rig, "key");
        assert_ne!(first, second, "one grant is told from another");
        assert_eq!(fill(rig, "key", "of the first", first), Filled::Refused);
        filled(fill(rig, "key", "of the second", second));
        assert_eq!(get(rig, "key").as_deref(), Some(&b"of the second"[..]));
    }
}

/// A store whose clock ticks in seconds would let a lease of one second end at once.
pub fn a_very_short_lease_is_one_all_the_same(rig: &mut dyn Rig) {
    if can_lease(rig) {
        granted(try_ask(rig, &*rig.store(), "key", Duration::from_millis(1)).unwrap());
        assert_eq!(ask_other(rig, "key"), Asked::Busy);
        rig.pass(Duration::from_millis(300));
        assert_eq!(ask_other(rig, "key"), Asked::Busy);
    }
}

pub fn after_a_removal_the_next_reader_is_granted_the_lease(rig: &mut dyn Rig) {
    if can_lease(rig) {
        put(rig, "key", "value");
        remove(rig, "key");
        lease(rig, "key");
        remove(rig, "key");
        lease(rig, "key");
    }
}
