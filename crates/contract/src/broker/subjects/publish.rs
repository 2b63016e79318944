//! Taking messages in, up to the length of a queue.

use std::time::Duration;

use forebay_core::delivery::Outcome;
use forebay_core::error::{Kind, Retry};
use forebay_core::limits;
use forebay_core::message::{Headers, Message, Value};
use forebay_core::payload::Payload;
use forebay_core::queue::{Overflow, QueueName};

use super::super::Rig;
use super::super::scene::{
    a_while, drain, end, kind, message, name, publish, queue, queue_with, receive_one, try_publish,
};

pub fn a_message_comes_back_as_it_was_published(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut headers = Headers::new();
    headers.set("null", Value::Null);
    headers.set("flag", Value::Bool(true));
    headers.set("int", Value::Int(-5));
    headers.set("uint", Value::UInt(u64::MAX));
    headers.set("float", Value::Float(0.25));
    headers.set("time", Value::Time(rig.now()));
    headers.set("text", Value::Text("ä".into()));
    headers.set("bytes", Value::Bytes(vec![0, 255]));
    headers.set("list", Value::List(vec![Value::Int(1), Value::Table(Headers::new())]));
    let expiry = rig.broker().capabilities().expiry;
    let published = Message {
        payload: Payload::from(&[0, 1, 255][..]),
        content_type: Some("application/octet-stream".into()),
        headers,
        key: Some("customer 7".into()),
        expires_at: expiry.then(|| rig.now() + Duration::from_secs(60)),
        priority: 3,
        ..message("m")
    };
    try_publish(rig, &q, vec![published.clone()]).unwrap();
    assert_eq!(*receive_one(rig, &q).message, published);
    // A message without anything is one, too.
    let bare = Message { payload: Payload::empty(), ..message("bare") };
    try_publish(rig, &q, vec![bare.clone()]).unwrap();
    assert_eq!(*receive_one(rig, &q).message, bare);
}

pub fn ids_come_back_in_the_order_of_the_batch(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let batch = vec![message("b"), message("a"), message("b"), message("c")];
    let ids = try_publish(rig, &q, batch).unwrap();
    assert_eq!(ids.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["b", "a", "b", "c"]);
    let mut taken = drain(rig, &q);
    taken.sort_unstable();
    assert_eq!(taken, ["a", "b", "b", "c"], "each was taken once");
}

pub fn an_empty_batch_publishes_nothing(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &[]);
    assert!(drain(rig, &q).is_empty());
}

pub fn publishing_to_a_queue_that_is_not_there_is_not_found(rig: &mut dyn Rig) {
    assert_eq!(kind(try_publish(rig, &name("nowhere"), vec![message("m")])), Kind::NotFound);
}

pub fn a_message_of_20_mebibytes_comes_back_equal(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let payload: Vec<u8> = (0..20_u32 << 20).map(|place| (place / 4_099) as u8).collect();
    let large = Message { payload: payload.into(), ..message("large") };
    try_publish(rig, &q, vec![message("small"), large.clone(), message("behind")]).unwrap();
    assert_eq!(*receive_one(rig, &q).message, message("small"));
    assert!(*receive_one(rig, &q).message == large);
    assert_eq!(*receive_one(rig, &q).message, message("behind"));
}

pub fn a_message_over_its_limit_is_refused_and_nothing_of_its_batch_is_taken(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let large = Message { payload: vec![0; limits::MESSAGE_BYTES_MAX + 1].into(), ..message("large") };
    assert_eq!(kind(try_publish(rig, &q, vec![message("small"), large])), Kind::TooLarge);
    assert!(drain(rig, &q).is_empty());
}

fn short(rig: &dyn Rig, overflow: Overflow) -> Option<QueueName> {
    let can = rig.broker().capabilities();
    let can_overflow = overflow == Overflow::Reject || can.drop_head;
    (can.length_max && can_overflow).then(|| {
        queue_with(rig, "q", |settings| {
            settings.length_max = 3;
            settings.overflow = overflow;
        })
    })
}

pub fn a_full_queue_refuses_the_whole_batch(rig: &mut dyn Rig) {
    let Some(q) = short(rig, Overflow::Reject) else { return };
    publish(rig, &q, &["a", "b"]);
    let error = try_publish(rig, &q, vec![message("c"), message("d")]).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Full, Retry::Later));
    publish(rig, &q, &["e"]);
    assert_eq!(drain(rig, &q), ["a", "b", "e"]);
}

pub fn delayed_messages_count_and_held_ones_do_not(rig: &mut dyn Rig) {
    let Some(q) = short(rig, Overflow::Reject) else { return };
    publish(rig, &q, &["held", "a", "b"]);
    receive_one(rig, &q);
    if rig.broker().capabilities().delay {
        let delayed = Message { not_before: Some(rig.now() + a_while(rig)), ..message("c") };
        try_publish(rig, &q, vec![delayed]).unwrap();
    } else {
        publish(rig, &q, &["c"]);
    }
    assert_eq!(kind(try_publish(rig, &q, vec![message("d")])), Kind::Full);
}

pub fn a_settled_message_makes_room(rig: &mut dyn Rig) {
    let Some(q) = short(rig, Overflow::Reject) else { return };
    publish(rig, &q, &["a", "b", "c"]);
    end(rig, &receive_one(rig, &q), Outcome::Done);
    publish(rig, &q, &["d"]);
    assert_eq!(drain(rig, &q), ["b", "c", "d"]);
}

pub fn drop_head_drops_the_oldest_ready_message(rig: &mut dyn Rig) {
    let Some(q) = short(rig, Overflow::DropHead) else { return };
    publish(rig, &q, &["a", "b", "c"]);
    let held = receive_one(rig, &q);
    publish(rig, &q, &["d", "e"]);
    assert_eq!(drain(rig, &q), ["c", "d", "e"], "b was the oldest that nobody held");
    end(rig, &held, Outcome::Done);
}

pub fn what_comes_back_is_dropped_where_there_are_enough_without_it(rig: &mut dyn Rig) {
    let Some(q) = short(rig, Overflow::DropHead) else { return };
    publish(rig, &q, &["a", "b", "c"]);
    let held = receive_one(rig, &q);
    publish(rig, &q, &["d"]);
    end(rig, &held, Outcome::Return { seen: false });
    assert_eq!(drain(rig, &q), ["b", "c", "d"]);
}

/// A queue that has at most 10 bytes ready.
fn small(rig: &dyn Rig, overflow: Overflow) -> Option<QueueName> {
    let can = rig.broker().capabilities();
    let can_overflow = overflow == Overflow::Reject || can.drop_head;
    (can.length_bytes_max && can_overflow).then(|| {
        queue_with(rig, "q", |settings| {
            (settings.length_bytes_max, settings.overflow) = (Some(10), overflow);
        })
    })
}

pub fn a_batch_beyond_the_bytes_of_a_queue_is_refused(rig: &mut dyn Rig) {
    let Some(q) = small(rig, Overflow::Reject) else { return };
    publish(rig, &q, &["four"]);
    let error = try_publish(rig, &q, vec![message("four"), message("six")]).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Full, Retry::Later));
    publish(rig, &q, &["sixsix"]);
    assert_eq!(kind(try_publish(rig, &q, vec![message("1")])), Kind::Full);
    assert_eq!(drain(rig, &q), ["four", "sixsix"]);
}

pub fn the_bytes_of_what_is_held_do_not_count(rig: &mut dyn Rig) {
    let Some(q) = small(rig, Overflow::Reject) else { return };
    publish(rig, &q, &["ten bytes!"]);
    let held = receive_one(rig, &q);
    publish(rig, &q, &["ten more b"]);
    end(rig, &held, Outcome::Done);
    assert_eq!(kind(try_publish(rig, &q, vec![message("1")])), Kind::Full);
}

pub fn drop_head_drops_the_oldest_until_the_bytes_are_few_enough(rig: &mut dyn Rig) {
    let Some(q) = small(rig, Overflow::DropHead) else { return };
    publish(rig, &q, &["one", "two", "four"]);
    publish(rig, &q, &["a", "sixsix"]);
    assert_eq!(drain(rig, &q), ["a", "sixsix"]);
}
