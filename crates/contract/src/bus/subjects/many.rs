//! Many who listen.

use super::super::Rig;
use super::super::scene::{Ear, publish_many};

const MANY: usize = 50;

pub fn every_listener_hears_of_every_notice(rig: &mut dyn Rig) {
    let mut ears: Vec<Ear> = (0..MANY).map(|_| Ear::new(rig)).collect();
    let positions = publish_many(rig, rig.kept().min(20));
    for ear in &mut ears {
        ear.listen(rig);
        ear.assert_knows(&positions);
    }
}

pub fn a_slow_listener_holds_up_nobody(rig: &mut dyn Rig) {
    let (mut slow, mut quick) = (Ear::new(rig), Ear::new(rig));
    let mut positions = Vec::new();
    for _ in 0..rig.kept() * 3 {
        positions.extend(publish_many(rig, 1));
        quick.listen(rig);
    }
    quick.assert_knows(&positions);
    let capabilities = rig.bus().capabilities();
    if capabilities.ordered && capabilities.once {
        assert!(quick.gaps.is_empty(), "who keeps up misses nothing");
    }
    slow.listen(rig);
    slow.assert_knows(&positions);
}

pub fn a_listener_that_leaves_disturbs_nobody(rig: &mut dyn Rig) {
    let mut ears: Vec<Ear> = (0..MANY).map(|_| Ear::new(rig)).collect();
    let mut positions = Vec::new();
    while !ears.is_empty() {
        positions.extend(publish_many(rig, 1));
        for ear in &mut ears {
            ear.listen(rig);
            ear.assert_knows(&positions);
        }
        ears.truncate(ears.len() / 2);
    }
}
