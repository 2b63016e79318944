//! The least that each backend must be able to do: said here by hand, and never written anew from what they declare. Suites run
//! what is declared alone, so a backend that declared less would pass them all.

#![cfg(all(
    feature = "kafka",
    feature = "memcached",
    feature = "rabbitmq",
    feature = "redis",
    feature = "sqs"
))]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use forebay_connect::declared::{Declared, declared};
use forebay_core::ports::clock::Clock;
use forebay_runtime::clock::TokioClock;

type Has = (&'static str, bool);

fn all_declared() -> Vec<Declared> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    declared(&clock).unwrap()
}

fn assert_has(of: &Declared, least: &[Has]) {
    for (what, has) in least {
        assert!(has, "{} does not declare {what}", of.url);
    }
}

#[test]
fn every_url_that_is_promised_is_looked_at() {
    let all = all_declared();
    let used = |of: fn(&Declared) -> bool| {
        let schemes = all.iter().filter(|one| of(one)).map(|one| one.url.split("://").next().unwrap());
        schemes.collect::<Vec<_>>()
    };
    assert_eq!(used(|one| one.store.is_some()), ["memcached", "redis", "redis+sentinel", "redis-cluster"]);
    assert_eq!(
        used(|one| one.broker.is_some()),
        ["redis", "redis+sentinel", "redis-cluster", "amqp", "kafka", "sqs"]
    );
}

#[test]
fn every_broker_declares_the_least_and_what_is_promised_of_it() {
    for one in all_declared() {
        let Some(can) = one.broker else { continue };
        assert_has(
            &one,
            &[
                ("delay and retry with backoff", can.delay),
                ("dead letters", can.dead_letter),
                ("extend", can.extend),
                ("attempts", can.attempts),
                ("holds that end", can.expired),
                ("order by key", can.order_by_key),
            ],
        );
        match one.name {
            "Redis" | "RabbitMQ" => assert_has(&one, &[("priorities", can.priorities)]),
            "Kafka" => assert_has(&one, &[("replay", can.retain)]),
            "SQS" => {}
            unknown => panic!("nothing is said of {unknown}"),
        }
    }
}

#[test]
fn every_store_declares_the_least_and_redis_tags_and_locks_too() {
    for one in all_declared() {
        let Some(can) = one.store else { continue };
        assert_has(
            &one,
            &[
                ("lease", can.lease),
                ("fenced fill", can.fenced_fill),
                ("conditions", can.conditional),
                ("arithmetic", can.arithmetic),
                ("touch", can.touch),
                ("negative entries", can.negative),
            ],
        );
        // All keys of a tag lie on one server, and a lock outlives no fail-over.
        match one.url.split("://").next().unwrap() {
            "redis" => assert_has(&one, &[("tags", can.tags), ("locks", can.locks)]),
            "redis+sentinel" => assert_has(&one, &[("tags", can.tags)]),
            "redis-cluster" | "memcached" => {}
            unknown => panic!("nothing is said of {unknown}"),
        }
    }
}
