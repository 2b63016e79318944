//! Who begins to listen later.

use super::super::Rig;
use super::super::scene::{Ear, publish_many};

pub fn a_late_listener_hears_only_what_comes_after(rig: &mut dyn Rig) {
    let before = publish_many(rig, 5);
    let mut ear = Ear::new(rig);
    let after = publish_many(rig, 5);
    ear.listen(rig);
    ear.assert_knows(&after);
    assert!(!before.iter().any(|position| ear.has_heard(*position)));
}

pub fn a_late_listener_hears_from_a_position_in_the_past(rig: &mut dyn Rig) {
    let count = rig.kept().min(20);
    let positions = publish_many(rig, count);
    let from = positions[count / 2];
    let mut ear = Ear::after(rig, from);
    ear.listen(rig);
    ear.assert_knows(&positions);
    assert!(positions.iter().filter(|position| **position <= from).all(|position| !ear.has_heard(*position)));
    let capabilities = rig.bus().capabilities();
    if capabilities.replay && capabilities.ordered && capabilities.once {
        assert!(ear.gaps.is_empty(), "it was kept");
    }
}

pub fn a_listener_goes_on_where_another_stopped(rig: &mut dyn Rig) {
    let mut positions = publish_many(rig, 1);
    for _ in 0..10 {
        let last = positions[positions.len() - 1];
        let mut ear = Ear::after(rig, last);
        let next = publish_many(rig, 2);
        ear.listen(rig);
        ear.assert_knows(&next);
        positions.extend(next);
    }
}
