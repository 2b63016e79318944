//! Receivers that wait.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::PARKED;

use super::super::Rig;
use super::super::scene::{
    WHILE, drain, end, ids, kind, message, publish, queue, receive_one, run, try_publish, try_receive,
    waiting, with_admin,
};

pub fn a_receive_waits_for_a_message(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, WHILE);
    assert!(receive.poll(rig).is_none());
    publish(rig, &q, &["m"]);
    assert_eq!(ids(&receive.poll(rig).unwrap().unwrap()), ["m"]);
}

pub fn a_receive_gives_up_at_its_time(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, WHILE);
    rig.pass(WHILE - Duration::from_millis(500));
    assert!(receive.poll(rig).is_none());
    rig.pass(Duration::from_secs(1));
    assert!(receive.poll(rig).unwrap().unwrap().is_empty());
}

pub fn a_returned_message_wakes_a_receiver(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let held = receive_one(rig, &q);
    let mut receive = waiting(rig, &q, 1, WHILE);
    assert!(receive.poll(rig).is_none());
    end(rig, &held, Outcome::Return { seen: false });
    assert_eq!(ids(&receive.poll(rig).unwrap().unwrap()), ["m"]);
}

pub fn a_delayed_message_wakes_a_receiver(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, WHILE * 3);
    assert!(receive.poll(rig).is_none());
    let delayed = Message { not_before: Some(rig.now() + WHILE), ..message("m") };
    try_publish(rig, &q, vec![delayed]).unwrap();
    assert!(receive.poll(rig).is_none());
    rig.pass(WHILE + Duration::from_millis(1));
    assert_eq!(ids(&receive.poll(rig).unwrap().unwrap()), ["m"]);
}

pub fn a_dead_letter_wakes_a_receiver(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let (q, parked) = (queue(rig, "q"), queue(rig, PARKED));
    publish(rig, &q, &["m"]);
    let held = receive_one(rig, &q);
    let mut receive = waiting(rig, &parked, 1, WHILE);
    assert!(receive.poll(rig).is_none());
    end(rig, &held, Outcome::DeadLetter(Reason::Rejected));
    assert_eq!(ids(&receive.poll(rig).unwrap().unwrap()), ["m"]);
}

pub fn receivers_are_served_in_turn(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receivers: Vec<_> = (0..3).map(|_| waiting(rig, &q, 1, WHILE)).collect();
    assert!(receivers.iter_mut().all(|receive| receive.poll(rig).is_none()));
    for (turn, id) in ["a", "b", "c"].into_iter().enumerate() {
        publish(rig, &q, &[id]);
        let mut later = receivers.iter_mut().skip(turn + 1);
        assert!(later.all(|receive| receive.poll(rig).is_none()), "it is not their turn");
        assert_eq!(ids(&receivers[turn].poll(rig).unwrap().unwrap()), [id]);
    }
}

pub fn one_message_more_than_the_first_receiver_takes_wakes_the_second(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut first = waiting(rig, &q, 2, WHILE);
    let mut second = waiting(rig, &q, 2, WHILE);
    assert!(first.poll(rig).is_none() && second.poll(rig).is_none());
    publish(rig, &q, &["a", "b", "c"]);
    assert_eq!(ids(&first.poll(rig).unwrap().unwrap()), ["a", "b"]);
    assert_eq!(ids(&second.poll(rig).unwrap().unwrap()), ["c"]);
}

pub fn a_dropped_receive_takes_nothing_and_passes_its_turn_on(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut first = waiting(rig, &q, 1, WHILE);
    let mut second = waiting(rig, &q, 1, WHILE);
    assert!(first.poll(rig).is_none() && second.poll(rig).is_none());
    publish(rig, &q, &["m"]);
    // Its turn has come, and it is dropped before it looks.
    drop(first);
    assert_eq!(ids(&second.poll(rig).unwrap().unwrap()), ["m"]);
    let mut third = waiting(rig, &q, 1, WHILE);
    assert!(third.poll(rig).is_none());
    drop(third);
    publish(rig, &q, &["n"]);
    assert_eq!(drain(rig, &q), ["n"]);
}

pub fn a_close_ends_the_wait(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, WHILE);
    assert!(receive.poll(rig).is_none());
    rig.close();
    assert_eq!(kind(receive.poll(rig).unwrap()), Kind::Closed);
    rig.reopen();
}

pub fn a_closed_broker_is_told_apart_from_one_that_cannot_be_reached(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["held", "ready"]);
    let delivery = receive_one(rig, &q);
    rig.close();
    let broker = rig.broker();
    assert_eq!(kind(try_publish(rig, &q, vec![message("late")])), Kind::Closed);
    assert_eq!(kind(try_receive(rig, &q, 1)), Kind::Closed);
    assert_eq!(kind(run(rig, broker.settle(&q, delivery.id, Outcome::Done, None))), Kind::Closed);
    rig.reopen();
    assert_eq!(drain(rig, &q), ["ready"], "and has changed nothing");
}

pub fn deleting_the_queue_ends_the_wait(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    with_admin(rig, |admin| {
        let mut receive = waiting(rig, &q, 1, WHILE);
        assert!(receive.poll(rig).is_none());
        run(rig, admin.delete(&q)).unwrap();
        assert_eq!(kind(receive.poll(rig).unwrap()), Kind::NotFound);
    });
}
