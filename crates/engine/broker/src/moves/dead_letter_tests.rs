//! Dead letters through exchanges.

use std::time::Duration;

use forebay_core::delivery::{Delivery, Outcome, Reason};
use forebay_core::message::MessageId;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Overflow, QueueSettings};

use super::*;
use crate::bench::Bench;
use crate::routing::decide::{BindRequest, Durability, Target};

pub(super) fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A queue whose dead letters go through the exchange.
pub(super) fn queue(
    bench: &Bench,
    queue: &str,
    through: &str,
    key: Option<&str>,
    set: impl FnOnce(&mut QueueSettings),
) {
    let mut settings = QueueSettings::new(name(queue));
    let (exchange, key) = (through.to_owned(), key.map(str::to_owned));
    settings.dead_letter_exchange = Some(DeadLetterExchange { exchange, key });
    set(&mut settings);
    bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
}

pub(super) fn bind(bench: &Bench, source: &str, queue: &str, key: &str) {
    bench.queue(queue);
    let request = BindRequest { source, target: Target::Queue(queue), key, arguments: &Headers::new() };
    let bind = |topology: &crate::routing::topology::Topology| {
        topology.bind(&request, |_| Some(Durability::Durable))
    };
    bench.engine().change("/", bind).unwrap();
}

pub(super) fn message(exchange: &str, key: &str) -> Message {
    Message {
        exchange: Some(exchange.to_owned()),
        routing_key: Some(key.to_owned()),
        ..Message::new(MessageId::given("m").unwrap(), "body".into())
    }
}

pub(super) fn publish(bench: &Bench, queue: &str, message: Message) {
    bench.publish_all(&name(queue), vec![message]).unwrap();
}

fn give_up(bench: &Bench, queue: &str, reason: Reason) {
    let delivery = bench.receive(&name(queue)).unwrap();
    bench.settle(&delivery, Outcome::DeadLetter(reason));
    bench.write();
}

/// Its history as RabbitMQ lists it, the newest first.
fn told(delivery: &Delivery) -> Vec<String> {
    let line = |line: &History| {
        let (reason, exchange) = (line.reason.as_str(), line.exchange.as_deref().unwrap_or("-"));
        format!("{} {reason} x{} from {exchange} by {}", line.queue, line.count, line.routing_keys.join(" "))
    };
    delivery.history.iter().rev().map(line).collect()
}

/// Lets the timers do all that is due now.
fn ring(bench: &Bench) {
    while bench.engine().ring(bench.clock.now()) {
        bench.write();
    }
}

#[test]
fn a_dead_letter_is_published_to_the_exchange_with_its_own_key_or_the_given_one() {
    for (key, expected) in [(None, "own"), (Some("given"), "given")] {
        let bench = Bench::new(1_000);
        queue(&bench, "q", "amq.direct", key, |_| ());
        bind(&bench, "amq.direct", "own", "k");
        bind(&bench, "amq.direct", "given", "given");
        let mut message = message("first", "k");
        message.expires_at = Some(bench.clock.now() + Duration::from_secs(9));
        message.time_to_live = Some(Duration::from_secs(9));
        message.dedup_id = Some("once".to_owned());
        publish(&bench, "q", message);
        give_up(&bench, "q", Reason::DeliveryLimit);
        let bench = bench.crash();
        let dead = bench.receive(&name(expected)).unwrap();
        assert_eq!(told(&dead), ["q delivery_limit x1 from first by k"]);
        assert_eq!(dead.history[0].time_to_live, Some(Duration::from_secs(9)));
        let Message { exchange, routing_key, expires_at, time_to_live, dedup_id, .. } = &*dead.message;
        assert_eq!(exchange.as_deref(), Some("amq.direct"));
        assert_eq!(routing_key.as_deref(), Some(key.unwrap_or("k")));
        assert_eq!((expires_at, time_to_live, dedup_id), (&None, &None, &None));
        assert_eq!((&*dead.message.payload, dead.attempt), (&b"body"[..], 1));
    }
}

#[test]
fn further_keys_count_where_its_own_does_and_are_told_of() {
    let copies = Headers::from_iter([("CC".to_owned(), Value::List(vec!["copy".into(), Value::Int(1)]))]);
    for (key, copied) in [(None, 1), (Some("k"), 0)] {
        let bench = Bench::new(1_000);
        queue(&bench, "q", "", key, |_| ());
        bench.queue("k");
        bench.queue("copy");
        publish(&bench, "q", Message { headers: copies.clone(), ..message("", "k") });
        give_up(&bench, "q", Reason::Rejected);
        assert_eq!(bench.depth(&name("copy")), copied);
        let dead = bench.receive(&name("k")).unwrap();
        assert_eq!(told(&dead), ["q rejected x1 from  by k copy"]);
        assert_eq!(dead.message.headers.get("CC").is_some(), key.is_none());
    }
}

#[test]
fn every_queue_that_the_exchange_leads_to_has_its_own_copy_also_after_a_crash() {
    for bytes in [10, 5_000] {
        let bench = Bench::new(1_000);
        queue(&bench, "q", "amq.fanout", None, |_| ());
        for to in ["a", "b", "c"] {
            bind(&bench, "amq.fanout", to, "");
        }
        publish(&bench, "q", Message { payload: vec![7; bytes].into(), ..message("", "q") });
        give_up(&bench, "q", Reason::Rejected);
        let bench = bench.crash();
        assert_eq!(bench.depth(&name("q")), 0);
        for to in ["a", "b", "c"] {
            let dead = bench.receive(&name(to)).unwrap();
            assert_eq!(dead.message.payload.len(), bytes, "{to}");
            assert_eq!(told(&dead), ["q rejected x1 from  by q"]);
            bench.settle(&dead, Outcome::Done);
            bench.free();
        }
        let (claims, leaving) = bench.engine().journal.claims.audit();
        assert_eq!((claims.len(), leaving, bench.engine().journal.claims.bytes()), (0, 0, 0));
    }
}

#[test]
fn what_comes_to_no_queue_is_parked_whole() {
    for exchange in ["gone", "amq.direct", ""] {
        let bench = Bench::new(1_000);
        queue(&bench, "q", exchange, Some("nowhere"), |_| ());
        publish(&bench, "q", message("first", "k"));
        give_up(&bench, "q", Reason::Rejected);
        let parked = bench.crash().receive(&name(PARKED)).unwrap();
        assert_eq!(told(&parked), ["q rejected x1 from first by k"]);
        assert_eq!(*parked.message, message("first", "k"));
    }
}

#[test]
fn a_circle_without_a_rejection_ends_and_one_with_it_goes_on() {
    let ttl = |settings: &mut QueueSettings| settings.message_ttl = Some(Duration::from_secs(1));
    let bench = Bench::new(1_000);
    queue(&bench, "a", "", Some("b"), ttl);
    queue(&bench, "b", "", Some("a"), ttl);
    publish(&bench, "a", message("", "a"));
    for (depths, dropped) in [((0, 1), 0), ((0, 0), 1)] {
        bench.clock.advance(Duration::from_secs(1));
        ring(&bench);
        assert_eq!((bench.depth(&name("a")), bench.depth(&name("b"))), depths);
        let b = bench.engine().topology.find(&name("b")).unwrap();
        assert_eq!(b.lock().unwrap().counts.dropped, dropped, "it would come to a again, of itself");
    }
    assert!(bench.engine().topology.find(&name(PARKED)).is_err(), "its user has asked for that");
    publish(&bench, "a", message("", "a"));
    for round in 1..=3 {
        bench.clock.advance(Duration::from_secs(1));
        ring(&bench);
        let dead = bench.receive(&name("b")).unwrap();
        assert_eq!(dead.history.last().unwrap().count, round);
        bench.settle(&dead, Outcome::DeadLetter(Reason::Rejected));
        assert_eq!(bench.depth(&name("a")), 1);
    }
    // What was not rejected and is nobody's wish to drop, is parked.
    queue(&bench, "c", "", Some("c"), |_| ());
    publish(&bench, "c", message("", "c"));
    give_up(&bench, "c", Reason::DeliveryLimit);
    assert_eq!((bench.depth(&name("c")), bench.depth(&name(PARKED))), (0, 1));
    publish(&bench, "c", message("", "c"));
    give_up(&bench, "c", Reason::Rejected);
    assert_eq!(bench.depth(&name("c")), 1, "it comes back to where it was rejected");
}

#[test]
fn a_queues_own_time_to_live_counts_for_dead_letters_and_after_a_crash() {
    let bench = Bench::new(1_000);
    let wait = |seconds| {
        move |settings: &mut QueueSettings| {
            settings.message_ttl = Some(Duration::from_secs(seconds));
        }
    };
    queue(&bench, "first", "", Some("second"), wait(1));
    queue(&bench, "second", "", Some("third"), wait(5));
    bench.queue("third");
    publish(&bench, "first", message("", "first"));
    bench.clock.advance(Duration::from_secs(1));
    ring(&bench);
    let bench = bench.crash();
    bench.clock.advance(Duration::from_millis(4_999));
    ring(&bench);
    assert_eq!((bench.depth(&name("second")), bench.depth(&name("third"))), (1, 0));
    bench.clock.advance(Duration::from_millis(1));
    ring(&bench);
    let dead = bench.receive(&name("third")).unwrap();
    assert_eq!(told(&dead), ["second expired x1 from  by second", "first expired x1 from  by first"]);
}

#[test]
fn what_is_beyond_the_length_of_a_queue_goes_through_its_exchange() {
    let bench = Bench::new(1_000);
    let short = |settings: &mut QueueSettings| {
        (settings.length_max, settings.overflow) = (2, Overflow::DropHead);
    };
    queue(&bench, "q", "", Some("next"), short);
    queue(&bench, "next", "", Some("last"), short);
    bench.queue("last");
    for number in 0..6 {
        publish(&bench, "q", Message { payload: vec![7; number].into(), ..message("", "q") });
        assert!(bench.depth(&name("q")) <= 2);
        ring(&bench);
    }
    let bench = bench.crash();
    let first = |queue: &str| bench.receive(&name(queue)).unwrap();
    assert_eq!(["q", "next", "last"].map(|queue| bench.depth(&name(queue))), [2, 2, 2]);
    assert_eq!(["q", "next", "last"].map(|queue| first(queue).message.payload.len()), [4, 2, 0]);
    assert_eq!(told(&first("last")), ["next overflow x1 from  by next", "q overflow x1 from  by q"]);
}

#[test]
fn a_destination_at_its_length_takes_dead_letters() {
    let bench = Bench::new(1_000);
    queue(&bench, "q", "", Some("full"), |_| ());
    queue(&bench, "full", "", Some("q"), |settings| settings.length_max = 1);
    for number in 1..=3 {
        publish(&bench, "q", message("", "q"));
        give_up(&bench, "q", Reason::Rejected);
        assert_eq!(bench.depth(&name("full")), number);
    }
}

#[test]
fn in_a_virtual_host_the_exchange_is_its_own() {
    let bench = Bench::new(1_000);
    queue(&bench, "//v/q", "", None, |_| ());
    bench.queue("other");
    bench.queue("//v/other");
    publish(&bench, "//v/q", message("", "other"));
    give_up(&bench, "//v/q", Reason::Rejected);
    assert_eq!((bench.depth(&name("other")), bench.depth(&name("//v/other"))), (0, 1));
}

#[test]
fn a_publish_that_is_refused_goes_to_the_dead_letters_where_that_is_asked_for() {
    for bytes in [10, 5_000] {
        let bench = Bench::new(1_000);
        queue(&bench, "q", "amq.fanout", None, |settings| {
            (settings.length_max, settings.overflow) = (1, Overflow::RejectDeadLetter);
        });
        let payload = || Message { payload: vec![7; bytes].into(), ..message("x", "k") };
        publish(&bench, "q", payload());
        assert_eq!(bench.publish_all(&name("q"), vec![payload()]), Err(Kind::Full));
        for to in ["a", "b"] {
            bind(&bench, "amq.fanout", to, "");
        }
        assert_eq!(bench.publish_all(&name("q"), vec![payload()]), Err(Kind::Full));
        bench.write();
        let bench = bench.crash();
        assert_eq!(bench.depth(&name("q")), 1);
        for to in ["a", "b"] {
            let dead = bench.receive(&name(to)).unwrap();
            assert_eq!((dead.message.payload.len(), dead.attempt), (bytes, 1));
            assert_eq!(told(&dead), ["q overflow x1 from x by k"]);
            bench.settle(&dead, Outcome::Done);
            assert!(bench.receive(&name(to)).is_none());
        }
        give_up(&bench, "q", Reason::Rejected);
        for to in ["a", "b"] {
            bench.settle(&bench.receive(&name(to)).unwrap(), Outcome::Done);
        }
        bench.free();
        assert_eq!(bench.engine().journal.claims.bytes(), 0);
    }
}

#[test]
fn the_file_of_a_refused_payload_stays_until_its_last_copy_is_written() {
    let bench = Bench::new(1_000);
    queue(&bench, "q", "amq.fanout", None, |settings| {
        (settings.length_max, settings.overflow) = (1, Overflow::RejectDeadLetter);
    });
    publish(&bench, "q", message("x", "k"));
    for to in ["a", "b"] {
        bind(&bench, "amq.fanout", to, "");
    }
    let b = bench.engine().topology.find(&name("b")).unwrap();
    std::thread::scope(|scope| {
        let in_the_way = b.lock().unwrap();
        let publisher = scope.spawn(|| {
            let large = Message { payload: vec![7; 5_000].into(), ..message("x", "k") };
            bench.publish_all(&name("q"), vec![large])
        });
        while bench.depth(&name("a")) == 0 {
            assert!(!publisher.is_finished(), "it has to wait for b");
            std::thread::yield_now();
        }
        bench.settle(&bench.receive(&name("a")).unwrap(), Outcome::Done);
        bench.free();
        drop(in_the_way);
        assert_eq!(publisher.join().unwrap(), Err(Kind::Full));
    });
    // Not after a crash: that may bring back what was removed.
    bench.free();
    let dead = bench.receive(&name("b")).unwrap();
    assert_eq!(dead.message.payload.len(), 5_000);
    bench.settle(&dead, Outcome::Done);
    bench.free();
    let (claims, leaving) = bench.engine().journal.claims.audit();
    assert_eq!((claims.len(), leaving, bench.engine().journal.claims.bytes()), (0, 0, 0));
}

#[test]
fn a_queue_of_no_length_gives_up_all_that_comes() {
    for through in [false, true] {
        let bench = Bench::new(1_000);
        queue(&bench, "q", "", Some("next"), |settings| {
            (settings.length_max, settings.overflow) = (0, Overflow::DropHead);
            settings.dead_letter_exchange.take_if(|_| !through);
        });
        bench.queue("next");
        publish(&bench, "q", message("", "q"));
        assert_eq!(["q", "next"].map(|queue| bench.depth(&name(queue))), [0, u64::from(through)]);
    }
}
