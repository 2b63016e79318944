//! How long an entry lives, and how that is changed.

use std::time::Duration;

use forebay_core::ports::remote_store::Put;

use super::super::Rig;
use super::super::scene::{
    OVER, SET, can, get, offered, put, put_with, remove, seconds, shared, touch, try_touch,
};

fn put_for(rig: &dyn Rig, key: &str, life: Option<Duration>) {
    put_with(rig, key, "value", Put { life, flags: 7, ..SET });
}

pub fn an_entry_ends_with_its_life_and_not_long_before(rig: &mut dyn Rig) {
    put_for(rig, "short", seconds(2));
    put_for(rig, "longer", seconds(60));
    put_for(rig, "endless", None);
    // One second is what a clock that ticks in seconds may take off.
    rig.pass(Duration::from_millis(700));
    assert!(get(rig, "short").is_some());
    rig.pass(OVER);
    assert_eq!(get(rig, "short"), None);
    assert!(get(rig, "longer").is_some() && get(rig, "endless").is_some());
}

/// Some stores take a number of seconds above thirty days for a date.
pub fn very_long_lives_are_lives(rig: &mut dyn Rig) {
    let days = |days: u64| seconds(days * 24 * 3600);
    let lives = [days(29), days(30), days(31), days(366), days(20_000), Some(Duration::MAX)];
    for (number, life) in lives.into_iter().enumerate() {
        put_for(rig, &format!("key:{number}"), life);
        assert!(get(rig, &format!("key:{number}")).is_some(), "{life:?}");
    }
}

/// Some stores take a life of 0 for one without end.
pub fn a_life_of_nothing_is_over_at_once(rig: &mut dyn Rig) {
    put_for(rig, "key", seconds(60));
    put_for(rig, "key", Some(Duration::ZERO));
    assert_eq!(get(rig, "key"), None);
}

pub fn a_part_of_a_second_is_rounded_up(rig: &mut dyn Rig) {
    put_for(rig, "key", Some(Duration::from_millis(2_001)));
    rig.pass(Duration::from_millis(1_500));
    assert!(get(rig, "key").is_some());
}

fn can_touch(rig: &dyn Rig) -> bool {
    offered(can(rig).touch, || try_touch(rig, "key", None))
}

pub fn a_touch_gives_a_new_life_from_now(rig: &mut dyn Rig) {
    if can_touch(rig) {
        put_for(rig, "prolonged", seconds(2));
        put_for(rig, "shortened", seconds(60));
        put_for(rig, "endless", seconds(2));
        put_for(rig, "bounded", None);
        assert!(touch(rig, "prolonged", seconds(60)));
        assert!(touch(rig, "shortened", seconds(2)));
        assert!(touch(rig, "endless", None));
        assert!(touch(rig, "bounded", seconds(2)));
        rig.pass(OVER);
        let there = ["prolonged", "shortened", "endless", "bounded"].map(|key| get(rig, key).is_some());
        assert_eq!(there, [true, false, true, false]);
    }
}

pub fn a_touch_leaves_the_rest_as_it_is(rig: &mut dyn Rig) {
    if can_touch(rig) {
        put_for(rig, "key", seconds(60));
        touch(rig, "key", seconds(90));
        let read = shared(rig, "key").expect("it was touched");
        assert_eq!((&*read.value, read.flags), (&b"value"[..], 7));
    }
}

pub fn a_touch_says_whether_there_was_something(rig: &mut dyn Rig) {
    if can_touch(rig) {
        assert!(!touch(rig, "key", seconds(60)));
        assert_eq!(get(rig, "key"), None);
        put(rig, "key", "value");
        assert!(touch(rig, "key", seconds(60)));
        remove(rig, "key");
        assert!(!touch(rig, "key", seconds(60)));
        put(rig, "key", "value");
        touch(rig, "key", Some(Duration::ZERO));
        assert_eq!(get(rig, "key"), None);
    }
}
