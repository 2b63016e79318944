//! The room that messages and their copies need: in the log, and in queues whose bytes are limited.

use std::time::Duration;

use forebay_core::delivery::{Outcome, Reason, Settled};
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::message::Message;
use forebay_core::ports::broker::Broker;
use forebay_core::queue::{Overflow, PARKED, QueueSettings, Retain};
use forebay_log::Class;

use super::tests::{bind, message, name, publish, queue};
use crate::bench::Bench;

#[test]
fn a_log_that_is_not_ready_for_all_copies_takes_none() {
    let mut options = Bench::new(1_000).options;
    options.log.pending_bytes_max = crate::bench::SEGMENT as usize;
    let bench = Bench::new(1_000);
    let bench = Bench::open(bench.files.clone(), bench.clock.clone(), options);
    queue(&bench, "q", "amq.fanout", None, |_| ());
    for to in ["a", "b"] {
        bind(&bench, "amq.fanout", to, "");
        bench.write();
    }
    publish(&bench, "q", Message { payload: vec![7; 1_000].into(), ..message("", "q") });
    let delivery = bench.receive(&name("q")).unwrap();
    let log = &bench.engine().journal.log;
    while log.append(Class::Free, 7, &[&[0; 500]]).is_ok() {}
    let give_up =
        || bench.engine().settle(&name("q"), delivery.id, Outcome::DeadLetter(Reason::Rejected), None);
    assert_eq!(give_up().unwrap_err().kind(), Kind::Full);
    assert_eq!(["q", "a", "b"].map(|queue| bench.depth(&name(queue))), [1, 0, 0]);
    bench.write();
    assert!(give_up().unwrap().is_some());
    assert_eq!(["q", "a", "b"].map(|queue| bench.depth(&name(queue))), [0, 1, 1]);
}

#[test]
fn copies_that_need_more_than_is_made_ready_unasked_are_one_that_is_parked_and_hold_nobody_up() {
    let bench = Bench::new(1_000);
    let ttl = |settings: &mut QueueSettings| settings.message_ttl = Some(Duration::from_secs(1));
    queue(&bench, "q", "amq.fanout", None, ttl);
    let copies = limits::log::SEGMENTS_AHEAD + 1;
    let to: Vec<_> = (0..copies).map(|number| format!("to {number}")).collect();
    for to in &to {
        bind(&bench, "amq.fanout", to, "");
        bench.write();
    }
    publish(&bench, "q", Message { payload: vec![7; 3_000].into(), ..message("", "q") });
    bench.clock.advance(Duration::from_secs(1));
    publish(&bench, "q", message("", "q"));
    assert_eq!(bench.receive(&name("q")).unwrap().message.payload.len(), 4, "it is its turn");
    bench.write();
    let bench = bench.crash();
    assert!(to.iter().all(|to| bench.depth(&name(to)) == 0));
    assert_eq!((bench.depth(&name("q")), bench.depth(&name(PARKED))), (1, 1));
}

#[test]
fn copies_for_which_the_disk_has_no_space_are_one_that_is_parked() {
    let bench = Bench::new(1_000);
    queue(&bench, "q", "amq.fanout", None, |_| ());
    for to in ["a", "b", "c", "d"] {
        bind(&bench, "amq.fanout", to, "");
    }
    bench.queue(PARKED);
    publish(&bench, "q", Message { payload: vec![7; 2_500].into(), ..message("", "q") });
    bench.write();
    let delivery = bench.receive(&name("q")).unwrap();
    bench.write();
    bench.files.limit_bytes(Some(bench.files.used_bytes()));
    while bench.try_publish(&name("a"), 100).is_ok() {
        bench.write();
    }
    let depth = bench.depth(&name("a"));
    let settled = bench.until_ready(bench.broker.settle(
        &name("q"),
        delivery.id,
        Outcome::DeadLetter(Reason::Rejected),
        None,
    ));
    assert_eq!(settled.unwrap(), Settled::Done);
    assert_eq!(["q", "a", "b", PARKED].map(|queue| bench.depth(&name(queue))), [0, depth, 0, 1]);
}

#[test]
fn whoever_can_wait_for_room_for_all_copies_does() {
    let bench = Bench::new(1_000);
    queue(&bench, "q", "amq.fanout", None, |_| ());
    let to = ["a", "b", "c", "d"];
    for to in to {
        bind(&bench, "amq.fanout", to, "");
        bench.write();
    }
    publish(&bench, "q", Message { payload: vec![7; 3_000].into(), ..message("", "q") });
    bench.write();
    let delivery = bench.receive(&name("q")).unwrap();
    let log = &bench.engine().journal.log;
    while log.append(Class::Free, 7, &[&[0; 3_000]]).is_ok() {}
    let outcome = Outcome::DeadLetter(Reason::Rejected);
    let settled = bench.until_ready(bench.broker.settle(&name("q"), delivery.id, outcome, None));
    assert_eq!(settled.unwrap(), Settled::Done);
    assert!(to.iter().all(|to| bench.depth(&name(to)) == 1));
}

#[test]
fn the_bytes_of_what_is_ready_count_and_the_oldest_go_beyond_them() {
    let bench = Bench::new(1_000);
    let mut settings = QueueSettings::new(name("q"));
    (settings.length_bytes_max, settings.overflow) = (Some(100), Overflow::DropHead);
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
    let sized = |bytes: usize| Message { payload: vec![7; bytes].into(), ..message("", "q") };
    for bytes in [40, 50, 10] {
        publish(&bench, "q", sized(bytes));
    }
    let held = bench.receive(&settings.name).unwrap();
    publish(&bench, "q", sized(40));
    assert_eq!(bench.depth(&settings.name), 4, "what is held does not count");
    bench.write();
    let bench = bench.crash();
    publish(&bench, "q", sized(1));
    assert_eq!(bench.depth(&settings.name), 4, "one has gone");
    bench.settle(&held, Outcome::Done);
    let lengths: Vec<_> =
        std::iter::from_fn(|| bench.receive(&settings.name)).map(|one| one.message.payload.len()).collect();
    assert_eq!(lengths, [10, 40, 1]);
}

#[test]
fn a_publish_beyond_the_bytes_of_a_queue_that_refuses_is_refused() {
    let bench = Bench::new(1_000);
    let mut settings = QueueSettings::new(name("q"));
    settings.length_bytes_max = Some(100);
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
    bench.publish(&settings.name, 60);
    assert_eq!(bench.try_publish(&settings.name, 41), Err(Kind::Full));
    assert_eq!(bench.try_publish(&settings.name, 40), Ok(()));
    let held = bench.receive(&settings.name).unwrap();
    assert_eq!(bench.try_publish(&settings.name, 60), Ok(()));
    bench.settle(&held, Outcome::Done);
    bench.until_ready(bench.engine().purge(&settings.name)).unwrap();
    assert_eq!(bench.try_publish(&settings.name, 100), Ok(()));
}

#[test]
fn what_is_replaced_makes_room_for_the_bytes_of_what_replaces_it() {
    let bench = Bench::new(1_000);
    let mut settings = QueueSettings::new(name("q"));
    (settings.length_bytes_max, settings.newest_by_key) = (Some(100), true);
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
    let keyed = |key: &str, bytes: usize| Message {
        key: Some(key.to_owned()),
        payload: vec![7; bytes].into(),
        ..message("", "q")
    };
    let publish = |messages: &[Message]| bench.publish_all(&settings.name, messages.to_vec());
    assert_eq!(publish(&[keyed("k", 40)]), Ok(()));
    assert_eq!(publish(&[keyed("k", 101)]), Err(Kind::Full));
    assert_eq!(publish(&[keyed("k", 100)]), Ok(()));
    assert_eq!(publish(&[keyed("other", 1)]), Err(Kind::Full));
    assert_eq!(publish(&[keyed("k", 90), keyed("k", 60), keyed("other", 40)]), Ok(()));
    let held = bench.receive(&settings.name).unwrap();
    assert_eq!(publish(&[keyed("k", 61)]), Err(Kind::Full), "what is held is not replaced");
    assert_eq!(publish(&[keyed("k", 60)]), Ok(()));
    bench.settle(&held, Outcome::Done);
}

#[test]
fn what_a_queue_has_taken_before_needs_no_room_and_is_no_dead_letter() {
    let bench = Bench::new(1_000);
    queue(&bench, "q", "", Some("dead"), |settings| {
        (settings.length_bytes_max, settings.overflow) = (Some(100), Overflow::RejectDeadLetter);
        settings.dedup_window = Duration::from_secs(60);
    });
    bench.queue("dead");
    let once = |id: &str, bytes: usize| Message {
        dedup_id: Some(id.to_owned()),
        payload: vec![7; bytes].into(),
        ..message("", "q")
    };
    let publish = |messages: &[Message]| bench.publish_all(&name("q"), messages.to_vec());
    assert_eq!(publish(&[once("first", 80)]), Ok(()));
    assert_eq!(publish(&[once("first", 80), once("second", 20)]), Ok(()));
    assert_eq!(publish(&[once("first", 80), once("third", 1)]), Err(Kind::Full));
    assert_eq!((bench.depth(&name("q")), bench.depth(&name("dead"))), (2, 1));
    assert_eq!(bench.receive(&name("dead")).unwrap().message.payload.len(), 1);
}

#[test]
fn the_lengths_of_finished_payloads_are_not_kept_over_a_restart() {
    let bench = Bench::new(1_000);
    let mut settings = QueueSettings::new(name("q"));
    settings.length_bytes_max = Some(100_000);
    settings.retain = Retain::For(Duration::from_secs(3_600));
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
    let busy = bench.queue("busy");
    for _ in 0..5 {
        bench.publish(&settings.name, 10);
        bench.settle(&bench.receive(&settings.name).unwrap(), Outcome::Done);
    }
    let oldest = *bench.engine().journal.log.segments().start();
    while *bench.engine().journal.log.segments().start() < oldest + 3 {
        bench.publish(&busy, 300);
        bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
        bench.write();
        drop(bench.engine().free_step());
    }
    bench.write();
    let bench = bench.crash();
    let found = bench.engine().topology.find(&settings.name).unwrap();
    let state = found.lock().unwrap();
    assert_eq!((state.finished.len(), state.ready.noted_payloads()), (5, 0));
}
