//! What is heard, in which order, how often.

use forebay_core::error::Kind;
use forebay_core::limits;

use super::super::Rig;
use super::super::scene::{Ear, head, publish, publish_many, try_publish};

pub fn what_is_published_is_heard_as_it_was(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    let largest = "x".repeat(limits::NOTICE_BYTES_MAX);
    for notice in ["", "a", "ä\0\n", &largest] {
        let position = publish(rig, notice);
        ear.listen(rig);
        assert!(ear.knows_of(position));
        let of_it: Vec<_> = ear.heard.iter().filter(|(heard, _)| *heard == position).collect();
        assert!(of_it.iter().all(|(_, heard)| heard == notice));
    }
}

pub fn positions_rise(rig: &mut dyn Rig) {
    let before = head(rig);
    let positions = publish_many(rig, 50);
    assert!(positions.first().is_some_and(|first| *first > before));
    assert!(positions.is_sorted_by(|one, next| one < next), "{positions:?}");
}

pub fn notices_are_heard_in_the_order_of_their_positions(rig: &mut dyn Rig) {
    if !rig.bus().capabilities().ordered {
        return;
    }
    let mut ear = Ear::new(rig);
    publish_many(rig, rig.kept().min(100));
    ear.listen(rig);
    let positions: Vec<_> = ear.heard.iter().map(|(position, _)| *position).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    let numbers: Vec<usize> = ear.names().iter().filter_map(|name| name.parse().ok()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

pub fn a_notice_is_heard_at_most_once(rig: &mut dyn Rig) {
    if !rig.bus().capabilities().once {
        return;
    }
    let mut ear = Ear::new(rig);
    publish_many(rig, rig.kept().min(100));
    ear.listen(rig);
    ear.listen(rig);
    let mut positions: Vec<_> = ear.heard.iter().map(|(position, _)| *position).collect();
    let count = positions.len();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), count);
}

pub fn nothing_is_lost_in_silence(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    let mut positions = Vec::new();
    for round in 0..20 {
        // Sometimes within what is kept, sometimes far beyond it.
        positions.extend(publish_many(rig, 1 + round * rig.kept() / 10));
        ear.listen(rig);
        ear.assert_knows(&positions);
    }
}

pub fn a_dropped_wait_loses_nothing(rig: &mut dyn Rig) {
    let mut ear = Ear::new(rig);
    for _ in 0..10 {
        // Each ends with a wait that is dropped.
        ear.listen(rig);
        let position = publish(rig, "notice");
        ear.listen(rig);
        assert!(ear.knows_of(position));
    }
}

pub fn a_notice_over_its_limit_is_refused_and_takes_no_position(rig: &mut dyn Rig) {
    let (mut ear, before) = (Ear::new(rig), head(rig));
    let refused = try_publish(rig, &"x".repeat(limits::NOTICE_BYTES_MAX + 1));
    assert_eq!(refused.map_err(|error| error.kind()), Err(Kind::TooLarge));
    ear.listen(rig);
    assert!(ear.heard.is_empty());
    assert_eq!(head(rig), before);
}
