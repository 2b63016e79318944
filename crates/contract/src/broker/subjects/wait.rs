//! Receivers that wait.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::PARKED;

use super::super::Rig;
use super::super::scene::{
    a_while, drain, end, ids, kind, late, message, patience, publish, queue, receive_one, run, try_publish,
    try_receive, waiting, with_admin,
};

/// A receive is asked no more often until it ends.
const ASKED_MAX: usize = 10;

pub fn a_receive_waits_for_a_message(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, patience(rig));
    assert!(receive.poll(rig).is_none());
    publish(rig, &q, &["m"]);
    assert_eq!(ids(&receive.output(rig).unwrap()), ["m"]);
}

pub fn a_receive_gives_up_at_its_time(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, a_while(rig));
    rig.pass(a_while(rig) / 2);
    assert!(receive.poll(rig).is_none());
    rig.pass(a_while(rig));
    assert!(receive.output(rig).unwrap().is_empty());
}

pub fn a_returned_message_wakes_a_receiver(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let held = receive_one(rig, &q);
    let mut receive = waiting(rig, &q, 1, patience(rig));
    assert!(receive.poll(rig).is_none());
    end(rig, &held, Outcome::Return { seen: false });
    assert_eq!(ids(&receive.output(rig).unwrap()), ["m"]);
}

pub fn a_delayed_message_wakes_a_receiver(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, patience(rig) * 3);
    assert!(receive.poll(rig).is_none());
    let delayed = Message { not_before: Some(rig.now() + a_while(rig)), ..message("m") };
    try_publish(rig, &q, vec![delayed]).unwrap();
    assert!(receive.poll(rig).is_none());
    rig.pass(a_while(rig) + late(rig));
    assert_eq!(ids(&receive.output(rig).unwrap()), ["m"]);
}

pub fn a_dead_letter_wakes_a_receiver(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let (q, parked) = (queue(rig, "q"), queue(rig, PARKED));
    publish(rig, &q, &["m"]);
    let held = receive_one(rig, &q);
    let mut receive = waiting(rig, &parked, 1, patience(rig));
    assert!(receive.poll(rig).is_none());
    end(rig, &held, Outcome::DeadLetter(Reason::Rejected));
    assert_eq!(ids(&receive.output(rig).unwrap()), ["m"]);
}

pub fn receivers_are_served_in_turn(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receivers: Vec<_> = (0..3).map(|_| waiting(rig, &q, 1, patience(rig))).collect();
    assert!(receivers.iter_mut().all(|receive| receive.poll(rig).is_none()));
    for (turn, id) in ["a", "b", "c"].into_iter().enumerate() {
        publish(rig, &q, &[id]);
        let mut later = receivers.iter_mut().skip(turn + 1);
        assert!(later.all(|receive| receive.poll(rig).is_none()), "it is not their turn");
        assert_eq!(ids(&receivers[turn].output(rig).unwrap()), [id]);
    }
}

pub fn one_message_more_than_the_first_receiver_takes_wakes_the_second(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut first = waiting(rig, &q, 2, patience(rig));
    let mut second = waiting(rig, &q, 2, patience(rig));
    assert!(first.poll(rig).is_none() && second.poll(rig).is_none());
    publish(rig, &q, &["a", "b", "c"]);
    let (first, second) = (first.output(rig).unwrap(), second.output(rig).unwrap());
    if rig.pace().is_exact() {
        assert_eq!((ids(&first), ids(&second)), (vec!["a", "b"], vec!["c"]));
    } else {
        // They come one after the other.
        let both: Vec<_> = ids(&first).into_iter().chain(ids(&second)).collect();
        assert!(!first.is_empty() && !second.is_empty() && ["a", "b", "c"].starts_with(&both), "{both:?}");
    }
}

pub fn a_dropped_receive_takes_nothing_and_passes_its_turn_on(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut first = waiting(rig, &q, 1, patience(rig));
    let mut second = waiting(rig, &q, 1, patience(rig));
    assert!(first.poll(rig).is_none() && second.poll(rig).is_none());
    publish(rig, &q, &["m"]);
    // Its turn has come, and it is dropped before it looks.
    drop(first);
    assert_eq!(ids(&second.output(rig).unwrap()), ["m"]);
    let mut third = waiting(rig, &q, 1, patience(rig));
    assert!(third.poll(rig).is_none());
    drop(third);
    publish(rig, &q, &["n"]);
    assert_eq!(drain(rig, &q), ["n"]);
}

pub fn a_receive_that_is_dropped_half_way_takes_nothing(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    // What is there at once is not waited for.
    let wait = if rig.pace().is_exact() { Duration::ZERO } else { patience(rig) };
    for times in 1..ASKED_MAX {
        let mut receive = waiting(rig, &q, 1, wait);
        let received = receive.asked(rig, times);
        drop(receive);
        if let Some(received) = received {
            let received = received.unwrap();
            assert_eq!(ids(&received), ["m"], "it was taken by a receive that was dropped");
            end(rig, &received[0], Outcome::Return { seen: false });
            break;
        }
    }
    assert_eq!(receive_one(rig, &q).attempt, 1, "nobody has seen it");
}

pub fn a_close_ends_the_wait(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut receive = waiting(rig, &q, 1, patience(rig));
    assert!(receive.poll(rig).is_none());
    rig.close();
    assert_eq!(kind(receive.output(rig)), Kind::Closed);
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
    let lasting = rig.broker().capabilities().lasting_holds;
    let left: &[&str] = if lasting { &["ready"] } else { &["held", "ready"] };
    assert_eq!(drain(rig, &q), left, "and has changed nothing");
}

pub fn deleting_the_queue_ends_the_wait(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    with_admin(rig, |admin| {
        let mut receive = waiting(rig, &q, 1, patience(rig));
        assert!(receive.poll(rig).is_none());
        run(rig, admin.delete(&q)).unwrap();
        assert_eq!(kind(receive.output(rig)), Kind::NotFound);
    });
}
