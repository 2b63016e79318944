//! Messages that go before others.

use forebay_core::delivery::Outcome;
use forebay_core::message::Message;
use forebay_core::queue::QueueName;

use super::super::super::Rig;
use super::super::super::scene::{
    drain, end, ids, let_come, message, queue, queue_with, receive, receive_one, try_publish,
};

fn can(rig: &dyn Rig) -> bool {
    rig.broker().capabilities().priorities
}

fn publish(rig: &dyn Rig, queue: &QueueName, messages: &[(&str, u8)]) {
    let messages = messages.iter().map(|(id, priority)| Message { priority: *priority, ..message(id) });
    try_publish(rig, queue, messages.collect()).unwrap();
}

pub fn a_greater_priority_goes_first_and_equal_ones_as_they_came(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.priority_max = 9);
    publish(rig, &q, &[("a", 0), ("b", 5), ("c", 9), ("d", 5), ("e", 0)]);
    assert_eq!(drain(rig, &q), ["c", "b", "d", "a", "e"]);
}

pub fn above_the_greatest_priority_none_are_told_apart(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.priority_max = 1);
    publish(rig, &q, &[("a", 0), ("b", 1), ("c", 255), ("d", 7)]);
    assert_eq!(drain(rig, &q), ["b", "c", "d", "a"]);
}

pub fn without_priorities_the_order_is_that_of_arrival(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue(rig, "q");
    publish(rig, &q, &[("a", 1), ("b", 9)]);
    assert_eq!(drain(rig, &q), ["a", "b"]);
}

pub fn a_returned_message_goes_back_to_its_place_in_its_class(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.priority_max = 9);
    publish(rig, &q, &[("a", 5), ("b", 5), ("c", 5), ("low", 1)]);
    let held = receive(rig, &q, 2);
    assert_eq!(ids(&held), ["a", "b"]);
    publish(rig, &q, &[("high", 9)]);
    let_come(rig);
    held.iter().rev().for_each(|delivery| end(rig, delivery, Outcome::Return { seen: false }));
    assert_eq!(drain(rig, &q), ["high", "a", "b", "c", "low"]);
}

pub fn priorities_survive_a_restart(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.priority_max = 9);
    publish(rig, &q, &[("a", 0), ("b", 5), ("c", 9)]);
    end(rig, &receive_one(rig, &q), Outcome::Return { seen: false });
    rig.crash();
    assert_eq!(drain(rig, &q), ["c", "b", "a"]);
}
