//! Finished messages that are kept, and read again.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::ports::broker::ReplayFrom;
use forebay_core::queue::{QueueName, Retain};

use crate::broker::Rig;
use crate::broker::scene::{
    a_while, drain, end, has_time, kind, late, message, publish, queue, queue_with, receive_one, run,
    try_publish, with_admin,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A queue that retains for a minute, if the broker can.
fn retaining(rig: &dyn Rig) -> Option<QueueName> {
    let can = rig.broker().capabilities().retain && rig.admin().is_some();
    can.then(|| queue_with(rig, "kept", |settings| settings.retain = Retain::For(MINUTE)))
}

/// Positions and ids from there on.
fn replay(rig: &dyn Rig, queue: &QueueName, from: ReplayFrom, count_max: usize) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    with_admin(rig, |admin| {
        for replayed in run(rig, admin.replay(queue, from, count_max)).unwrap() {
            let id = replayed.message.id.as_str().to_owned();
            assert_eq!(&*replayed.message.payload, id.as_bytes());
            found.push((replayed.position, id));
        }
    });
    found
}

fn all(rig: &dyn Rig, queue: &QueueName) -> Vec<String> {
    replay(rig, queue, ReplayFrom::Position(0), 1_000).into_iter().map(|(_, id)| id).collect()
}

fn finish(rig: &dyn Rig, queue: &QueueName) {
    end(rig, &receive_one(rig, queue), Outcome::Done);
}

pub fn what_is_finished_can_be_read_again_with_all_the_rest_in_order(rig: &mut dyn Rig) {
    let Some(q) = retaining(rig) else { return };
    publish(rig, &q, &["first", "second", "third", "fourth"]);
    let first = receive_one(rig, &q);
    finish(rig, &q);
    let _held = receive_one(rig, &q);
    end(rig, &first, Outcome::Done);
    let mut later = vec![message("last")];
    if rig.broker().capabilities().delay {
        later.insert(0, Message { not_before: Some(rig.now() + a_while(rig)), ..message("delayed") });
    }
    let expected: Vec<_> = ["first", "second", "third", "fourth"]
        .into_iter()
        .chain(later.iter().map(|message| message.id.as_str()))
        .map(str::to_owned)
        .collect();
    try_publish(rig, &q, later).unwrap();
    for _ in 0..2 {
        assert_eq!(all(rig, &q), expected, "and nothing was taken");
    }
    assert_eq!(drain(rig, &q), ["fourth", "last"]);
}

pub fn a_replay_goes_on_from_a_position(rig: &mut dyn Rig) {
    let Some(q) = retaining(rig) else { return };
    publish(rig, &q, &["a", "b", "c", "d", "e"]);
    (0..3).for_each(|_| finish(rig, &q));
    let (mut from, mut seen) = (0, Vec::new());
    loop {
        let next = replay(rig, &q, ReplayFrom::Position(from), 2);
        assert!(next.len() <= 2);
        let Some((last, _)) = next.last() else { break };
        assert!(*last > from, "it does not go on behind {from}");
        from = *last;
        seen.extend(next.into_iter().map(|(_, id)| id));
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
}

pub fn a_replay_begins_at_a_time(rig: &mut dyn Rig) {
    let Some(q) = retaining(rig) else { return };
    let mut times = Vec::new();
    for id in ["a", "b", "c", "d"] {
        times.push(rig.now());
        publish(rig, &q, &[id]);
        rig.pass(a_while(rig));
    }
    (0..2).for_each(|_| finish(rig, &q));
    let ids = ["a", "b", "c", "d"];
    for (index, time) in times.into_iter().enumerate() {
        let from_then = replay(rig, &q, ReplayFrom::Time(time), 10);
        let from_then: Vec<_> = from_then.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(from_then, ids[index..]);
    }
    assert!(replay(rig, &q, ReplayFrom::Time(rig.now()), 10).is_empty());
}

pub fn retained_messages_are_forgotten_when_their_time_is_over(rig: &mut dyn Rig) {
    let Some(q) = retaining(rig) else { return };
    if !has_time(rig, MINUTE * 2) {
        return;
    }
    publish(rig, &q, &["old"]);
    finish(rig, &q);
    rig.pass(MINUTE / 2);
    publish(rig, &q, &["new", "late"]);
    finish(rig, &q);
    assert_eq!(all(rig, &q), ["old", "new", "late"]);
    rig.pass(MINUTE / 2 + a_while(rig));
    assert_eq!(all(rig, &q), ["new", "late"]);
    rig.pass(MINUTE);
    assert_eq!(all(rig, &q), ["late"], "what is not finished stays");
    finish(rig, &q);
    assert!(all(rig, &q).is_empty(), "its time is over");
}

pub fn retained_messages_leave_the_queues_length_alone(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.retain || !can.length_max {
        return;
    }
    let q = queue_with(rig, "short", |settings| {
        settings.retain = Retain::For(MINUTE);
        settings.length_max = 1;
    });
    for id in ["a", "b", "c"] {
        publish(rig, &q, &[id]);
        finish(rig, &q);
    }
    with_admin(rig, |admin| {
        assert_eq!(run(rig, admin.queue(&q)).unwrap().stats.retained, 3);
        assert_eq!(all(rig, &q), ["a", "b", "c"]);
        run(rig, admin.delete(&q)).unwrap();
        assert_eq!(kind(run(rig, admin.replay(&q, ReplayFrom::Position(0), 1))), Kind::NotFound);
    });
}

pub fn only_what_was_done_is_retained(rig: &mut dyn Rig) {
    let Some(q) = retaining(rig) else { return };
    if rig.broker().capabilities().expiry {
        let expires_at = Some(rig.now() + a_while(rig));
        try_publish(rig, &q, vec![Message { expires_at, ..message("expired") }]).unwrap();
        rig.pass(a_while(rig) + late(rig));
        assert!(drain(rig, &q).is_empty());
    }
    publish(rig, &q, &["done", "rejected", "purged"]);
    finish(rig, &q);
    if rig.broker().capabilities().dead_letter {
        end(rig, &receive_one(rig, &q), Outcome::DeadLetter(Reason::Rejected));
    }
    with_admin(rig, |admin| assert!(run(rig, admin.purge(&q)).is_ok()));
    assert_eq!(all(rig, &q), ["done"]);
}

pub fn retained_messages_survive_and_are_not_delivered_again(rig: &mut dyn Rig) {
    let Some(q) = retaining(rig) else { return };
    publish(rig, &q, &["a", "b", "c"]);
    (0..2).for_each(|_| finish(rig, &q));
    rig.crash();
    assert_eq!(all(rig, &q), ["a", "b", "c"]);
    assert_eq!(drain(rig, &q), ["c"]);
    if !has_time(rig, MINUTE * 2) {
        return;
    }
    rig.pass(MINUTE + a_while(rig));
    rig.crash();
    assert_eq!(all(rig, &q), ["c"]);
}

pub fn a_queue_that_retains_nothing_cannot_be_replayed(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a"]);
    with_admin(rig, |admin| {
        let refused = kind(run(rig, admin.replay(&q, ReplayFrom::Position(0), 1)));
        assert_eq!(refused, Kind::Unsupported);
    });
}
