//! What an operator sees and does.

use forebay_core::delivery::{Outcome, Reason, Settled};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::QueueSettings;

use super::super::super::Rig;
use super::super::super::scene::{
    a_while, drain, end, kind, message, name, publish, queue, queue_with, receive, receive_one, run, settle,
    told, try_publish, try_receive, with_admin, with_admin_that,
};

const GIVEN_UP: Outcome = Outcome::DeadLetter(Reason::AttemptsSpent);

pub fn a_look_takes_nothing(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["a", "b", "c"]);
    with_admin_that(
        rig,
        |can| can.peek,
        |admin| {
            for _ in 0..2 {
                let looked = run(rig, admin.peek(&q, 2)).unwrap();
                let ids: Vec<_> = looked.iter().map(|peeked| peeked.delivery.message.id.as_str()).collect();
                assert_eq!(ids, ["a", "b"]);
                assert_eq!(looked[0].delivery.attempt, 1);
            }
            assert_eq!(drain(rig, &q), ["a", "b", "c"]);
            assert!(run(rig, admin.peek(&q, 2)).unwrap().is_empty());
        },
    );
}

pub fn a_purge_leaves_what_is_held(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    let mut messages = vec![message("held"), message("ready")];
    if rig.broker().capabilities().delay {
        messages.push(Message { not_before: Some(rig.now() + a_while(rig)), ..message("delayed") });
    }
    let purged = messages.len() as u64 - 1;
    try_publish(rig, &q, messages).unwrap();
    let held = receive_one(rig, &q);
    with_admin(rig, |admin| {
        assert_eq!(run(rig, admin.purge(&q)).unwrap(), purged);
        rig.pass(a_while(rig) * 2);
        assert_eq!(drain(rig, &q), [""; 0]);
        end(rig, &held, Outcome::Return { seen: false });
        assert_eq!(drain(rig, &q), ["held"]);
    });
}

pub fn a_deleted_queue_is_gone_and_can_be_declared_anew(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    publish(rig, &q, &["held", "ready"]);
    let held = receive_one(rig, &q);
    with_admin(rig, |admin| {
        run(rig, admin.delete(&q)).unwrap();
        assert_eq!(kind(try_publish(rig, &q, vec![message("m")])), Kind::NotFound);
        assert_eq!(kind(try_receive(rig, &q, 1)), Kind::NotFound);
        assert_eq!(kind(run(rig, admin.delete(&q))), Kind::NotFound);
        queue_with(rig, "q", |settings| settings.retry.attempt_max = 3);
        assert!(drain(rig, &q).is_empty());
        let settled = settle(rig, &q, held.id, Outcome::Done);
        assert_eq!(settled, Settled::NotHeld);
    });
}

pub fn a_queues_depth_and_counts_are_told(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.delay || !can.dead_letter {
        return;
    }
    let (q, _) = (queue(rig, "q"), queue(rig, "another"));
    publish(rig, &q, &["a", "b", "c", "d", "e"]);
    let deliveries = receive(rig, &q, 4);
    end(rig, &deliveries[0], Outcome::Done);
    end(rig, &deliveries[1], Outcome::RetryAt(rig.now() + a_while(rig) * 2));
    end(rig, &deliveries[2], GIVEN_UP);
    rig.pass(a_while(rig));
    with_admin_that(
        rig,
        |can| can.counts && can.list,
        |admin| {
            let info = run(rig, admin.queue(&q)).unwrap();
            assert_eq!(info.settings.name, q);
            let stats = info.stats;
            assert_eq!((stats.ready, stats.held, stats.delayed), (1, 1, 1));
            let counts = (
                stats.published,
                stats.delivered,
                stats.acked,
                stats.retried,
                stats.dead_lettered,
                stats.dropped,
            );
            assert_eq!(counts, (5, 4, 1, 1, 1, 0));
            assert!(u128::from(stats.oldest_ms) >= a_while(rig).as_millis());
            let all = run(rig, admin.queues()).unwrap();
            let names: Vec<_> = all.iter().map(|info| info.settings.name.as_str()).collect();
            assert_eq!(names, ["another", "forebay.parked", "q"]);
        },
    );
}

pub fn a_redriven_message_returns_with_fresh_attempts(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
    publish(rig, &q, &["m"]);
    end(rig, &receive_one(rig, &q), Outcome::RetryAt(rig.now()));
    end(rig, &receive_one(rig, &q), GIVEN_UP);
    with_admin(rig, |admin| {
        assert_eq!(run(rig, admin.redrive(&name("d"), 10)).unwrap(), 1);
        let again = receive_one(rig, &q);
        assert_eq!(again.attempt, 1);
        end(rig, &again, GIVEN_UP);
        let dead = receive_one(rig, &name("d"));
        assert_eq!(told(&dead.history), ["q attempts_spent x2 attempts 1 -"]);
    });
}

pub fn a_redrive_leaves_what_has_nowhere_to_go(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let d = queue(rig, "d");
    let to_d = |settings: &mut QueueSettings| settings.dead_letter = Some(name("d"));
    let (gone, stays) = (queue_with(rig, "gone", to_d), queue_with(rig, "stays", to_d));
    publish(rig, &d, &["never a dead letter"]);
    publish(rig, &gone, &["from gone"]);
    publish(rig, &stays, &["from stays"]);
    for queue in [&gone, &stays] {
        end(rig, &receive_one(rig, queue), GIVEN_UP);
    }
    with_admin(rig, |admin| {
        run(rig, admin.delete(&gone)).unwrap();
        assert_eq!(run(rig, admin.redrive(&d, 10)).unwrap(), 1);
        assert_eq!(drain(rig, &stays), ["from stays"]);
        assert_eq!(drain(rig, &d), ["never a dead letter", "from gone"]);
    });
}

pub fn a_redrive_leaves_what_there_is_no_room_for(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.dead_letter || !can.length_max {
        return;
    }
    let q = queue_with(rig, "q", |settings| {
        settings.dead_letter = Some(name("d"));
        settings.length_max = 2;
    });
    publish(rig, &q, &["a", "b"]);
    for delivery in receive(rig, &q, 2) {
        end(rig, &delivery, GIVEN_UP);
    }
    publish(rig, &q, &["c"]);
    with_admin(rig, |admin| {
        assert_eq!(run(rig, admin.redrive(&name("d"), 10)).unwrap(), 1);
        assert_eq!(drain(rig, &q), ["c", "a"]);
        assert_eq!(drain(rig, &name("d")), ["b"]);
    });
}

pub fn a_redrive_moves_no_more_than_asked_for(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
    publish(rig, &q, &["a", "b", "c"]);
    for delivery in receive(rig, &q, 3) {
        end(rig, &delivery, GIVEN_UP);
    }
    with_admin(rig, |admin| {
        assert_eq!(run(rig, admin.redrive(&name("d"), 2)).unwrap(), 2);
        assert_eq!(drain(rig, &q), ["a", "b"]);
        assert_eq!(drain(rig, &name("d")), ["c"]);
    });
}

pub fn administration_of_a_queue_that_is_not_there_is_not_found(rig: &mut dyn Rig) {
    with_admin(rig, |admin| {
        let nowhere = name("nowhere");
        assert_eq!(kind(run(rig, admin.queue(&nowhere))), Kind::NotFound);
        if admin.capabilities().peek {
            assert_eq!(kind(run(rig, admin.peek(&nowhere, 1))), Kind::NotFound);
        }
        assert_eq!(kind(run(rig, admin.purge(&nowhere))), Kind::NotFound);
        assert_eq!(kind(run(rig, admin.redrive(&nowhere, 1))), Kind::NotFound);
        assert_eq!(kind(run(rig, admin.delete(&nowhere))), Kind::NotFound);
    });
}
