//! Looking a message up by its id.

use forebay_core::delivery::Outcome;
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{BrokerAdmin, Found, Place};
use forebay_core::queue::QueueName;

use super::super::super::Rig;
use super::super::super::scene::{
    a_while, drain, end, kind, message, name, publish, queue, receive_one, run, try_publish, with_admin_that,
};

fn find(rig: &dyn Rig, admin: &dyn BrokerAdmin, queue: &QueueName, id: &str) -> Option<Found> {
    run(rig, admin.find(queue, &MessageId::given(id).unwrap())).unwrap()
}

pub fn a_message_is_found_wherever_in_the_queue_it_is(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["held", "ready"]);
    let until = rig.now() + a_while(rig);
    let can_delay = rig.broker().capabilities().delay;
    if can_delay {
        let delayed = Message { not_before: Some(until), ..message("delayed") };
        try_publish(rig, &q, vec![delayed]).unwrap();
    }
    let held = receive_one(rig, &q);
    with_admin_that(
        rig,
        |can| can.find,
        |admin| {
            let found = find(rig, admin, &q, "ready").unwrap();
            assert_eq!((found.place, found.delivery.attempt), (Place::Ready, 1));
            assert_eq!(&*found.delivery.message.payload, b"ready");
            let found = find(rig, admin, &q, "held").unwrap();
            assert_eq!((found.place, found.delivery.attempt), (Place::Held(held.held_until), 1));
            if can_delay {
                assert_eq!(find(rig, admin, &q, "delayed").unwrap().place, Place::Delayed(until));
            }
            assert!(find(rig, admin, &q, "another").is_none());
        },
    );
}

pub fn finding_a_message_takes_nothing_and_a_finished_one_is_not_there(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b"]);
    with_admin_that(
        rig,
        |can| can.find,
        |admin| {
            assert!(find(rig, admin, &q, "a").is_some() && find(rig, admin, &q, "a").is_some());
            end(rig, &receive_one(rig, &q), Outcome::Done);
            assert!(find(rig, admin, &q, "a").is_none());
        },
    );
    assert_eq!(drain(rig, &q).last().map(String::as_str), Some("b"));
}

pub fn among_several_with_one_id_the_oldest_is_found(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let twin = |payload: &str| Message { payload: payload.into(), ..message("twin") };
    try_publish(rig, &q, vec![twin("first"), twin("second")]).unwrap();
    with_admin_that(
        rig,
        |can| can.find,
        |admin| {
            let payload =
                || find(rig, admin, &q, "twin").map(|found| found.delivery.message.payload.to_vec());
            assert_eq!(payload().unwrap(), b"first");
            let held = receive_one(rig, &q);
            assert_eq!(payload().unwrap(), b"first");
            end(rig, &held, Outcome::Done);
            assert_eq!(payload().unwrap(), b"second");
        },
    );
}

pub fn a_message_is_found_after_a_crash(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b"]);
    rig.crash();
    with_admin_that(rig, |can| can.find, |admin| assert!(find(rig, admin, &q, "b").is_some()));
}

pub fn finding_in_a_queue_that_is_not_there_is_not_found(rig: &mut dyn Rig) {
    with_admin_that(
        rig,
        |can| can.find,
        |admin| {
            let found = run(rig, admin.find(&name("none"), &MessageId::given("a").unwrap()));
            assert_eq!(kind(found), Kind::NotFound);
        },
    );
}
