//! Holds that run out.

use forebay_core::delivery::{Delivery, Outcome};
use forebay_core::error::Kind;
use forebay_core::limits;

use super::super::Rig;
use super::super::scene::{
    Begun, a_while, drain, end, extend, has_time, held, ids, kind, late, publish, queue_with_short_hold,
    receive_one, run_out,
};

/// A delivery of the queue `q` whose hold has run out; `None` where the broker deals with such by itself.
fn silent(rig: &dyn Rig) -> Option<Delivery> {
    let q = queue_with_short_hold(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    rig.broker().capabilities().expired.then(|| {
        assert!(run_out(rig).is_empty());
        rig.pass(delivery.held_until.since(rig.now()) + late(rig));
        delivery
    })
}

pub fn a_hold_that_ran_out_is_offered_and_still_held(rig: &mut dyn Rig) {
    let Some(delivery) = silent(rig) else { return };
    let offered = run_out(rig);
    assert_eq!(ids(&offered), ["m"]);
    assert_eq!((offered[0].attempt, &offered[0].queue), (1, &delivery.queue));
    assert!(drain(rig, &delivery.queue).is_empty(), "nobody has decided yet");
    assert!(run_out(rig).is_empty(), "it is offered once");
    end(rig, &offered[0], Outcome::RetryAt(rig.now()));
    assert_eq!(receive_one(rig, &delivery.queue).attempt, 2);
}

pub fn what_nobody_settles_is_offered_again(rig: &mut dyn Rig) {
    if !has_time(rig, limits::EXPIRED_GRACE * 5) {
        return;
    }
    let Some(delivery) = silent(rig) else { return };
    for _ in 0..3 {
        assert_eq!(ids(&run_out(rig)), ["m"]);
        rig.pass(limits::EXPIRED_GRACE + late(rig));
    }
    end(rig, &run_out(rig)[0], Outcome::Done);
    rig.pass(limits::EXPIRED_GRACE * 2);
    assert!(run_out(rig).is_empty() && drain(rig, &delivery.queue).is_empty());
}

pub fn an_acked_delivery_is_never_offered(rig: &mut dyn Rig) {
    let q = queue_with_short_hold(rig, "q");
    publish(rig, &q, &["m"]);
    let delivery = receive_one(rig, &q);
    end(rig, &delivery, Outcome::Done);
    rig.pass(delivery.held_until.since(rig.now()) + a_while(rig));
    assert!(run_out(rig).is_empty());
}

pub fn a_late_ack_still_counts_until_the_end_is_settled(rig: &mut dyn Rig) {
    let Some(delivery) = silent(rig) else { return };
    let offered = run_out(rig);
    end(rig, &delivery, Outcome::Done);
    assert!(held(rig, &offered[0]).is_none());
    if has_time(rig, limits::EXPIRED_GRACE * 2) {
        rig.pass(limits::EXPIRED_GRACE * 2);
    }
    assert!(run_out(rig).is_empty() && drain(rig, &delivery.queue).is_empty());
}

pub fn what_was_offered_cannot_be_extended(rig: &mut dyn Rig) {
    let Some(delivery) = silent(rig) else { return };
    assert_eq!(run_out(rig).len(), 1);
    assert_eq!(extend(rig, &delivery, a_while(rig)), None);
}

pub fn a_close_ends_the_wait_for_ended_holds(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().expired {
        return;
    }
    let broker = rig.broker();
    let mut waits = Begun::new(async move { broker.expired().await });
    assert!(waits.poll(rig).is_none());
    rig.close();
    assert_eq!(kind(waits.output(rig)), Kind::Closed);
    rig.reopen();
}
