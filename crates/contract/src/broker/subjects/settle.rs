//! How deliveries end.

use forebay_core::delivery::{DeliveryId, Outcome, Settled};

use super::super::Rig;
use super::super::scene::{
    a_while, drain, end, held, late, publish, queue, queue_with_short_hold, receive_one, settle,
};

pub fn what_is_done_does_not_come_back(rig: &mut dyn Rig) {
    let q = queue_with_short_hold(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    end(rig, &delivery, Outcome::Done);
    rig.pass(delivery.held_until.since(rig.now()) + a_while(rig));
    assert!(drain(rig, &q).is_empty());
}

pub fn settling_twice_says_that_it_is_not_held(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    end(rig, &delivery, Outcome::Done);
    for outcome in [Outcome::Done, Outcome::Return { seen: false }, Outcome::RetryAt(rig.now())] {
        assert_eq!(settle(rig, &q, delivery.id, outcome), Settled::NotHeld);
    }
    assert!(drain(rig, &q).is_empty());
}

pub fn a_returned_message_is_ready_at_once_and_the_attempt_does_not_count(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    for _ in 0..3 {
        let delivery = receive_one(rig, &q);
        assert_eq!(delivery.attempt, 1);
        end(rig, &delivery, Outcome::Return { seen: false });
    }
}

pub fn a_message_that_was_seen_is_ready_at_once_in_its_place_and_the_attempt_counts(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let ids: &[&str] = if rig.broker().capabilities().place { &["m", "n"] } else { &["m"] };
    publish(rig, &q, ids);
    for attempt in 1..=3 {
        let delivery = receive_one(rig, &q);
        assert_eq!((delivery.message.id.as_str(), delivery.attempt), ("m", attempt));
        end(rig, &delivery, Outcome::Return { seen: true });
    }
    assert_eq!(drain(rig, &q), ids);
}

pub fn a_late_ack_does_not_settle_anothers_delivery(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let first = receive_one(rig, &q);
    end(rig, &first, Outcome::Return { seen: false });
    let second = receive_one(rig, &q);
    assert_eq!(settle(rig, &q, first.id, Outcome::Done), Settled::NotHeld);
    assert!(held(rig, &first).is_none());
    assert!(held(rig, &second).is_some());
    end(rig, &second, Outcome::Done);
}

pub fn a_delivery_is_settled_only_in_its_own_queue(rig: &mut dyn Rig) {
    let (q, other) = (queue(rig, "q"), queue(rig, "other"));
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    assert_eq!(settle(rig, &other, delivery.id, Outcome::Done), Settled::NotHeld);
    let unknown = DeliveryId { position: delivery.id.position + 1, ..delivery.id };
    assert_eq!(settle(rig, &q, unknown, Outcome::Done), Settled::NotHeld);
    end(rig, &delivery, Outcome::Done);
}

pub fn a_retried_message_comes_back_at_its_time_with_its_attempts_counted(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    for attempt in 1..=3 {
        let delivery = receive_one(rig, &q);
        assert_eq!(delivery.attempt, attempt);
        end(rig, &delivery, Outcome::RetryAt(rig.now() + a_while(rig)));
        assert!(drain(rig, &q).is_empty(), "its time has not come");
        rig.pass(a_while(rig) + late(rig));
    }
    assert_eq!(drain(rig, &q), ["m"]);
}

pub fn a_retry_in_the_past_is_ready_at_once(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    end(rig, &delivery, Outcome::RetryAt(rig.now()));
    assert_eq!(receive_one(rig, &q).attempt, 2);
}
