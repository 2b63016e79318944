//! What cannot be heard any more is told.

use forebay_core::ports::bus::Position;

use super::super::Rig;
use super::super::scene::{Ear, publish, publish_many};

pub fn who_falls_behind_is_told_of_a_gap_and_goes_on_after_it(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    let positions = publish_many(rig, rig.kept() + 10);
    ear.listen(rig);
    ear.assert_knows(&positions);
    assert!(!ear.gaps.is_empty(), "more was published than is kept");
    let after = publish_many(rig, 3);
    ear.listen(rig);
    ear.assert_knows(&after);
    let capabilities = rig.bus().capabilities();
    if capabilities.ordered && capabilities.once {
        assert!(after.iter().all(|position| ear.has_heard(*position)), "the gap was over");
        let both = |position: &Position| {
            ear.has_heard(*position) && ear.gaps.iter().any(|(from, to)| from < position && position <= to)
        };
        assert!(!positions.iter().any(both), "what is heard lies in no gap");
    }
}

pub fn who_is_not_too_far_behind_misses_nothing(rig: &mut dyn Rig) {
    let capabilities = rig.bus().capabilities();
    let mut ear = Ear::new(rig);
    let positions = publish_many(rig, rig.kept());
    ear.listen(rig);
    ear.assert_knows(&positions);
    if capabilities.ordered && capabilities.once {
        assert!(ear.gaps.is_empty(), "{:?}", ear.gaps);
        assert_eq!(ear.heard.len(), positions.len());
    }
}

pub fn a_position_from_before_a_restart_is_gone_on_from_or_begins_with_a_gap(rig: &mut dyn Rig) {
    let from = publish(rig, "known");
    let mut positions = vec![publish(rig, "published and perhaps lost")];
    rig.restart();
    positions.push(publish(rig, "after the restart"));
    let mut ear = Ear::after(rig, from);
    ear.listen(rig);
    ear.assert_knows(&positions);
}

pub fn a_position_that_was_never_given_puts_everything_in_doubt(rig: &mut dyn Rig) {
    let position = publish(rig, "notice");
    let mut ear = Ear::after(rig, Position(position.0 + 1_000_000));
    ear.listen(rig);
    assert!(ear.gaps.iter().any(|(from, to)| *from == Position::START && *to >= position), "{:?}", ear.gaps);
    let next = publish(rig, "next");
    ear.listen(rig);
    assert!(ear.knows_of(next), "and it goes on from there");
}
