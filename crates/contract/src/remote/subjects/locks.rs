//! Where a store keeps what it took, an entry can be a lock.

use std::time::Duration;

use forebay_core::entry::{Mode, Version};
use forebay_core::ports::remote_store::{Changed, Put};

use super::super::Rig;
use super::super::scene::{OVER, SET, can, done, get, put, put_with, remove, seconds, try_remove};

fn take(rig: &dyn Rig, owner: &str) -> Changed {
    put_with(rig, "lock", owner, Put { mode: Mode::Add, life: seconds(2), ..SET })
}

pub fn a_lock_is_taken_once_until_its_time_is_over(rig: &mut dyn Rig) {
    if can(rig).locks {
        let first = done(take(rig, "one"));
        assert_eq!(take(rig, "other"), Changed::NotStored);
        rig.pass(OVER);
        let second = done(take(rig, "other"));
        assert!(second > first, "{second:?} after {first:?}");
        assert_eq!(try_remove(rig, "lock", Some(first), Duration::ZERO).unwrap(), Changed::Exists);
        assert_eq!(get(rig, "lock").as_deref(), Some(&b"other"[..]));
    }
}

pub fn a_fencing_token_only_grows(rig: &mut dyn Rig) {
    if can(rig).locks {
        let mut last = Version(0);
        for round in 0..20 {
            let version = done(take(rig, "owner"));
            assert!(version > last, "{version:?} after {last:?}");
            last = version;
            if round % 2 == 0 {
                remove(rig, "lock");
            } else {
                done(try_remove(rig, "lock", Some(version), Duration::ZERO).unwrap());
            }
            put(rig, "another", "value");
        }
    }
}
