//! Queues that hand nothing out for a while.

use forebay_core::delivery::Outcome;
use forebay_core::error::Kind;

use super::super::super::Rig;
use super::super::super::scene::{
    drain, end, held, ids, kind, name, patience, publish, queue, receive, receive_one, run, waiting,
    with_admin_that,
};

pub fn a_paused_queue_takes_messages_and_hands_none_out(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a"]);
    with_admin_that(
        rig,
        |can| can.pause,
        |admin| {
            assert!(!run(rig, admin.queue(&q)).unwrap().paused);
            for _ in 0..2 {
                run(rig, admin.pause(&q, true)).unwrap();
            }
            publish(rig, &q, &["b"]);
            assert!(receive(rig, &q, 10).is_empty());
            let info = run(rig, admin.queue(&q)).unwrap();
            assert_eq!((info.paused, info.stats.ready), (true, 2));
            for _ in 0..2 {
                run(rig, admin.pause(&q, false)).unwrap();
            }
            assert_eq!(drain(rig, &q), ["a", "b"]);
        },
    );
}

pub fn what_is_held_when_a_queue_is_paused_can_be_settled(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b"]);
    let (done, returned) = (receive_one(rig, &q), receive_one(rig, &q));
    with_admin_that(
        rig,
        |can| can.pause,
        |admin| {
            run(rig, admin.pause(&q, true)).unwrap();
            assert!(held(rig, &done).is_some());
            end(rig, &done, Outcome::Done);
            end(rig, &returned, Outcome::Return { seen: false });
            assert!(receive(rig, &q, 10).is_empty());
            run(rig, admin.pause(&q, false)).unwrap();
            assert_eq!(drain(rig, &q), ["b"]);
        },
    );
}

pub fn resuming_wakes_all_who_wait(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    with_admin_that(
        rig,
        |can| can.pause,
        |admin| {
            run(rig, admin.pause(&q, true)).unwrap();
            let mut first = waiting(rig, &q, 1, patience(rig));
            let mut second = waiting(rig, &q, 1, patience(rig));
            assert!(first.poll(rig).is_none() && second.poll(rig).is_none());
            publish(rig, &q, &["a", "b"]);
            assert!(first.poll(rig).is_none() && second.poll(rig).is_none());
            run(rig, admin.pause(&q, false)).unwrap();
            assert_eq!(ids(&first.output(rig).unwrap()), ["a"]);
            assert_eq!(ids(&second.output(rig).unwrap()), ["b"]);
        },
    );
}

pub fn a_pause_survives_a_crash_and_so_does_its_end(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a"]);
    if let Some(admin) = rig.admin().filter(|admin| admin.capabilities().pause) {
        run(rig, admin.pause(&q, true)).unwrap();
    } else {
        return;
    }
    rig.crash();
    assert!(receive(rig, &q, 10).is_empty());
    with_admin_that(rig, |can| can.pause, |admin| run(rig, admin.pause(&q, false)).unwrap());
    rig.crash();
    assert_eq!(drain(rig, &q), ["a"]);
}

pub fn pausing_a_queue_that_is_not_there_is_not_found(rig: &mut dyn Rig) {
    with_admin_that(
        rig,
        |can| can.pause,
        |admin| {
            assert_eq!(kind(run(rig, admin.pause(&name("none"), true))), Kind::NotFound);
        },
    );
}
