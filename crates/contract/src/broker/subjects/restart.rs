//! What survives: a close and a new start, and a crash that loses all that was not durable.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Reason, Settled};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::{Overflow, QueueSettings};

use super::super::Rig;
use super::super::scene::{
    a_while, drain, end, ensure, held, ids, kind, late, message, name, publish, queue, queue_with,
    queue_with_short_hold, receive, receive_one, run, run_out, settle_with_note, told, try_publish,
    try_receive,
};

/// The ways to stop and start.
fn each_way(rig: &mut dyn Rig, mut act: impl FnMut(&mut dyn Rig, &str, fn(&mut dyn Rig))) {
    act(rig, "closed", |rig| {
        rig.close();
        rig.reopen();
    });
    act(rig, "crashed", |rig| rig.crash());
}

pub fn what_was_confirmed_survives(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    each_way(rig, |rig, _, restart| {
        publish(rig, &q, &["a", "b"]);
        publish(rig, &q, &["c"]);
        restart(rig);
        assert_eq!(drain_and_finish(rig), ["a", "b", "c"]);
    });
}

fn drain_and_finish(rig: &dyn Rig) -> Vec<String> {
    let deliveries = receive(rig, &name("q"), 1_000);
    deliveries.iter().for_each(|delivery| end(rig, delivery, Outcome::Done));
    ids(&deliveries).into_iter().map(str::to_owned).collect()
}

pub fn what_was_settled_does_not_come_back(rig: &mut dyn Rig) {
    let q = queue(rig, "q");
    each_way(rig, |rig, _, restart| {
        publish(rig, &q, &["a", "b", "c"]);
        let deliveries = receive(rig, &q, 2);
        end(rig, &deliveries[1], Outcome::Done);
        end(rig, &deliveries[0], Outcome::Return { seen: false });
        restart(rig);
        assert_eq!(drain_and_finish(rig), ["a", "c"]);
    });
}

pub fn order_and_attempts_survive(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().attempts {
        return;
    }
    let q = queue(rig, "q");
    each_way(rig, |rig, _, restart| {
        let place = rig.broker().capabilities().place;
        publish(rig, &q, if place { &["a", "b"] } else { &["a"] });
        for _ in 0..2 {
            end(rig, &receive_one(rig, &q), Outcome::RetryAt(rig.now()));
        }
        restart(rig);
        let deliveries = receive(rig, &q, 2);
        let told: Vec<_> = deliveries.iter().map(|d| (d.message.id.as_str(), d.attempt)).collect();
        let expected = [("a", 3), ("b", 1)];
        assert_eq!(told, expected[..if place { 2 } else { 1 }]);
        deliveries.iter().for_each(|delivery| end(rig, delivery, Outcome::Done));
    });
}

pub fn a_hold_survives_and_an_ack_after_the_restart_counts(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    if !can.expired || !can.lasting_holds {
        return;
    }
    let q = queue_with_short_hold(rig, "q");
    each_way(rig, |rig, _, restart| {
        publish(rig, &q, &["acked", "silent"]);
        let deliveries = receive(rig, &q, 2);
        // A confirmed publish behind the deliveries makes them durable as well.
        publish(rig, &q, &["later"]);
        restart(rig);
        assert_eq!(drain_and_finish(rig), ["later"], "the others are held");
        assert_eq!(held(rig, &deliveries[1]).unwrap().held_until, deliveries[1].held_until);
        end(rig, &deliveries[0], Outcome::Done);
        rig.pass(deliveries[1].held_until.since(rig.now()) + late(rig));
        let offered = run_out(rig);
        assert_eq!(ids(&offered), ["silent"]);
        end(rig, &offered[0], Outcome::Done);
    });
}

pub fn a_delay_survives(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().delay {
        return;
    }
    let q = queue(rig, "q");
    each_way(rig, |rig, _, restart| {
        let delayed = Message { not_before: Some(rig.now() + a_while(rig)), ..message("delayed") };
        try_publish(rig, &q, vec![delayed, message("retried")]).unwrap();
        end(rig, &receive_one(rig, &q), Outcome::RetryAt(rig.now() + a_while(rig) * 2));
        restart(rig);
        assert!(receive(rig, &q, 2).is_empty());
        rig.pass(a_while(rig) + late(rig));
        assert_eq!(drain_and_finish(rig), ["delayed"]);
        rig.pass(a_while(rig) + late(rig));
        assert_eq!(drain_and_finish(rig), ["retried"]);
    });
}

pub fn a_dead_letter_survives_with_its_history(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
    each_way(rig, |rig, way, restart| {
        publish(rig, &q, &[way]);
        let given_up = Outcome::DeadLetter(Reason::Rejected);
        let settled = settle_with_note(rig, &q, receive_one(rig, &q).id, given_up, Some("why"));
        assert_eq!(settled, Settled::Done);
        restart(rig);
        assert!(drain(rig, &q).is_empty());
        let dead = receive_one(rig, &name("d"));
        assert_eq!(dead.message.id.as_str(), way);
        assert_eq!(told(&dead.history), ["q rejected x1 attempts 1 why"]);
        end(rig, &dead, Outcome::Done);
    });
}

pub fn settings_survive(rig: &mut dyn Rig) {
    let can = rig.broker().capabilities();
    let mut settings = QueueSettings::new(name("q"));
    settings.retry.attempt_max = 3;
    settings.retry.backoff.first = Duration::from_nanos(1_500);
    settings.retry.backoff.jitter = 0.1 + 0.2;
    settings.dead_letter = Some(name("d"));
    if can.length_max {
        settings.length_max = 12;
    }
    if can.drop_head {
        settings.overflow = Overflow::DropHead;
    }
    ensure(rig, &settings).unwrap();
    each_way(rig, |rig, _, restart| {
        restart(rig);
        ensure(rig, &settings).unwrap();
        assert_eq!(kind(ensure(rig, &QueueSettings::new(name("q")))), Kind::Conflict);
    });
}

pub fn messages_purged_and_queues_deleted_do_not_come_back(rig: &mut dyn Rig) {
    each_way(rig, |rig, _, restart| {
        let (q, gone) = (queue(rig, "q"), queue(rig, "gone"));
        publish(rig, &q, &["held", "purged"]);
        publish(rig, &gone, &["deleted"]);
        let delivery = receive_one(rig, &q);
        let Some(admin) = rig.admin() else { return };
        assert_eq!(run(rig, admin.purge(&q)).unwrap(), 1);
        run(rig, admin.delete(&gone)).unwrap();
        drop(admin);
        restart(rig);
        if rig.broker().capabilities().lasting_holds {
            assert!(drain(rig, &q).is_empty());
            end(rig, &delivery, Outcome::Done);
        } else {
            assert_eq!(drain_and_finish(rig), ["held"]);
        }
        assert_eq!(kind(try_receive(rig, &gone, 1)), Kind::NotFound);
    });
}

pub fn a_redriven_message_is_in_one_place_only(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
    each_way(rig, |rig, _, restart| {
        publish(rig, &q, &["m"]);
        end(rig, &receive_one(rig, &q), Outcome::DeadLetter(Reason::Rejected));
        let Some(admin) = rig.admin() else { return };
        assert_eq!(run(rig, admin.redrive(&name("d"), 10)).unwrap(), 1);
        drop(admin);
        restart(rig);
        assert!(drain(rig, &name("d")).is_empty());
        assert_eq!(drain_and_finish(rig), ["m"]);
    });
}
