//! Order by key: one message of a key at a time.

use forebay_core::delivery::{Outcome, Reason};
use forebay_core::message::Message;
use forebay_core::queue::{Order, QueueName};

use super::super::super::Rig;
use super::super::super::scene::{
    a_while, drain, end, ids, late, message, patience, queue_with, receive, receive_one, run_out,
    try_publish, waiting,
};

fn can(rig: &dyn Rig) -> bool {
    rig.broker().capabilities().order_by_key
}

fn ordered(rig: &dyn Rig) -> QueueName {
    queue_with(rig, "q", |settings| settings.order = Order::Key)
}

/// Publishes messages whose key is the first letter of their id; an id that begins with a dash has none.
fn publish(rig: &dyn Rig, queue: &QueueName, ids: &[&str]) {
    let messages = ids.iter().map(|id| Message {
        key: id.chars().next().filter(|first| *first != '-').map(String::from),
        ..message(id)
    });
    try_publish(rig, queue, messages.collect()).unwrap();
}

pub fn of_one_key_only_one_is_held_at_a_time(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = ordered(rig);
    publish(rig, &q, &["a1", "a2", "b1", "a3", "b2"]);
    let held = receive(rig, &q, 10);
    assert_eq!(ids(&held), ["a1", "b1"], "other keys pass");
    end(rig, &held[1], Outcome::Done);
    assert_eq!(drain(rig, &q), ["b2"]);
    end(rig, &held[0], Outcome::Done);
    publish(rig, &q, &["a4"]);
    for expected in ["a2", "a3", "a4"] {
        let delivery = receive_one(rig, &q);
        assert_eq!(delivery.message.id.as_str(), expected);
        assert!(receive(rig, &q, 10).is_empty());
        end(rig, &delivery, Outcome::Done);
    }
}

pub fn messages_without_a_key_are_never_held_back(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = ordered(rig);
    publish(rig, &q, &["-1", "a1", "-2", "a2", "-3"]);
    assert_eq!(drain(rig, &q), ["-1", "a1", "-2", "-3"]);
}

pub fn a_retry_keeps_its_place_before_the_others_of_its_key(rig: &mut dyn Rig) {
    let capabilities = rig.broker().capabilities();
    if !can(rig) || !capabilities.delay {
        return;
    }
    let q = ordered(rig);
    publish(rig, &q, &["a1", "a2", "b1"]);
    let first = receive_one(rig, &q);
    end(rig, &first, Outcome::RetryAt(rig.now() + a_while(rig)));
    assert_eq!(drain(rig, &q), ["b1"], "while it waits for its next attempt, others of its key wait too");
    rig.pass(a_while(rig) + late(rig));
    let again = receive_one(rig, &q);
    assert_eq!((again.message.id.as_str(), again.attempt), ("a1", 2));
    end(rig, &again, Outcome::Return { seen: false });
    let again = receive_one(rig, &q);
    assert_eq!(again.message.id.as_str(), "a1", "and so when it is returned");
    end(rig, &again, Outcome::Done);
    assert_eq!(drain(rig, &q), ["a2"]);
}

pub fn a_hold_that_runs_out_lets_no_other_of_its_key_pass(rig: &mut dyn Rig) {
    if !can(rig) || !rig.broker().capabilities().expired {
        return;
    }
    let q = queue_with(rig, "q", |settings| {
        settings.order = Order::Key;
        settings.hold = a_while(rig);
    });
    publish(rig, &q, &["a1", "a2"]);
    receive_one(rig, &q);
    rig.pass(a_while(rig) + late(rig));
    assert!(receive(rig, &q, 10).is_empty());
    let offered = run_out(rig);
    assert_eq!(ids(&offered), ["a1"]);
    end(rig, &offered[0], Outcome::RetryAt(rig.now()));
    assert_eq!(drain(rig, &q), ["a1"]);
}

pub fn a_dead_letter_makes_way_for_the_next_of_its_key(rig: &mut dyn Rig) {
    if !can(rig) || !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = ordered(rig);
    publish(rig, &q, &["a1", "a2"]);
    end(rig, &receive_one(rig, &q), Outcome::DeadLetter(Reason::Rejected));
    let next = receive_one(rig, &q);
    assert_eq!(next.message.id.as_str(), "a2");
    end(rig, &next, Outcome::Done);
    assert!(drain(rig, &q).is_empty(), "it has left the queue");
}

pub fn what_its_publisher_delays_lets_others_of_its_key_pass(rig: &mut dyn Rig) {
    if !can(rig) || !rig.broker().capabilities().delay {
        return;
    }
    let q = ordered(rig);
    let delayed =
        Message { key: Some("a".into()), not_before: Some(rig.now() + a_while(rig)), ..message("late") };
    try_publish(rig, &q, vec![delayed]).unwrap();
    publish(rig, &q, &["a1"]);
    end(rig, &receive_one(rig, &q), Outcome::Done);
    rig.pass(a_while(rig) + late(rig));
    assert_eq!(drain(rig, &q), ["late"]);
}

pub fn an_end_wakes_who_waits_for_the_next_of_its_key(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = ordered(rig);
    publish(rig, &q, &["a1", "a2"]);
    let first = receive_one(rig, &q);
    let mut next = waiting(rig, &q, 1, patience(rig));
    assert!(next.poll(rig).is_none());
    end(rig, &first, Outcome::Done);
    assert_eq!(ids(&next.output(rig).unwrap()), ["a2"]);
}

pub fn the_order_of_a_key_survives_a_restart(rig: &mut dyn Rig) {
    let capabilities = rig.broker().capabilities();
    if !can(rig) || !capabilities.delay {
        return;
    }
    let q = ordered(rig);
    publish(rig, &q, &["a1", "a2", "b1", "b2", "c1"]);
    let held = receive(rig, &q, 3);
    assert_eq!(ids(&held), ["a1", "b1", "c1"]);
    end(rig, &held[1], Outcome::RetryAt(rig.now() + a_while(rig) * 2));
    rig.crash();
    if capabilities.lasting_holds {
        assert!(receive(rig, &q, 10).is_empty(), "one is held still, and one waits for its next attempt");
        end(rig, &held[0], Outcome::Done);
    } else {
        let again = receive(rig, &q, 10);
        assert_eq!(
            ids(&again),
            ["a1", "c1"],
            "what was held is ready again, and one waits for its next attempt"
        );
        end(rig, &again[0], Outcome::Done);
    }
    assert_eq!(drain(rig, &q), ["a2"]);
    rig.pass(a_while(rig) * 2 + late(rig));
    assert_eq!(drain(rig, &q), ["b1"]);
}
