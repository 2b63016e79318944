//! Messages that are worth nothing after a time.

use forebay_core::message::Message;
use forebay_core::queue::{PARKED, QueueName};

use super::super::Rig;
use super::super::scene::{
    a_while, drain, late, message, name, publish, queue, queue_with, receive_one, told, try_publish,
};

/// Publishes a message that expires after a while.
fn publish_short(rig: &dyn Rig, queue: &QueueName, id: &str) {
    let short = Message { expires_at: Some(rig.now() + a_while(rig)), ..message(id) };
    try_publish(rig, queue, vec![short]).unwrap();
}

fn past(rig: &dyn Rig) {
    rig.pass(a_while(rig) + late(rig));
}

pub fn a_message_past_its_time_to_live_is_not_delivered(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().expiry {
        return;
    }
    let q = queue(rig, "q");
    publish_short(rig, &q, "in time");
    assert_eq!(drain(rig, &q), ["in time"]);
    publish_short(rig, &q, "short");
    publish(rig, &q, &["long"]);
    past(rig);
    assert_eq!(drain(rig, &q), ["long"]);
}

pub fn without_a_dead_letter_queue_it_is_gone(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().expiry {
        return;
    }
    let q = queue(rig, "q");
    let parked = queue(rig, PARKED);
    publish_short(rig, &q, "short");
    past(rig);
    assert!(drain(rig, &q).is_empty() && drain(rig, &parked).is_empty());
}

pub fn with_a_dead_letter_queue_it_goes_there_and_expires_no_more(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.expiry || !can.dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
    publish_short(rig, &q, "short");
    past(rig);
    assert!(drain(rig, &q).is_empty());
    past(rig);
    let dead = receive_one(rig, &name("d"));
    assert_eq!(dead.message.id.as_str(), "short");
    assert_eq!(told(&dead.history), ["q expired x1 attempts 0 -"]);
}

pub fn a_queues_time_to_live_ends_what_has_none_of_its_own(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().message_ttl {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.message_ttl = Some(a_while(rig) * 2));
    publish(rig, &q, &["old"]);
    past(rig);
    publish_short(rig, &q, "short");
    publish(rig, &q, &["young"]);
    past(rig);
    assert_eq!(drain(rig, &q), ["young"], "of two times to live the shorter counts");
}

pub fn a_queues_time_to_live_begins_when_a_dead_letter_comes(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.message_ttl || !can.dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| {
        (settings.message_ttl, settings.dead_letter) = (Some(a_while(rig)), Some(name("d")));
    });
    let d = queue_with(rig, "d", |settings| settings.message_ttl = Some(a_while(rig) * 2));
    publish(rig, &q, &["first"]);
    past(rig);
    publish(rig, &q, &["second"]);
    past(rig);
    let dead = receive_one(rig, &d);
    assert_eq!((dead.message.id.as_str(), told(&dead.history).len()), ("first", 1));
    past(rig);
    assert_eq!(drain(rig, &d), ["second"]);
    publish(rig, &d, &["third"]);
    rig.pass(a_while(rig) * 3);
    assert!(drain(rig, &d).is_empty());
}

pub fn a_queues_time_to_live_survives_a_restart(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().message_ttl {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.message_ttl = Some(a_while(rig)));
    publish(rig, &q, &["old"]);
    rig.crash();
    past(rig);
    publish(rig, &q, &["young"]);
    assert_eq!(drain(rig, &q), ["young"]);
}

pub fn a_delayed_message_can_expire_before_its_time(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.expiry || !can.delay {
        return;
    }
    let q = queue(rig, "q");
    let (not_before, expires_at) = (Some(rig.now() + a_while(rig) * 2), Some(rig.now() + a_while(rig)));
    try_publish(rig, &q, vec![Message { not_before, expires_at, ..message("never") }]).unwrap();
    rig.pass(a_while(rig) * 3);
    assert!(drain(rig, &q).is_empty());
}
