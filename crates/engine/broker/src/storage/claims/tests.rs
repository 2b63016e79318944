//! Large payloads: where they lie, when their files go, and what happens when the disk has no room or is damaged.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::{Operation, Saboteur};
use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Receive, ReplayFrom};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::files::Files;
use forebay_core::queue::{Overflow, PARKED, QueueName, QueueSettings, Retain};
use forebay_log::Damaged;

use super::file;
use crate::bench::{Bench, SEGMENT};
use crate::broker::{BrokerOptions, open};

const LARGE: usize = 10_000;

/// What a queue is declared with.
type Change = fn(&mut QueueSettings);
/// What ends a message.
type Leave = fn(&Bench, &QueueName);
/// What happens to a file.
type Harm = fn(&Saboteur, &str);

/// A broker that claims what is longer than 100 bytes.
fn claiming(segments_max: u64) -> Bench {
    let options = BrokerOptions { claim_above_bytes: 100, ..Bench::new(segments_max).options };
    Bench::open(Saboteur::new(), SimClock::new(5), options)
}

fn files(bench: &Bench) -> Vec<String> {
    bench.files.list().unwrap().into_iter().filter(|name| file::parse(name).is_some()).collect()
}

fn declared(bench: &Bench, name: &str, change: impl FnOnce(&mut QueueSettings)) -> QueueName {
    let mut settings = QueueSettings::new(QueueName::new(name).unwrap());
    change(&mut settings);
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
    settings.name
}

fn large(byte: u8) -> Message {
    Message::new(MessageId::given("m").unwrap(), vec![byte; LARGE].into())
}

fn dead_letter(bench: &Bench, queue: &QueueName) {
    bench.settle(&bench.receive(queue).unwrap(), Outcome::DeadLetter(Reason::Rejected));
    bench.write();
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_large_payload_lies_in_a_file_of_its_own_until_its_end_is_durable() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    let before = bench.engine().journal.log.stats().bytes;
    bench.publish_all(&q, vec![large(1), Message { payload: "small".into(), ..large(0) }, large(2)]).unwrap();
    bench.write();
    assert!(bench.engine().journal.log.stats().bytes - before < 300, "the log has only claims to them");
    assert_eq!(files(&bench).len(), 2);
    let bench = bench.crash();
    for expected in [&[1; LARGE][..], b"small", &[2; LARGE]] {
        let delivery = bench.receive(&q).unwrap();
        assert!(*delivery.message.payload == *expected);
        bench.write();
        bench.settle(&delivery, Outcome::Done);
        bench.engine().free_step().unwrap();
    }
    assert_eq!(files(&bench).len(), 1, "the last end is not durable yet");
    bench.free();
    assert!(files(&bench).is_empty());
    assert_eq!(bench.engine().journal.claims.bytes(), 0);
}

#[test]
fn the_file_goes_in_whatever_way_its_message_leaves() {
    let ways: [(&str, Change, Leave); 9] = [
        ("settled", |_| (), |bench, q| bench.settle(&bench.receive(q).unwrap(), Outcome::Done)),
        ("purged", |_| (), |bench, q| drop(bench.until_ready(bench.engine().purge(q)))),
        ("deleted", |_| (), |bench, q| drop(bench.until_ready(bench.engine().delete(q, None)))),
        (
            "expired",
            |_| (),
            |bench, q| {
                bench.clock.advance(Duration::from_secs(100));
                assert!(bench.receive(q).is_none());
            },
        ),
        (
            "dropped",
            |settings| {
                settings.length_max = 1;
                settings.overflow = Overflow::DropHead;
            },
            |bench, q| bench.publish(q, 1),
        ),
        (
            "replaced",
            |settings| settings.newest_by_key = true,
            |bench, q| {
                let newer = Message { key: Some("k".into()), payload: "newer".into(), ..large(0) };
                bench.publish_all(q, vec![newer]).unwrap();
            },
        ),
        (
            "retained for its time",
            |settings| settings.retain = Retain::For(Duration::from_secs(50)),
            |bench, q| {
                bench.settle(&bench.receive(q).unwrap(), Outcome::Done);
                bench.free();
                assert_eq!(files(bench).len(), 1);
                let replayed =
                    bench.until_ready(bench.engine().replay(q, ReplayFrom::Position(0), 9)).unwrap();
                assert!(*replayed[0].message.payload == [7; LARGE]);
                bench.clock.advance(Duration::from_secs(51));
                assert!(bench.engine().ring(bench.clock.now()));
            },
        ),
        (
            "dead-lettered and purged there",
            |_| (),
            |bench, q| {
                dead_letter(bench, q);
                let parked = QueueName::new(PARKED).unwrap();
                bench.until_ready(bench.engine().purge(&parked)).unwrap();
            },
        ),
        (
            "repeated",
            |_| (),
            |bench, q| {
                let again = Message { dedup_id: Some("d".into()), ..large(7) };
                bench.publish_all(q, vec![again]).unwrap();
                bench.settle(&bench.receive(q).unwrap(), Outcome::Done);
            },
        ),
    ];
    for (way, change, leave) in ways {
        let bench = claiming(1_000);
        let q = declared(&bench, "q", change);
        let expires_at = Some(bench.clock.now() + Duration::from_secs(90));
        let key = Some("k".into());
        bench
            .publish_all(&q, vec![Message { expires_at, key, dedup_id: Some("d".into()), ..large(7) }])
            .unwrap();
        bench.write();
        assert_eq!(files(&bench).len(), 1, "{way}");
        leave(&bench, &q);
        bench.free();
        assert_eq!(files(&bench), Vec::<String>::new(), "{way}");
        assert_eq!(bench.engine().journal.claims.bytes(), 0, "{way}");
        let bench = bench.crash();
        assert!(files(&bench).is_empty(), "{way}");
    }
}

#[test]
fn a_dead_letter_and_its_way_back_hand_the_same_file_on() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish_all(&q, vec![large(7)]).unwrap();
    bench.write();
    let before = (files(&bench), bench.files.used_bytes());
    dead_letter(&bench, &q);
    bench.free();
    let bench = bench.crash();
    assert_eq!(files(&bench), before.0);
    let parked = QueueName::new(PARKED).unwrap();
    assert_eq!(bench.until_ready(bench.engine().redrive(&parked, 9)).unwrap().0, 1);
    bench.free();
    assert_eq!(files(&bench), before.0);
    assert!(*bench.receive(&q).unwrap().message.payload == [7; LARGE]);
}

#[test]
fn a_carried_message_keeps_its_file() {
    let bench = claiming(1_000);
    let (q, busy) = (bench.queue("q"), bench.queue("busy"));
    bench.publish_all(&q, vec![large(7)]).unwrap();
    let oldest = *bench.engine().journal.log.segments().start();
    while *bench.engine().journal.log.segments().start() < oldest + 3 {
        bench.publish(&busy, 90);
        bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
        bench.free();
    }
    let bench = bench.crash();
    assert!(*bench.receive(&q).unwrap().message.payload == [7; LARGE]);
}

#[test]
fn large_payloads_use_up_the_disk_budget_and_give_it_back() {
    let bench = claiming(40);
    let q = bench.queue("q");
    let mut count = 0;
    while bench.try_publish(&q, LARGE).is_ok() {
        bench.write();
        count += 1;
    }
    assert_eq!(bench.try_publish(&q, LARGE), Err(Kind::Full));
    assert!(count > 5 && bench.files.used_bytes() <= bench.options.log.disk_bytes_max);
    assert_eq!(bench.try_publish(&q, 40 * SEGMENT as usize), Err(Kind::TooLarge));
    bench.free();
    assert_eq!(files(&bench).len(), count, "what was refused has left nothing behind");
    assert_eq!(bench.try_publish(&q, LARGE), Err(Kind::Full));
    bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
    bench.free();
    assert_eq!(bench.try_publish(&q, LARGE), Ok(()));
}

#[test]
fn retained_payloads_give_way_to_a_large_one() {
    let bench = claiming(40);
    let kept = declared(&bench, "kept", |settings| settings.retain = Retain::For(Duration::from_secs(3_600)));
    for _ in 0..30 {
        while bench.try_publish(&kept, LARGE).is_err() {
            bench.free();
        }
        bench.settle(&bench.receive(&kept).unwrap(), Outcome::Done);
        bench.write();
    }
    let half = 16 * SEGMENT as usize;
    assert_eq!(bench.try_publish(&kept, half), Err(Kind::Full), "history has the room");
    bench.free();
    assert_eq!(bench.try_publish(&kept, half), Ok(()));
    bench.free();
    let bench = bench.crash();
    assert_eq!(bench.depth(&kept), 1, "and what has given way is not missed");
}

#[test]
fn a_disk_that_is_full_is_back_pressure_and_nothing_is_left_behind() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish(&q, LARGE);
    let count = files(&bench).len();
    bench.files.limit_bytes(Some(bench.files.used_bytes() + LARGE as u64 / 2));
    assert_eq!(bench.try_publish(&q, LARGE), Err(Kind::Full));
    bench.free();
    bench.files.limit_bytes(None);
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::SyncNames] {
        bench.files.fail(operation, 1, Kind::Full);
        assert_eq!(bench.try_publish(&q, LARGE), Err(Kind::Full), "{operation:?}");
        bench.free();
        assert_eq!(files(&bench).len(), count, "{operation:?}");
    }
    assert_eq!(bench.engine().journal.claims.bytes(), (count * LARGE) as u64);
    assert_eq!(bench.try_publish(&q, LARGE), Ok(()));
}

#[test]
fn a_publisher_that_gives_up_leaves_no_file() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    for writes in [false, true] {
        {
            let mut publish = pin!(bench.engine().publish(&q, vec![large(1), large(2)]));
            assert!(poll(publish.as_mut()).is_pending());
            assert!(!writes || bench.engine().journal.write_step());
        }
        assert_eq!(bench.engine().journal.write_step(), !writes);
        assert_eq!(files(&bench).len(), if writes { 2 } else { 0 });
        bench.free();
        assert!(files(&bench).is_empty() && bench.engine().journal.claims.bytes() == 0);
        assert_eq!(bench.depth(&q), 0);
    }
}

#[test]
fn a_receiver_that_gives_up_while_its_payload_is_read_has_taken_nothing() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish_all(&q, vec![Message { payload: "small".into(), ..large(0) }, large(7)]).unwrap();
    bench.write();
    let found = bench.engine().topology.find(&q).unwrap();
    for reads in [false, true] {
        let receive = Receive { count_max: 9, hold: None, wait_until: bench.clock.now() };
        let mut take = pin!(bench.engine().take(&found, &receive));
        assert!(poll(take.as_mut()).is_pending());
        assert!(!reads || bench.engine().journal.read_step());
    }
    let first = bench.receive(&q).unwrap();
    let second = bench.receive(&q).unwrap();
    assert_eq!((&*first.message.payload, first.attempt), (&b"small"[..], 1));
    assert_eq!((second.message.payload.len(), second.attempt), (LARGE, 1));
}

#[test]
fn a_damaged_file_is_never_served_and_raises_an_alarm_until_its_message_is_gone() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish_all(&q, vec![large(1), large(2)]).unwrap();
    bench.write();
    assert!(bench.files.flip_bit(&files(&bench)[0], 77, 3));
    assert!(*bench.receive(&q).unwrap().message.payload == [2; LARGE], "it is in nobody's way");
    assert_eq!(bench.engine().journal.log.stats().damaged, 1, "it is told");
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.try_receive(&q).unwrap_err(), Kind::Damaged);
    bench.clock.advance(Duration::from_secs(2));
    let peeked = bench.until_ready(bench.engine().peek(&q, 1));
    assert!(peeked.is_ok_and(|peeked| peeked.is_empty()), "it is put off");
    let id = MessageId::given("m").unwrap();
    let found = bench.until_ready(bench.engine().find(&q, &id)).unwrap().unwrap();
    assert!(*found.delivery.message.payload == [2; LARGE]);
    bench.until_ready(bench.engine().purge(&q)).unwrap();
    bench.free();
    assert_eq!(bench.engine().journal.log.stats().damaged, 0);
}

#[test]
fn opening_refuses_or_sets_aside_what_is_missing_short_or_damaged() {
    let harms: [(Harm, bool); 3] = [
        (|files, name| files.remove(name).unwrap(), true),
        (|files, name| assert!(files.truncate(name, 5)), true),
        // To be seen only by who reads it.
        (|files, name| assert!(files.flip_bit(name, 5, 5)), false),
    ];
    for (index, (harm, is_refused)) in harms.into_iter().enumerate() {
        let bench = claiming(1_000);
        let q = bench.queue("q");
        bench.publish_all(&q, vec![large(1), large(2)]).unwrap();
        bench.write();
        let name = files(&bench)[0].clone();
        let Bench { files: disk, clock, mut options, .. } = bench;
        harm(&disk, &name);
        let disk = disk.restart();
        let opened =
            open(std::sync::Arc::new(disk.clone()), options.clone(), std::sync::Arc::new(clock.clone()));
        match opened {
            Err(error) => assert!(is_refused && error.kind() == Kind::Damaged, "{error}"),
            Ok(_) => assert!(!is_refused),
        }
        options.log.damaged = Damaged::SetAside;
        let bench = Bench::open(disk.restart(), clock, options);
        assert_eq!((bench.recovered.ready, bench.recovered.unreadable), (1, 1));
        assert_eq!(files(&bench).len(), 1);
        let aside = bench.files.list().unwrap().contains(&format!("damaged-{name}"));
        assert_eq!(aside, index > 0, "what there is of it is kept");
        bench.write();
        let bench = bench.crash();
        assert!(*bench.receive(&q).unwrap().message.payload == [2; LARGE]);
        assert!(bench.receive(&q).is_none());
    }
}

#[test]
fn files_whose_records_were_lost_to_damage_are_kept_under_another_name() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish_all(&q, vec![large(1)]).unwrap();
    bench.write();
    let location = {
        let found = bench.engine().topology.find(&q).unwrap();
        let state = found.lock().unwrap();
        state.ready.head().unwrap().stored().location
    };
    bench.publish(&q, 9);
    let name = files(&bench)[0].clone();
    let segment = format!("{:020}.log", location.segment);
    assert!(bench.files.flip_bit(&segment, u64::from(location.offset) + 60, 1));
    let Bench { files: disk, clock, mut options, .. } = bench;
    options.log.damaged = Damaged::SetAside;
    let bench = Bench::open(disk.restart(), clock, options);
    assert_eq!(bench.recovered.ready, 1);
    assert!(bench.files.list().unwrap().contains(&format!("damaged-{name}")));
}

#[test]
fn waiters_beyond_the_limit_are_refused_and_closing_ends_all_waits() {
    let bench = claiming(100_000);
    let q = bench.queue("q");
    let message = || Message { payload: vec![7; 101].into(), ..large(0) };
    let publish = || Box::pin(bench.engine().publish(&q, vec![message()]));
    let mut waiting: Vec<_> = (0..limits::CLAIM_WAITERS_MAX).map(|_| publish()).collect();
    assert!(waiting.iter_mut().all(|publish| poll(publish.as_mut()).is_pending()));
    assert!(matches!(poll(publish().as_mut()), Poll::Ready(Err(error)) if error.kind() == Kind::Full));
    let reserved = bench.engine().journal.claims.bytes();
    assert_eq!(reserved, (limits::CLAIM_WAITERS_MAX * 101) as u64);
    bench.broker.close();
    for mut publish in waiting {
        let Poll::Ready(Err(error)) = poll(publish.as_mut()) else { panic!("it waits for ever") };
        assert_eq!(error.kind(), Kind::Closed);
    }
}

#[test]
fn a_receiver_that_finds_too_many_waiting_leaves_the_message_where_it_was() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish_all(&q, vec![large(7)]).unwrap();
    bench.write();
    let claim = bench.engine().journal.claims.get(bench.engine().journal.last()).unwrap();
    let fetch = || Box::pin(bench.engine().journal.fetch(claim));
    let mut waiting: Vec<_> = (0..limits::CLAIM_WAITERS_MAX).map(|_| fetch()).collect();
    assert!(waiting.iter_mut().all(|fetch| poll(fetch.as_mut()).is_pending()));
    let found = bench.engine().topology.find(&q).unwrap();
    let receive = Receive { count_max: 1, hold: None, wait_until: bench.clock.now() };
    let refused = poll(pin!(bench.engine().take(&found, &receive)).as_mut());
    assert!(matches!(refused, Poll::Ready(Err(error)) if error.kind() == Kind::Full));
    drop(waiting);
    while bench.engine().journal.read_step() {}
    assert_eq!(bench.receive(&q).unwrap().attempt, 1);
}

#[test]
fn a_hold_begins_when_the_large_payload_has_been_read() {
    let bench = claiming(1_000);
    let q = bench.queue("q");
    bench.publish_all(&q, vec![large(7)]).unwrap();
    bench.write();
    let found = bench.engine().topology.find(&q).unwrap();
    let hold = Duration::from_secs(1);
    let receive = Receive { count_max: 1, hold: Some(hold), wait_until: bench.clock.now() };
    let mut taking = pin!(bench.engine().take(&found, &receive));
    assert!(poll(taking.as_mut()).is_pending());
    bench.clock.advance(3 * hold);
    bench.engine().ring(bench.clock.now());
    let delivery = bench.until_ready(taking).unwrap().pop().expect("nobody else has it");
    assert_eq!(delivery.held_until, bench.clock.now() + hold);
    assert_eq!(delivery.attempt, 1);
    assert!(bench.engine().held(&q, delivery.id).unwrap().is_some());
}

#[test]
fn the_log_is_freed_while_files_are_leaving_all_the_time() {
    let bench = claiming(1_000);
    let (q, other) = (bench.queue("q"), bench.queue("other"));
    bench.publish_all(&q, (0..40).map(large).collect()).unwrap();
    bench.write();
    for _ in 0..40 {
        // One segment more that nothing lives in.
        bench.publish(&other, 90);
        bench.publish(&other, SEGMENT as usize / 2);
        for _ in 0..2 {
            bench.settle(&bench.receive(&other).unwrap(), Outcome::Done);
        }
        bench.write();
        bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
        bench.engine().free_step().unwrap();
        bench.write();
    }
    assert!(bench.segments() < 20, "{} segments", bench.segments());
}
