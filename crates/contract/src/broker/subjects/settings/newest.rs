//! Queues that keep only the newest waiting message of a key.

use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::QueueName;

use crate::broker::Rig;
use crate::broker::scene::{
    a_while, drain, end, kind, message, queue_with, receive_one, run, try_publish, with_admin,
};

/// A queue that keeps the newest of a key, if the broker can.
fn newest(rig: &dyn Rig) -> Option<QueueName> {
    let can = rig.broker().capabilities().newest_by_key;
    can.then(|| queue_with(rig, "newest", |settings| settings.newest_by_key = true))
}

fn keyed(id: &str, key: &str) -> Message {
    Message { key: Some(key.to_owned()), ..message(id) }
}

fn publish(rig: &dyn Rig, queue: &QueueName, id: &str, key: &str) {
    try_publish(rig, queue, vec![keyed(id, key)]).unwrap();
}

pub fn a_newer_message_replaces_the_one_that_waits_with_its_key(rig: &mut dyn Rig) {
    let Some(q) = newest(rig) else { return };
    for (id, key) in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("c1", "c"), ("a3", "a"), ("b2", "b")] {
        publish(rig, &q, id, key);
    }
    with_admin(rig, |admin| {
        let stats = run(rig, admin.queue(&q)).unwrap().stats;
        assert_eq!((stats.ready, stats.published, stats.dropped), (3, 6, 3));
    });
    assert_eq!(drain(rig, &q), ["c1", "a3", "b2"]);
}

pub fn a_delayed_message_is_replaced_and_replaces(rig: &mut dyn Rig) {
    let Some(q) = newest(rig).filter(|_| rig.broker().capabilities().delay) else { return };
    let delayed = |id, key| Message { not_before: Some(rig.now() + a_while(rig)), ..keyed(id, key) };
    try_publish(rig, &q, vec![delayed("a1", "a"), keyed("b1", "b")]).unwrap();
    try_publish(rig, &q, vec![keyed("a2", "a"), delayed("b2", "b")]).unwrap();
    assert_eq!(drain(rig, &q), ["a2"]);
    rig.pass(a_while(rig));
    assert_eq!(drain(rig, &q), ["b2"]);
}

pub fn messages_without_a_key_are_left_alone(rig: &mut dyn Rig) {
    let Some(q) = newest(rig) else { return };
    try_publish(rig, &q, vec![message("1"), message("2"), keyed("a", "a")]).unwrap();
    assert_eq!(drain(rig, &q), ["1", "2", "a"]);
}

pub fn a_held_message_is_left_alone_and_gives_way_when_it_comes_back(rig: &mut dyn Rig) {
    let Some(q) = newest(rig) else { return };
    for outcome in [Outcome::Return { seen: false }, Outcome::RetryAt(rig.now())] {
        publish(rig, &q, "old", "a");
        let held = receive_one(rig, &q);
        publish(rig, &q, "new", "a");
        end(rig, &held, outcome);
        let new = receive_one(rig, &q);
        assert_eq!(new.message.id.as_str(), "new");
        assert!(drain(rig, &q).is_empty());
        end(rig, &new, Outcome::Done);
    }
    publish(rig, &q, "old", "a");
    let held = receive_one(rig, &q);
    publish(rig, &q, "new", "a");
    end(rig, &held, Outcome::Done);
    assert_eq!(drain(rig, &q), ["new"]);
}

pub fn a_held_message_that_comes_back_to_no_newer_one_stays_and_is_replaced_later(rig: &mut dyn Rig) {
    let Some(q) = newest(rig) else { return };
    publish(rig, &q, "1", "a");
    let first = receive_one(rig, &q);
    publish(rig, &q, "2", "a");
    end(rig, &receive_one(rig, &q), Outcome::Done);
    end(rig, &first, Outcome::Return { seen: false });
    let first = receive_one(rig, &q);
    assert_eq!(first.message.id.as_str(), "1");
    end(rig, &first, Outcome::Return { seen: false });
    publish(rig, &q, "3", "a");
    assert_eq!(drain(rig, &q), ["3"]);
}

pub fn of_a_batch_the_last_message_with_a_key_stays(rig: &mut dyn Rig) {
    let Some(q) = newest(rig) else { return };
    publish(rig, &q, "a0", "a");
    let batch = vec![keyed("a1", "a"), keyed("b1", "b"), keyed("a2", "a"), message("none"), keyed("a3", "a")];
    let ids = try_publish(rig, &q, batch).unwrap();
    let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["a1", "b1", "a2", "none", "a3"], "all were taken");
    assert_eq!(drain(rig, &q), ["b1", "none", "a3"]);
}

pub fn a_queue_at_its_length_takes_what_replaces(rig: &mut dyn Rig) {
    if !(rig.broker().capabilities().newest_by_key && rig.broker().capabilities().length_max) {
        return;
    }
    let q = queue_with(rig, "short", |settings| {
        settings.newest_by_key = true;
        settings.length_max = 2;
    });
    try_publish(rig, &q, vec![keyed("a1", "a"), keyed("b1", "b")]).unwrap();
    assert_eq!(kind(try_publish(rig, &q, vec![keyed("c1", "c")])), Kind::Full);
    publish(rig, &q, "a2", "a");
    assert_eq!(drain(rig, &q), ["b1", "a2"]);
}

pub fn what_was_replaced_does_not_come_back_after_a_restart(rig: &mut dyn Rig) {
    let Some(q) = newest(rig) else { return };
    publish(rig, &q, "a1", "a");
    publish(rig, &q, "b1", "b");
    let held = receive_one(rig, &q);
    publish(rig, &q, "a2", "a");
    publish(rig, &q, "b2", "b");
    rig.crash();
    publish(rig, &q, "b3", "b");
    end(rig, &held, Outcome::Return { seen: false });
    assert_eq!(drain(rig, &q), ["a2", "b3"]);
    rig.crash();
    rig.pass(2 * a_while(rig));
    with_admin(rig, |admin| {
        let stats = run(rig, admin.queue(&q)).unwrap().stats;
        assert_eq!(stats.ready + stats.held, 2);
    });
}

pub fn a_dead_letter_stays_where_a_newer_message_is(rig: &mut dyn Rig) {
    let Some(_) = newest(rig).filter(|_| rig.broker().capabilities().dead_letter) else { return };
    let dead = queue_with(rig, "dead", |_| ());
    let q = queue_with(rig, "with dead", |settings| {
        settings.newest_by_key = true;
        settings.dead_letter = Some(dead.clone());
    });
    for (id, key) in [("a1", "a"), ("b1", "b")] {
        publish(rig, &q, id, key);
        end(rig, &receive_one(rig, &q), Outcome::DeadLetter(Reason::Rejected));
    }
    publish(rig, &q, "a2", "a");
    with_admin(rig, |admin| assert_eq!(run(rig, admin.redrive(&dead, 10)).unwrap(), 1));
    assert_eq!(drain(rig, &q), ["a2", "b1"]);
    assert_eq!(drain(rig, &dead), ["a1"]);
}
