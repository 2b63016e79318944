//! The end of a bus.

use forebay_core::error::Kind;

use super::super::Rig;
use super::super::scene::{Ear, listen, publish_many, try_publish};

pub fn a_close_ends_the_wait(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    assert_eq!(ear.listen(rig), None);
    rig.close();
    assert_eq!(ear.listen(rig), Some(Kind::Closed));
}

pub fn what_was_published_before_the_close_is_still_heard(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    let positions = publish_many(rig, 5);
    rig.close();
    assert_eq!(ear.listen(rig), Some(Kind::Closed));
    ear.assert_knows(&positions);
}

pub fn nothing_is_taken_by_a_closed_bus(rig: &mut dyn Rig) {
    rig.close();
    assert_eq!(try_publish(rig, "notice").map_err(|error| error.kind()), Err(Kind::Closed));
    assert_eq!(listen(rig, None).err().map(|error| error.kind()), Some(Kind::Closed));
}
