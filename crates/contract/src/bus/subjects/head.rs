//! The newest position, which tells a node how far behind it is.

use super::super::Rig;
use super::super::scene::{Ear, head, publish, publish_many};

pub fn the_head_is_the_newest_position(rig: &mut dyn Rig) {
    for _ in 0..10 {
        let position = publish(rig, "notice");
        assert_eq!(head(rig), position);
    }
}

pub fn who_has_heard_up_to_the_head_knows_all_that_was_published_before(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    let mut positions = Vec::new();
    for _ in 0..5 {
        positions.extend(publish_many(rig, 10));
        let head = head(rig);
        assert!(positions.iter().all(|position| *position <= head));
        ear.listen(rig);
        assert!(ear.knows_of(head));
        ear.assert_knows(&positions);
    }
}

pub fn the_head_does_not_go_back_over_a_restart(rig: &mut dyn Rig) {
    for _ in 0..3 {
        publish_many(rig, rig.kept() + 1);
        let before = head(rig);
        rig.restart();
        assert!(head(rig) >= before);
        assert!(publish(rig, "notice") > before, "no position is given twice");
    }
}
