//! Messages that are not to be delivered yet.

use std::time::Duration;

use forebay_core::message::Message;

use super::super::Rig;
use super::super::scene::{a_while, drain, late, message, publish, queue, receive_one, try_publish};

fn delayed(rig: &dyn Rig, id: &str, delay: Duration) -> Message {
    Message { not_before: Some(rig.now() + delay), ..message(id) }
}

pub fn a_delayed_message_is_not_delivered_before_its_time(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    let begun = rig.now();
    try_publish(rig, &q, vec![delayed(rig, "late", a_while(rig) * 2), delayed(rig, "soon", a_while(rig))])
        .unwrap();
    assert!(drain(rig, &q).is_empty());
    for (id, delay) in [("soon", a_while(rig)), ("late", a_while(rig) * 2)] {
        rig.pass(a_while(rig) + late(rig));
        assert_eq!(receive_one(rig, &q).message.id.as_str(), id);
        assert!(rig.now() >= begun + delay, "{id} came before its time");
    }
    assert!(drain(rig, &q).is_empty());
}

pub fn a_delayed_message_does_not_hold_up_others(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    try_publish(rig, &q, vec![delayed(rig, "late", a_while(rig))]).unwrap();
    publish(rig, &q, &["now"]);
    assert_eq!(drain(rig, &q), ["now"]);
}

pub fn a_message_due_in_the_past_is_ready_at_once(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    let past = Message { not_before: Some(rig.now() - a_while(rig)), ..message("m") };
    try_publish(rig, &q, vec![past]).unwrap();
    assert_eq!(drain(rig, &q), ["m"]);
}
