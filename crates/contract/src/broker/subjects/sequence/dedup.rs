//! Messages that are published twice and taken once.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::QueueName;

use super::super::super::Rig;
use super::super::super::scene::{
    a_while, drain, end, kind, late, message, publish, queue, queue_with, receive_one, run, try_publish,
    with_admin,
};

fn can(rig: &dyn Rig) -> bool {
    rig.broker().capabilities().dedup
}

fn marked(id: &str, dedup_id: &str) -> Message {
    Message { dedup_id: Some(dedup_id.to_owned()), ..message(id) }
}

fn publish_marked(rig: &dyn Rig, queue: &QueueName, id: &str, dedup_id: &str) {
    let ids = try_publish(rig, queue, vec![marked(id, dedup_id)]).unwrap();
    assert_eq!(ids[0].as_str(), id, "whoever publishes again is answered as if for the first time");
}

pub fn a_message_is_taken_once_within_the_window(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dedup_window = a_while(rig));
    publish_marked(rig, &q, "first", "x");
    publish_marked(rig, &q, "other", "y");
    publish_marked(rig, &q, "again", "x");
    assert_eq!(drain(rig, &q), ["first", "other"]);
    rig.pass(a_while(rig) + late(rig));
    publish_marked(rig, &q, "later", "x");
    publish_marked(rig, &q, "again", "x");
    assert_eq!(drain(rig, &q), ["later"]);
}

pub fn messages_without_a_dedup_id_are_all_taken(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "a"]);
    assert_eq!(drain(rig, &q), ["a", "a"]);
}

pub fn without_a_window_all_are_taken(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dedup_window = Duration::ZERO);
    publish_marked(rig, &q, "first", "x");
    publish_marked(rig, &q, "again", "x");
    assert_eq!(drain(rig, &q), ["first", "again"]);
}

pub fn within_one_batch_the_first_is_taken(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue(rig, "q");
    let batch = vec![marked("a", "x"), message("b"), marked("c", "x"), marked("d", "y")];
    assert_eq!(try_publish(rig, &q, batch).unwrap().len(), 4);
    assert_eq!(drain(rig, &q), ["a", "b", "d"]);
}

pub fn what_was_taken_before_does_not_count_for_the_length(rig: &mut dyn Rig) {
    let can_refuse = rig.broker().capabilities().length_max;
    if !can(rig) || !can_refuse {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.length_max = 2);
    publish_marked(rig, &q, "a", "x");
    try_publish(rig, &q, vec![marked("b", "x"), marked("c", "y")]).unwrap();
    publish_marked(rig, &q, "d", "y");
    assert_eq!(kind(try_publish(rig, &q, vec![marked("e", "z")])), Kind::Full);
    assert_eq!(drain(rig, &q), ["a", "c"]);
}

pub fn a_refused_message_may_be_published_again(rig: &mut dyn Rig) {
    if !can(rig) || !rig.broker().capabilities().length_max {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.length_max = 1);
    publish(rig, &q, &["a"]);
    assert_eq!(kind(try_publish(rig, &q, vec![marked("b", "x")])), Kind::Full);
    end(rig, &receive_one(rig, &q), Outcome::Done);
    publish_marked(rig, &q, "b", "x");
    assert_eq!(drain(rig, &q), ["b"]);
}

pub fn a_settled_message_is_not_taken_again(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue(rig, "q");
    publish_marked(rig, &q, "done", "x");
    end(rig, &receive_one(rig, &q), Outcome::Done);
    publish_marked(rig, &q, "again", "x");
    assert!(drain(rig, &q).is_empty());
}

pub fn each_queue_remembers_its_own(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let (q, other) = (queue(rig, "q"), queue(rig, "other"));
    publish_marked(rig, &q, "a", "x");
    publish_marked(rig, &other, "b", "x");
    assert_eq!(drain(rig, &other), ["b"]);
}

pub fn a_purge_forgets_no_dedup_id_and_a_deletion_all(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue(rig, "q");
    publish_marked(rig, &q, "a", "x");
    with_admin(rig, |admin| {
        run(rig, admin.purge(&q)).unwrap();
        publish_marked(rig, &q, "b", "x");
        assert!(drain(rig, &q).is_empty());
        run(rig, admin.delete(&q)).unwrap();
        queue(rig, "q");
        publish_marked(rig, &q, "c", "x");
        assert_eq!(drain(rig, &q), ["c"]);
    });
}

pub fn a_dead_letter_is_a_dead_letter_whatever_its_dedup_id(rig: &mut dyn Rig) {
    if !can(rig) || !rig.broker().capabilities().dead_letter {
        return;
    }
    let dead = queue(rig, "dead");
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(dead.clone()));
    publish_marked(rig, &dead, "there", "x");
    publish_marked(rig, &q, "failed", "x");
    end(rig, &receive_one(rig, &q), Outcome::DeadLetter(Reason::Rejected));
    assert_eq!(drain(rig, &dead), ["there", "failed"]);
}

pub fn what_was_taken_is_remembered_over_a_crash(rig: &mut dyn Rig) {
    if !can(rig) {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dedup_window = a_while(rig));
    publish_marked(rig, &q, "ready", "x");
    publish_marked(rig, &q, "done", "y");
    end(rig, &receive_one(rig, &q), Outcome::Done);
    end(rig, &receive_one(rig, &q), Outcome::Done);
    rig.crash();
    publish_marked(rig, &q, "again", "x");
    publish_marked(rig, &q, "again", "y");
    assert!(drain(rig, &q).is_empty());
    rig.pass(a_while(rig) + late(rig));
    publish_marked(rig, &q, "later", "x");
    assert_eq!(drain(rig, &q), ["later"]);
}
