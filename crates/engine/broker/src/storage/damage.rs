//! Damaged records: served to nobody, told to whoever watches, and in nobody's way.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::ports::broker::Receive;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::files::Files;
use forebay_core::queue::{PARKED, QueueName};
use forebay_log::{Class, Damaged};

use crate::bench::{Bench, SEGMENT};
use crate::broker::{BrokerOptions, open};

/// Overwrites `bytes` of the file in which the log keeps the body of the first message of `queue`.
fn damage(bench: &Bench, queue: &QueueName) {
    let found = bench.engine().topology.find(queue).unwrap();
    let location = found.lock().unwrap().ready.head().unwrap().stored().location;
    let names = bench.files.list().unwrap();
    let name = names.iter().find(|name| name.contains(&format!("{}", location.segment))).unwrap();
    let file = bench.files.open(name).unwrap();
    file.write_at(&[0xee; 4], u64::from(location.offset) + 60).unwrap();
}

#[test]
fn a_message_that_cannot_be_read_stays_and_holds_nobody_up() {
    let bench = Bench::new(1_000);
    let bench = Bench { options: BrokerOptions { hot_bytes_max: 0, ..bench.options.clone() }, ..bench };
    let q = bench.queue("q");
    bench.publish(&q, 300);
    let bench = bench.crash();
    bench.publish(&q, 301);
    damage(&bench, &q);
    assert_eq!(bench.receive(&q).unwrap().message.payload.len(), 301);
    let receive = Receive { count_max: 1, hold: None, wait_until: bench.clock.now() };
    let found = bench.engine().topology.find(&q).unwrap();
    assert!(bench.until_ready(bench.engine().take(&found, &receive)).unwrap().is_empty(), "it is put off");
    bench.clock.advance(Duration::from_secs(2));
    assert_eq!(bench.until_ready(bench.engine().take(&found, &receive)).unwrap_err().kind(), Kind::Damaged);
    assert_eq!(bench.depth(&q), 2);
}

#[test]
fn one_of_several_that_cannot_be_dead_lettered_is_put_off_and_the_others_go() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    (0..3).for_each(|_| bench.publish(&q, 300));
    damage(&bench, &q);
    let held: Vec<_> = (0..3).map(|_| bench.receive(&q).unwrap().id).collect();
    let outcome = Outcome::DeadLetter(Reason::Rejected);
    let settled = bench.until_ready(bench.broker.settle_many(&q, &held, outcome));
    assert_eq!(settled.unwrap_err().kind(), Kind::Damaged);
    assert_eq!((bench.depth(&q), bench.depth(&QueueName::new(PARKED).unwrap())), (1, 2));
    assert!(bench.engine().held(&q, held[0]).unwrap().is_none(), "it will come again");
}

/// A log of more than a few segments whose first message is damaged, with most of the others done.
fn with_damaged_front(damaged: Damaged, hot_bytes_max: usize) -> (Bench, QueueName) {
    let mut options = Bench::new(1_000).options;
    options.log.damaged = damaged;
    options.hot_bytes_max = hot_bytes_max;
    let bench = Bench::open(Saboteur::new(), SimClock::new(5), options);
    let q = bench.queue("q");
    for bytes in [300, 301, 302] {
        bench.publish(&q, bytes);
    }
    let busy = bench.queue("busy");
    for _ in 0..100 {
        bench.publish(&busy, 300);
        bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
    }
    bench.write();
    damage(&bench, &q);
    bench.free();
    (bench, q)
}

#[test]
fn a_damaged_record_raises_an_alarm_and_what_lies_around_it_is_carried() {
    let (bench, q) = with_damaged_front(Damaged::Refuse, 0);
    assert_eq!(bench.engine().journal.log.stats().damaged, 1, "it is told");
    assert!(bench.segments() > 8, "the damaged message is neither served nor given up");
    let oldest = *bench.engine().journal.log.segments().start();
    let tallies = bench.engine().journal.tallies();
    assert_eq!(tallies.get(&oldest).unwrap().0, 1, "all others have left the segment");
    assert_eq!(bench.depth(&q), 3);
    // Whoever gives it up frees the space, and ends the alarm.
    bench.until_ready(bench.engine().purge(&q)).unwrap();
    bench.free();
    assert!(bench.segments() < 5, "{}", bench.segments());
    assert_eq!(bench.engine().journal.log.stats().damaged, 0);
}

#[test]
fn a_place_that_cannot_be_read_raises_an_alarm_and_nothing_there_is_given_up() {
    let mut options = Bench::new(1_000).options;
    options.log.segment_bytes = 4 * SEGMENT;
    options.log.damaged = Damaged::SetAside;
    options.hot_bytes_max = 0;
    let bench = Bench::open(Saboteur::new(), SimClock::new(5), options);
    let (q, busy) = (bench.queue("q"), bench.queue("busy"));
    for bytes in [300, 301, 8_000] {
        bench.publish(&q, bytes);
    }
    for _ in 0..400 {
        bench.publish(&busy, 300);
        bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
    }
    bench.write();
    let oldest = *bench.engine().journal.log.segments().start();
    assert!(bench.files.truncate(&format!("{oldest:020}.log"), 5_000));
    let mut refused = None;
    while refused.is_none() {
        bench.write();
        refused = bench.engine().free_step().err().map(|error| error.kind());
    }
    assert_eq!(refused, Some(Kind::Io));
    assert_eq!(bench.engine().journal.log.stats().damaged, 1, "it is told");
    assert_eq!(
        bench.engine().journal.tallies().get(&oldest).unwrap().0,
        1,
        "all others have left the segment"
    );
    assert_eq!(bench.depth(&q), 3);
}

#[test]
fn a_damaged_record_is_set_aside_where_the_options_say_so_and_its_segment_freed() {
    let (bench, q) = with_damaged_front(Damaged::SetAside, 0);
    assert!(bench.segments() < 5, "{}", bench.segments());
    assert_eq!(bench.engine().journal.log.stats().damaged, 0);
    assert!(bench.files.list().unwrap().iter().any(|name| name.starts_with("damaged-")), "a copy is kept");
    let bench = bench.crash();
    let lengths: Vec<_> =
        std::iter::from_fn(|| bench.receive(&q)).map(|delivery| delivery.message.payload.len()).collect();
    assert_eq!(lengths, [301, 302]);
}

#[test]
fn a_damaged_record_of_what_is_still_in_memory_is_written_again() {
    let (bench, q) = with_damaged_front(Damaged::Refuse, 10_000);
    assert!(bench.segments() < 5, "{}", bench.segments());
    let bench = bench.crash();
    let lengths: Vec<_> =
        std::iter::from_fn(|| bench.receive(&q)).map(|delivery| delivery.message.payload.len()).collect();
    assert_eq!(lengths, [300, 301, 302]);
}

#[test]
fn a_record_that_makes_no_sense_is_refused_or_set_aside_as_the_options_say() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    bench.publish(&q, 10);
    bench.engine().journal.log.append(Class::New, 7, &[b"nonsense"]).unwrap();
    bench.publish(&q, 20);
    let Bench { files, clock, mut options, .. } = bench;
    let files = files.crash(1);
    let Err(error) = open(Arc::new(files.clone()), options.clone(), Arc::new(clock.clone())) else {
        panic!("it was taken")
    };
    assert_eq!(error.kind(), Kind::Damaged);
    options.log.damaged = Damaged::SetAside;
    let bench = Bench::open(files.crash(1), clock, options);
    assert_eq!((bench.recovered.unreadable, bench.recovered.ready), (1, 2));
}

#[test]
fn a_queue_whose_declaration_is_lost_keeps_its_messages_under_another_name() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    let number = bench.engine().topology.find(&q).unwrap().number;
    bench.write();
    bench.publish(&q, 10);
    bench.publish(&q, 20);
    let Bench { files, clock, mut options, .. } = bench;
    options.log.damaged = Damaged::SetAside;
    let names = files.list().unwrap();
    // The declaration is the first of the broker's records.
    let mut bytes = vec![0; 512];
    let file = files.open(names.iter().find(|name| name.ends_with(".log")).unwrap()).unwrap();
    file.read_at(&mut bytes, 0).unwrap();
    let place = bytes.windows(10).position(|window| window == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap() as u64;
    file.write_at(&[0xee], place + 12).unwrap();
    file.sync().unwrap();
    let bench = Bench::open(files.restart(), clock, options);
    let name = QueueName::new(&format!("forebay.recovered.{number}")).unwrap();
    assert_eq!(bench.depth(&name), 2);
    bench.write();
    let bench = bench.crash();
    assert_eq!(bench.receive(&name).unwrap().message.payload.len(), 10);
}
