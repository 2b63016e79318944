//! Messages that are given up, and where they go.

use forebay_core::delivery::{Delivery, Outcome, Reason, Settled};
use forebay_core::error::Kind;
use forebay_core::message::Message;
use forebay_core::queue::{DeadLetterExchange, Overflow, PARKED, QueueName, QueueSettings};

use super::super::Rig;
use super::super::scene::{
    drain, end, has_time, kind, message, name, patience, publish, queue, queue_with, receive_one, run,
    settle_with_note, told, try_publish, try_receive, with_admin,
};

const GIVEN_UP: Outcome = Outcome::DeadLetter(Reason::AttemptsSpent);

/// A queue whose dead letters go to `d`, with one message held.
fn failing(rig: &dyn Rig) -> Option<(QueueName, Delivery)> {
    rig.broker().capabilities().dead_letter.then(|| {
        let q = queue_with(rig, "q", |settings| settings.dead_letter = Some(name("d")));
        publish(rig, &q, &["m"]);
        let delivery = receive_one(rig, &q);
        (q, delivery)
    })
}

pub fn a_dead_letter_goes_to_the_queue_that_is_named(rig: &mut dyn Rig) {
    let Some((q, delivery)) = failing(rig) else { return };
    let d = queue(rig, "d");
    end(rig, &delivery, GIVEN_UP);
    assert!(drain(rig, &q).is_empty());
    assert_eq!(receive_one(rig, &d).message, delivery.message);
}

pub fn without_a_name_it_is_parked(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let q = queue(rig, "q");
    publish(rig, &q, &["m"]);
    end(rig, &receive_one(rig, &q), Outcome::DeadLetter(Reason::Rejected));
    let parked = receive_one(rig, &name(PARKED));
    assert_eq!(told(&parked.history), ["q rejected x1 attempts 1 -"]);
}

pub fn the_destination_is_declared_on_demand(rig: &mut dyn Rig) {
    let Some((_, delivery)) = failing(rig) else { return };
    assert!(try_receive(rig, &name("d"), 1).is_err());
    end(rig, &delivery, GIVEN_UP);
    assert_eq!(drain(rig, &name("d")), ["m"]);
}

pub fn it_brings_its_history_and_begins_its_attempts_afresh(rig: &mut dyn Rig) {
    let Some((q, delivery)) = failing(rig) else { return };
    end(rig, &delivery, Outcome::RetryAt(rig.now()));
    let delivery = receive_one(rig, &q);
    let settled = settle_with_note(rig, &q, delivery.id, GIVEN_UP, Some("no such customer"));
    assert_eq!(settled, Settled::Done);
    let dead = receive_one(rig, &name("d"));
    assert_eq!(dead.attempt, 1);
    assert_eq!(told(&dead.history), ["q attempts_spent x1 attempts 2 no such customer"]);
    let since = rig.now().since(dead.history[0].at);
    assert!(since <= patience(rig) && (!rig.pace().is_exact() || since.is_zero()), "{since:?} ago");
}

pub fn a_second_departure_counts_on_in_the_history(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let a = queue_with(rig, "a", |settings| settings.dead_letter = Some(name("b")));
    let b = queue_with(rig, "b", |settings| settings.dead_letter = Some(name("a")));
    publish(rig, &a, &["m"]);
    for queue in [&a, &b, &a, &b, &a] {
        end(rig, &receive_one(rig, queue), GIVEN_UP);
    }
    let dead = receive_one(rig, &b);
    assert_eq!(told(&dead.history), ["b attempts_spent x2 attempts 1 -", "a attempts_spent x3 attempts 1 -"]);
}

pub fn a_destination_at_its_length_takes_it_all_the_same(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().length_max {
        return;
    }
    let Some((_, delivery)) = failing(rig) else { return };
    let d = queue_with(rig, "d", |settings| settings.length_max = 1);
    publish(rig, &d, &["first"]);
    end(rig, &delivery, GIVEN_UP);
    assert_eq!(drain(rig, &d), ["first", "m"]);
}

pub fn a_parked_message_that_fails_again_stays_parked(rig: &mut dyn Rig) {
    if !rig.broker().capabilities().dead_letter {
        return;
    }
    let parked = queue(rig, PARKED);
    publish(rig, &parked, &["a", "b"]);
    end(rig, &receive_one(rig, &parked), GIVEN_UP);
    // Whether it waits or stands at the end: the other one is served first, and it is not lost.
    assert_eq!(receive_one(rig, &parked).message.id.as_str(), "b");
    let longest = QueueSettings::new(parked.clone()).retry.backoff.longest;
    if !has_time(rig, longest) {
        return;
    }
    rig.pass(longest);
    assert_eq!(receive_one(rig, &parked).message.id.as_str(), "a");
}

/// A queue whose dead letters are published to the default exchange with this key.
fn through(rig: &dyn Rig, key: Option<&str>) -> Option<QueueName> {
    rig.broker().capabilities().dead_letter_exchange.then(|| {
        queue_with(rig, "q", |settings| {
            let key = key.map(str::to_owned);
            settings.dead_letter_exchange = Some(DeadLetterExchange { exchange: String::new(), key });
            (settings.length_max, settings.overflow) = (1, Overflow::RejectDeadLetter);
        })
    })
}

pub fn an_exchange_brings_it_to_the_queue_of_its_key(rig: &mut dyn Rig) {
    for key in [None, Some("d")] {
        let Some(q) = through(rig, key) else { return };
        let d = queue(rig, "d");
        let message = Message { routing_key: Some("d".to_owned()), ..message("m") };
        try_publish(rig, &q, vec![message]).unwrap();
        end(rig, &receive_one(rig, &q), GIVEN_UP);
        rig.crash();
        let dead = receive_one(rig, &d);
        assert_eq!(told(&dead.history), ["q attempts_spent x1 attempts 1 -"]);
        assert_eq!((dead.attempt, dead.message.exchange.as_deref()), (1, Some("")));
        end(rig, &dead, Outcome::Done);
        with_admin(rig, |admin| run(rig, admin.delete(&q)).unwrap());
        if rig.admin().is_none() {
            return;
        }
    }
}

pub fn what_an_exchange_brings_to_no_queue_is_parked(rig: &mut dyn Rig) {
    let Some(q) = through(rig, Some("nowhere")) else { return };
    publish(rig, &q, &["m"]);
    end(rig, &receive_one(rig, &q), GIVEN_UP);
    assert_eq!(drain(rig, &name(PARKED)), ["m"]);
}

pub fn what_is_refused_goes_through_the_exchange_where_that_is_asked_for(rig: &mut dyn Rig) {
    let Some(q) = through(rig, Some("d")) else { return };
    let d = queue(rig, "d");
    publish(rig, &q, &["taken"]);
    assert_eq!(kind(try_publish(rig, &q, vec![message("refused")])), Kind::Full);
    assert_eq!(drain(rig, &q), ["taken"]);
    let dead = receive_one(rig, &d);
    assert_eq!(dead.message.id.as_str(), "refused");
    assert_eq!(told(&dead.history), ["q overflow x1 attempts 0 -"]);
}
