//! "There is none" is something that can be known.

use forebay_core::ports::remote_store::{Asked, Fill};

use super::super::Rig;
use super::super::scene::{
    FILL, OVER, ask, ask_other, can, fill_with, filled, get, get_all, hit, lease, put, remove, seconds,
};

fn fill_none(rig: &dyn Rig, key: &str) {
    let grant = lease(rig, key);
    filled(fill_with(rig, key, "", Fill { flags: 3, life: seconds(2), ..FILL }, grant));
}

pub fn that_there_is_none_is_told_from_not_knowing(rig: &mut dyn Rig) {
    if can(rig).negative && can(rig).lease {
        fill_none(rig, "none");
        lease(rig, "leased");
        let keys = ["none", "leased", "absent"].map(str::to_owned);
        let read: Vec<_> = get_all(rig, &keys)
            .into_iter()
            .map(|answer| answer.unwrap().map(|shared| shared.flags))
            .collect();
        assert_eq!(read, [Some(3), None, None]);
        assert_eq!(hit(ask(rig, "none")), b"");
        assert_eq!(ask_other(rig, "leased"), Asked::Busy);
    }
}

pub fn it_ends_like_any_other_entry(rig: &mut dyn Rig) {
    if can(rig).negative && can(rig).lease {
        fill_none(rig, "removed");
        remove(rig, "removed");
        lease(rig, "removed");
        fill_none(rig, "replaced");
        put(rig, "replaced", "value");
        assert_eq!(get(rig, "replaced").as_deref(), Some(&b"value"[..]));
        fill_none(rig, "ended");
        rig.pass(OVER);
        assert_eq!(get(rig, "ended"), None);
        lease(rig, "ended");
    }
}
