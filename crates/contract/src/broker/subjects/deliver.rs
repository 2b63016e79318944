//! Handing messages out in order, and holding them.

use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::ports::broker::Receive;

use super::super::Rig;
use super::super::scene::{
    a_while, drain, end, extend, held, ids, kind, late, name, publish, queue, queue_with,
    queue_with_short_hold, receive, receive_one, run, run_out, try_receive,
};

pub fn a_delivery_says_what_it_is(rig: &mut dyn Rig) {
    let q = queue_with(rig, "q", |settings| settings.hold = Duration::from_secs(40));
    let before = rig.now();
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    assert_eq!((&delivery.queue, delivery.attempt), (&q, 1));
    assert_eq!(delivery.message.id.as_str(), "m");
    assert!(delivery.published_at >= before && delivery.published_at <= rig.now());
    let left = delivery.held_until.since(rig.now());
    // A server has a clock of its own.
    let apart = if rig.pace().is_exact() { Duration::ZERO } else { late(rig) };
    assert!(left > Duration::from_secs(30) && left <= Duration::from_secs(40) + apart, "{left:?}");
    assert!(delivery.history.is_empty());
    assert_eq!(delivery.id.to_string().parse::<DeliveryId>().unwrap(), delivery.id);
}

pub fn a_held_message_is_not_delivered_to_others(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b"]);
    assert_eq!(ids(&receive(rig, &q, 1)), ["a"]);
    assert_eq!(ids(&receive(rig, &q, 10)), ["b"]);
    assert!(receive(rig, &q, 10).is_empty());
}

pub fn the_receivers_hold_goes_before_the_queues(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let hold = Some(Duration::from_secs(7_000));
    let asked = Receive { count_max: 1, hold, wait_until: rig.now() };
    let delivery = run(rig, rig.broker().receive(&q, asked)).unwrap().remove(0);
    assert!(delivery.held_until.since(rig.now()) > Duration::from_secs(6_900));
}

pub fn no_more_is_delivered_than_was_asked_for(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b", "c", "d"]);
    assert_eq!(receive(rig, &q, 3).len(), 3);
    assert_eq!(kind(try_receive(rig, &q, 0)), Kind::Invalid);
    assert_eq!(receive(rig, &q, 3).len(), 1);
}

pub fn an_empty_queue_gives_nothing_at_once(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    assert!(receive(rig, &q, 1).is_empty());
}

pub fn receiving_from_a_queue_that_is_not_there_is_not_found(rig: &mut dyn Rig) {
    assert_eq!(kind(try_receive(rig, &name("nowhere"), 1)), Kind::NotFound);
}

pub fn a_held_delivery_can_be_looked_up(rig: &mut dyn Rig) {
    let q = queue_with(rig, "q", |settings| settings.retry.attempt_max = 17);
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    let found = held(rig, &delivery).unwrap();
    assert_eq!((found.attempt, found.held_until), (1, delivery.held_until));
    assert_eq!(found.retry.attempt_max, 17);
    end(rig, &delivery, Outcome::Done);
    assert!(held(rig, &delivery).is_none());
}

pub fn an_extended_hold_ends_later(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().extend {
        return;
    }
    let q = queue_with_short_hold(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    rig.pass(a_while(rig));
    let until = extend(rig, &delivery, a_while(rig) * 12).unwrap();
    assert!(until.since(rig.now()) > a_while(rig) * 10);
    assert_eq!(held(rig, &delivery).unwrap().held_until, until);
    rig.pass(delivery.held_until.since(rig.now()) + a_while(rig));
    assert!(run_out(rig).is_empty() && receive(rig, &q, 1).is_empty(), "it is held beyond its first end");
    end(rig, &delivery, Outcome::Done);
}

pub fn what_is_not_held_cannot_be_extended(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().extend {
        return;
    }
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    end(rig, &delivery, Outcome::Done);
    assert_eq!(extend(rig, &delivery, a_while(rig)), None);
}

pub fn messages_are_delivered_in_the_order_of_publishing(rig: &mut dyn Rig) {
    let (q, other) = (queue(rig, "q"), queue(rig, "other"));
    publish(rig, &q, &["a", "b"]);
    publish(rig, &other, &["x"]);
    publish(rig, &q, &["c"]);
    publish(rig, &other, &["y"]);
    assert_eq!(drain(rig, &q), ["a", "b", "c"]);
    assert_eq!(drain(rig, &other), ["x", "y"]);
}

pub fn a_returned_message_comes_back_to_its_place(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b", "c", "d"]);
    let held = receive(rig, &q, 3);
    for index in [1, 2, 0] {
        end(rig, &held[index], Outcome::Return { seen: false });
    }
    assert_eq!(drain(rig, &q), ["a", "b", "c", "d"]);
}

pub fn a_retried_message_comes_back_to_its_place(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.delay || !can.place {
        return;
    }
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b", "c"]);
    let held = receive(rig, &q, 2);
    end(rig, &held[1], Outcome::RetryAt(rig.now() + a_while(rig)));
    end(rig, &held[0], Outcome::RetryAt(rig.now() + a_while(rig) * 2));
    rig.pass(a_while(rig) * 2 + late(rig));
    assert_eq!(drain(rig, &q), ["a", "b", "c"]);
}

pub fn dead_letters_come_in_the_order_in_which_they_were_given_up(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
    publish(rig, &q, &["a", "b", "c"]);
    let held = receive(rig, &q, 3);
    for index in [1, 0, 2] {
        end(rig, &held[index], Outcome::DeadLetter(Reason::Rejected));
    }
    assert_eq!(drain(rig, &name("d")), ["b", "a", "c"]);
}
