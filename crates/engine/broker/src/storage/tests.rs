//! The space of the log: given back in time, never at the price of a message, and enough to empty every queue.

use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_core::delivery::{Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};

use super::journal::Chance;
use super::space::Step;
use crate::bench::{Bench, SEGMENT};
use crate::broker::BrokerOptions;

#[test]
fn a_log_without_life_shrinks_to_one_segment() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    for _ in 0..100 {
        bench.publish(&q, 300);
    }
    assert!(bench.segments() > 8);
    while let Some(delivery) = bench.receive(&q) {
        bench.settle(&delivery, Outcome::Done);
    }
    bench.free();
    assert!(bench.segments() < 4, "only the declaration lives, and was carried: {}", bench.segments());
    assert_eq!(bench.crash().recovered.queues, 1);
}

#[test]
fn one_unacknowledged_message_pins_nothing_however_long_it_is_held() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    bench.publish(&q, 77);
    let pinned = bench.receive(&q).unwrap();
    for _ in 0..400 {
        bench.publish(&q, 300);
        let delivery = bench.receive(&q).unwrap();
        bench.settle(&delivery, Outcome::Done);
        bench.free();
        assert!(bench.segments() <= 5, "{}", bench.segments());
    }
    let bench = bench.crash();
    let held = bench.engine().held(&q, pinned.id).unwrap().unwrap();
    assert_eq!(held.attempt, 1);
    bench.settle(&pinned, Outcome::Return { seen: false });
    assert_eq!(bench.receive(&q).unwrap().message.payload.len(), 77);
}

#[test]
fn nothing_is_carried_while_most_of_the_log_lives() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    for _ in 0..200 {
        bench.publish(&q, 300);
    }
    let before = bench.engine().journal.last();
    bench.free();
    assert_eq!(bench.engine().journal.last(), before);
}

#[test]
fn a_crash_between_carrying_and_releasing_loses_nothing_and_costs_no_second_copy() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    for _ in 0..60 {
        bench.publish(&q, 300);
    }
    let first = bench.receive(&q).unwrap();
    bench.settle(&first, Outcome::Return { seen: false });
    let deliveries: Vec<_> = (0..58).map_while(|_| bench.receive(&q)).collect();
    deliveries.iter().skip(1).for_each(|delivery| bench.settle(delivery, Outcome::Done));
    bench.write();
    let oldest = *bench.engine().journal.log.segments().start();
    assert_eq!(bench.engine().journal.chance().0, Chance::Carry { segment: oldest });
    assert_eq!(bench.engine().free_step().unwrap(), Step::Worked);
    bench.write();
    let bench = bench.crash();
    assert_eq!(*bench.engine().journal.log.segments().start(), oldest, "it was not released");
    let (chance, _) = bench.engine().journal.chance();
    assert!(matches!(chance, Chance::Release { before } if before > oldest), "{chance:?}");
    assert_eq!(bench.depth(&q), 3);
}

#[test]
fn a_full_log_refuses_publishes_and_lets_consumers_empty_it() {
    let bench = Bench::new(24);
    let q = bench.queue("q");
    let taken =
        (0..10_000).take_while(|_| bench.try_publish(&q, 300).inspect(|()| bench.write()).is_ok()).count();
    assert!(taken > 100);
    assert_eq!(bench.try_publish(&q, 300), Err(Kind::Full));
    assert!(bench.engine().journal.log.stats().disk_bytes <= 24 * u64::from(SEGMENT));
    for _ in 0..taken {
        let delivery = bench.receive(&q).unwrap();
        bench.settle(&delivery, Outcome::Done);
        bench.free();
    }
    assert_eq!(bench.try_publish(&q, 300), Ok(()), "the space has come back by itself");
}

#[test]
fn a_disk_too_small_to_publish_to_is_refused_and_the_least_one_is_published_to() {
    let mut options = BrokerOptions::default();
    options.log.disk_bytes_max = 12 * u64::from(options.log.segment_bytes) - 1;
    let error = options.check().unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("disk_bytes_max must be at least 201326592"), "{error}");
    let bench = Bench::new(12);
    let q = bench.queue("q");
    for _ in 0..500 {
        bench.publish(&q, 300);
        bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
        bench.free();
    }
}

/// More than the segments that are ready, and in the smallest log.
#[test]
fn a_batch_of_many_segments_is_taken_whole_or_refused_whole() {
    let bench = Bench::new(12);
    let q = bench.queue("q");
    let batch = |count: usize, bytes: usize| {
        let message = Message::new(MessageId::given("m").unwrap(), vec![b'x'; bytes].into());
        bench.publish_all(&q, vec![message; count])
    };
    for round in 0..20 {
        let mut taken = 0;
        while let Ok(()) = batch(2, 3_000) {
            bench.write();
            taken += 2;
            assert_eq!(bench.depth(&q), taken);
        }
        assert!(taken >= 2, "{round}");
        assert_eq!(bench.depth(&q), taken, "what was refused has left nothing behind");
        while let Some(delivery) = bench.receive(&q) {
            bench.settle(&delivery, Outcome::Done);
            bench.free();
        }
    }
    assert_eq!(batch(3, 3_000), Err(Kind::TooLarge), "it never fits what a drained log has left");
    let bench = Bench::new(100);
    let q = bench.queue("q");
    let message = Message::new(MessageId::given("m").unwrap(), vec![b'x'; 3_000].into());
    let count = 10 * limits::log::SEGMENTS_AHEAD;
    assert_eq!(bench.publish_all(&q, vec![message; count]), Ok(()));
    assert_eq!(bench.depth(&q), count as u64);
}

#[test]
fn a_batch_longer_than_its_queue_is_too_large_and_not_merely_refused_for_now() {
    let bench = Bench::new(100);
    let mut settings = QueueSettings::new(QueueName::new("short").unwrap());
    settings.length_max = 3;
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
    let batch = |count| {
        let message = Message::new(MessageId::given("m").unwrap(), "".into());
        bench.publish_all(&settings.name, vec![message; count])
    };
    assert_eq!(batch(4), Err(Kind::TooLarge));
    assert_eq!(batch(3), Ok(()));
    assert_eq!(batch(1), Err(Kind::Full));
}

/// Every delivery writes a record, and none of these is ever settled by who got it.
#[test]
fn deliveries_that_nobody_settles_leave_the_last_space_to_what_empties_the_queue() {
    for bytes in [1, 60, 300] {
        let bench = Bench::new(32);
        let (idle, busy) = (bench.queue("idle"), bench.queue("busy"));
        let until_full = |queue| {
            let mut count: u64 = 0;
            while bench.segments() < 12 && bench.try_publish(queue, bytes).is_ok() {
                bench.write();
                count += 1;
            }
            count
        };
        until_full(&idle);
        while bench.try_publish(&busy, bytes).is_ok() {
            bench.write();
        }
        let depth = bench.depth(&busy);
        let (mut held, mut rounds) = (Vec::new(), 0);
        // They are given back and taken again, without end, and nothing tidies up in between.
        'full: loop {
            let found = bench.engine().topology.find(&busy).unwrap();
            let receive = Receive { count_max: 100, hold: None, wait_until: bench.clock.now() };
            match bench.until_ready(bench.engine().take(&found, &receive)) {
                Ok(deliveries) if !deliveries.is_empty() => held.extend(deliveries),
                Ok(_) => {
                    rounds += 1;
                    assert!(rounds < 1_000, "it never comes to an end");
                    for delivery in held.drain(..held.len() - 20) {
                        bench.write();
                        let returned =
                            bench.engine().settle(&busy, delivery.id, Outcome::Return { seen: false }, None);
                        if returned.is_err() {
                            break 'full;
                        }
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Full);
                    break;
                }
            }
            bench.write();
        }
        for delivery in held.drain(..20) {
            bench.settle(&delivery, Outcome::Done);
            bench.write();
        }
        bench.free();
        // With the space tidied up, all the rest comes, and can be settled.
        bench.clock.advance(2 * limits::HOLD_DEFAULT);
        let mut left = depth - 20;
        for _ in 0..10_000 {
            let found = bench.engine().topology.find(&busy).unwrap();
            bench.engine().come_due(&found, &mut found.lock().unwrap(), bench.clock.now());
            for silent in bench.engine().offer_run_out() {
                drop(bench.engine().settle(&busy, silent.id, Outcome::Return { seen: false }, None));
            }
            while let Ok(Some(delivery)) = bench.try_receive(&busy) {
                bench.settle(&delivery, Outcome::Done);
                left -= 1;
                bench.free();
            }
            bench.free();
            bench.clock.advance(limits::EXPIRED_GRACE);
            if left == 0 {
                break;
            }
        }
        assert_eq!((left, bench.depth(&busy)), (0, 0), "{bytes} bytes a message");
        assert_eq!(bench.try_publish(&busy, bytes), Ok(()));
    }
}

/// The disk ends long before the budget, and without its reserve for what empties queues.
#[test]
fn a_full_disk_refuses_publishes_and_lets_consumers_empty_it() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    bench.write();
    bench.files.limit_bytes(Some(16 * u64::from(SEGMENT)));
    let mut taken = 0;
    while bench.try_publish(&q, 300).is_ok() {
        bench.write();
        taken += 1;
    }
    assert!(taken > 100 && bench.engine().journal.log.stats().full);
    for _ in 0..taken {
        let delivery = bench.receive(&q).unwrap();
        bench.settle(&delivery, Outcome::Done);
        bench.free();
    }
    assert_eq!(bench.depth(&q), 0);
    assert_eq!(bench.try_publish(&q, 300), Ok(()), "the space has come back by itself");
}

/// The hardest case for a log that gives back only its beginning: what is idle lies in front of what is consumed, and
/// the records of consuming are not much smaller than the messages.
#[test]
fn a_full_log_whose_front_is_idle_can_still_be_emptied_behind_it() {
    for bytes in [1, 40, 300] {
        let bench = Bench::new(64);
        let (idle, busy) = (bench.queue("idle"), bench.queue("busy"));
        let until_full = |queue: &QueueName, segments: u64| {
            let mut count = 0;
            while bench.segments() < segments && bench.try_publish(queue, bytes).is_ok() {
                bench.write();
                count += 1;
            }
            count
        };
        let waiting = until_full(&idle, 30);
        let taken = until_full(&busy, u64::MAX);
        assert_eq!(bench.try_publish(&busy, bytes), Err(Kind::Full));
        for _ in 0..taken {
            let delivery = bench.receive(&busy).unwrap();
            bench.settle(&delivery, Outcome::Done);
            bench.free();
        }
        assert_eq!(bench.try_publish(&busy, bytes), Ok(()), "{bytes} bytes a message");
        let bench = bench.crash();
        assert_eq!(bench.depth(&idle), waiting);
    }
}

/// Failing again and again writes records and frees nothing.
#[test]
fn a_full_log_survives_messages_that_fail_without_end() {
    let bench = Bench::new(32);
    let q = bench.queue("q");
    while bench.try_publish(&q, 100).is_ok() {
        bench.write();
    }
    let depth = bench.depth(&q);
    for round in 0..5_000 {
        bench.clock.advance(Duration::from_millis(200));
        let Some(delivery) = bench.receive(&q) else { continue };
        let outcome = if round % 20 == 0 {
            Outcome::DeadLetter(Reason::Rejected)
        } else {
            Outcome::RetryAt(bench.clock.now() + Duration::from_secs(1))
        };
        bench.settle(&delivery, outcome);
        bench.free();
        if bench.depth(&q) == 0 {
            break;
        }
    }
    let parked = QueueName::new(forebay_core::queue::PARKED).unwrap();
    assert!(bench.depth(&parked) > 200, "all were tried again and again");
    assert_eq!(bench.depth(&q) + bench.depth(&parked), depth);
    let bench = bench.crash();
    assert_eq!(bench.depth(&q) + bench.depth(&parked), depth);
}

#[test]
fn a_message_at_the_size_that_a_segment_takes_can_be_dead_lettered_and_carried() {
    let bench = Bench::new(1_000);
    let q = bench.queue(&"q".repeat(255));
    let is_in_log = |bytes: usize| {
        bench.publish(&q, bytes);
        bench.until_ready(bench.engine().purge(&q)).unwrap();
        let claims = bench.engine().journal.claims.take_leaving(1);
        claims.is_empty()
    };
    let largest = (0..SEGMENT as usize).rfind(|bytes| is_in_log(*bytes)).unwrap();
    assert!(largest > SEGMENT as usize - 700);
    bench.publish(&q, largest);
    let delivery = bench.receive(&q).unwrap();
    let note = "n".repeat(2_000);
    let given_up = Outcome::DeadLetter(Reason::Rejected);
    assert!(bench.engine().settle(&q, delivery.id, given_up, Some(&note)).unwrap().is_some());
    let other = bench.queue("other");
    for _ in 0..100 {
        bench.publish(&other, 300);
        bench.settle(&bench.receive(&other).unwrap(), Outcome::Done);
        bench.free();
    }
    let parked = QueueName::new(forebay_core::queue::PARKED).unwrap();
    let dead = bench.receive(&parked).unwrap();
    assert_eq!((dead.message.payload.len(), dead.history.len()), (largest, 1));
    assert_eq!(dead.history[0].note, None, "there was no room for it");
}

#[test]
fn a_clock_that_was_set_back_freezes_no_hold_and_no_delay() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    bench.publish(&q, 1);
    bench.publish(&q, 2);
    let year = Duration::from_secs(365 * 24 * 3600);
    let before = bench.clock.now();
    bench.clock.advance(3 * year);
    let retried = bench.receive(&q).unwrap();
    bench.settle(&retried, Outcome::RetryAt(bench.clock.now() + Duration::from_secs(1)));
    bench.receive(&q).unwrap();
    bench.write();
    let Bench { files, options, .. } = bench;
    let clock = SimClock::new(5);
    assert!(clock.now() <= before);
    let bench = Bench::open(files.crash(1), clock, options);
    let found = bench.engine().topology.find(&q).unwrap();
    let next_due = || found.lock().unwrap().unsettled.next_due().unwrap();
    assert!(next_due() <= bench.clock.now() + limits::HOLD_MAX, "the hold");
    let first = next_due();
    found.lock().unwrap().unsettled.pop_due(first);
    assert!(next_due() <= bench.clock.now() + limits::DELAY_MAX, "the delay");
}

#[test]
fn a_dedup_id_outlives_its_message_and_the_segment_of_that_and_then_goes() {
    let bench = Bench::new(1_000);
    let q = bench.queue("q");
    let publish = |bench: &Bench, id: &str| {
        let message = Message::new(MessageId::given("m").unwrap(), vec![0; 300].into());
        bench.publish_all(&q, vec![Message { dedup_id: Some(id.to_owned()), ..message }]).unwrap();
        bench.write();
    };
    let ids: Vec<_> = (0..100).map(|number| format!("id {number}")).collect();
    let mut bench = bench;
    for id in &ids {
        publish(&bench, id);
        bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
    }
    for round in 0..3 {
        // Other traffic pushes on whatever they lie in.
        let busy = bench.queue("busy");
        for _ in 0..100 {
            bench.publish(&busy, 300);
            bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
        }
        bench.free();
        assert!(bench.segments() < 9, "{}", bench.segments());
        ids.iter().for_each(|id| publish(&bench, id));
        assert_eq!(bench.depth(&q), 0, "round {round}");
        bench = bench.crash();
    }
    let found = bench.engine().topology.find(&q).unwrap();
    assert!(found.lock().unwrap().marks.records().next().is_some());
    bench.clock.advance(limits::DEDUP_WINDOW_DEFAULT);
    publish(&bench, "another");
    assert_eq!(
        found.lock().unwrap().marks.records().next(),
        None,
        "nothing is kept of what is past its time"
    );
    publish(&bench, &ids[0]);
    assert_eq!(bench.depth(&q), 2);
}
