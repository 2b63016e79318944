//! Messages that need nothing but their place: they are handed out by the group itself, and stay in turn with all others.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::{Does, Wire};
use forebay_contract::servers::within;
use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::error::{Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::stats::QueueStats;
use forebay_redis::broker::RedisBroker;

use crate::ground::Ground;

const SOON: Duration = Duration::from_secs(30);

struct Bench {
    redis: Redis,
    wire: Wire,
    ground: Ground,
    broker: Arc<RedisBroker>,
    q: QueueName,
}

fn bench(change: impl FnOnce(&mut QueueSettings)) -> Bench {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let broker = ground.broker(&format!("redis://{}?timeout_ms=3000&patience_ms=10000", wire.address));
    let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
    change(&mut settings);
    ground.run(broker.ensure(&settings)).unwrap();
    Bench { redis, wire, ground, broker, q: settings.name }
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

fn plain(ids: &[&str]) -> Vec<Message> {
    ids.iter().map(|id| message(id)).collect()
}

fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.id.as_str()).collect()
}

impl Bench {
    fn publish(&self, messages: Vec<Message>) -> Result<Vec<MessageId>> {
        self.ground.run(self.broker.publish(&self.q, messages))
    }

    fn receive_for(&self, count_max: usize, hold: Option<Duration>) -> Vec<Delivery> {
        let asked = Receive { count_max, hold, wait_until: self.ground.clock.now() };
        self.ground.run(self.broker.receive(&self.q, asked)).unwrap()
    }

    fn receive(&self, count_max: usize) -> Vec<Delivery> {
        self.receive_for(count_max, None)
    }

    fn settle(&self, delivery: &Delivery, outcome: Outcome) -> Settled {
        self.ground.run(self.broker.settle(&self.q, delivery.id, outcome, None)).unwrap()
    }

    fn stats(&self) -> QueueStats {
        self.ground.run(self.broker.queue(&self.q)).unwrap().stats
    }
}

#[test]
fn messages_come_in_the_order_of_their_publishing_whatever_else_they_need() {
    let bench = bench(|settings| settings.priority_max = 9);
    let later = Some(bench.ground.clock.now() + Duration::from_secs(3_600));
    let ends = |id| Message { expires_at: later, ..message(id) };
    let once = |id: &str| Message { dedup_id: Some(id.to_owned()), ..message(id) };
    let large = |id| Message { payload: Payload::from(vec![7; 100_000]), ..message(id) };
    bench.publish(plain(&["1"])).unwrap();
    bench.publish(plain(&["2", "3", "4", "5", "6"])).unwrap();
    bench.publish(vec![ends("7"), message("8"), once("9")]).unwrap();
    bench.publish(plain(&["10", "11", "12", "13"])).unwrap();
    bench.publish(vec![large("14"), message("15"), Message { priority: 5, ..message("first") }]).unwrap();
    bench.publish(vec![Message { not_before: later, ..message("waits") }]).unwrap();
    let stats = bench.stats();
    assert_eq!((stats.ready, stats.delayed, stats.published), (16, 1, 17));
    let shown = bench.ground.run(bench.broker.peek(&bench.q, 100)).unwrap();
    let shown: Vec<&str> = shown.iter().map(|peeked| peeked.delivery.message.id.as_str()).collect();
    let mut held = Vec::new();
    while held.len() < 16 {
        let deliveries = bench.receive(3);
        assert!(!deliveries.is_empty() && deliveries.len() <= 3);
        held.extend(deliveries);
    }
    let expected: Vec<String> =
        std::iter::once("first".to_owned()).chain((1..=15).map(|id| id.to_string())).collect();
    assert_eq!(ids(&held), expected);
    assert_eq!(shown, expected);
    assert_eq!(bench.stats().held, 16);
    // Of those that come back each has its place again, before what comes behind.
    bench.publish(plain(&["16", "17", "18", "19"])).unwrap();
    for delivery in held.iter().filter(|delivery| delivery.id.position % 4 == 0) {
        assert_eq!(bench.settle(delivery, Outcome::Return { seen: false }), Settled::Done);
    }
    let again: Vec<Delivery> = (0..20).flat_map(|_| bench.receive(1)).collect();
    let back = held.iter().filter(|delivery| delivery.id.position % 4 == 0);
    let back = back.map(|delivery| delivery.message.id.as_str());
    let expected: Vec<&str> = back.chain(["16", "17", "18", "19"]).collect();
    assert_eq!(ids(&again), expected);
    for delivery in &held {
        let is_back = delivery.id.position % 4 == 0;
        let expected = if is_back { Settled::NotHeld } else { Settled::Done };
        assert_eq!(bench.settle(delivery, Outcome::Done), expected, "{:?}", delivery.message.id);
    }
    assert!(again.iter().all(|delivery| bench.settle(delivery, Outcome::Done) == Settled::Done));
    let stats = bench.stats();
    assert_eq!((stats.ready, stats.held, stats.delayed), (0, 0, 1));
    assert_eq!((stats.published, stats.acked), (21, 20));
}

#[test]
fn a_batch_that_finds_no_room_is_refused_whole() {
    let bench = bench(|settings| settings.length_max = 10);
    let refused = |ids: &[&str]| bench.publish(plain(ids)).unwrap_err().kind();
    bench.publish(plain(&["1", "2", "3", "4", "5", "6", "7", "8"])).unwrap();
    assert_eq!(refused(&["a", "b", "c", "d", "e"]), Kind::Full);
    assert_eq!(refused(&["a", "b", "c"]), Kind::Full);
    bench.publish(plain(&["9", "10"])).unwrap();
    assert_eq!(refused(&["a"]), Kind::Full);
    assert_eq!(bench.stats().ready, 10);
    // What is held takes no room.
    assert_eq!(bench.receive(4).len(), 4);
    bench.publish(plain(&["11", "12", "13", "14"])).unwrap();
    assert_eq!(refused(&["a"]), Kind::Full);
    assert_eq!(bench.stats().published, 14);
    assert_eq!(bench.redis.cli(&["EXISTS", "{forebay}:door:q"]), "0");
}

#[test]
fn of_a_take_whose_answer_was_lost_all_comes_back_and_nothing_else() {
    let bench = bench(|settings| settings.hold = Duration::from_secs(3_600));
    bench.publish(plain(&["1", "2", "3", "4", "5", "6"])).unwrap();
    let held = bench.receive(2);
    bench.wire.set(Does::Swallow);
    let asked = Receive { count_max: 2, hold: None, wait_until: bench.ground.clock.now() };
    let lost = bench.ground.handle().spawn({
        let (broker, q) = (bench.broker.clone(), bench.q.clone());
        async move { broker.receive(&q, asked).await.map(|deliveries| deliveries.len()) }
    });
    let pending = || bench.redis.cli(&["XPENDING", "{forebay}:stream:q", "forebay"]);
    within(SOON, "the server has handed them out", || pending().starts_with('4'));
    bench.wire.cut(Does::Pass);
    let _ = bench.ground.run(lost).unwrap();
    let mut rest = Vec::new();
    within(SOON, "all others come", || {
        rest.extend(bench.receive(10));
        rest.len() >= 4
    });
    rest.sort_by_key(|delivery| delivery.id.position);
    assert_eq!(ids(&rest), ["3", "4", "5", "6"]);
    assert!(rest.iter().all(|delivery| delivery.attempt == 1), "nobody has seen them");
    assert!(held.iter().all(|delivery| bench.settle(delivery, Outcome::Done) == Settled::Done));
}

#[test]
fn a_hold_of_another_length_is_kept_beside_those_of_the_queue() {
    let bench = bench(|settings| settings.hold = Duration::from_secs(3_600));
    bench.publish(plain(&["1", "2", "3", "4", "5"])).unwrap();
    let long = bench.receive(2);
    let short = bench.receive_for(2, Some(Duration::from_millis(300)));
    let long_too = bench.receive(2);
    assert_eq!((ids(&long), ids(&short), ids(&long_too)), (vec!["1", "2"], vec!["3", "4"], vec!["5"]));
    let soon = bench.ground.run(bench.broker.extend(&bench.q, long[0].id, Duration::from_millis(600)));
    assert!(soon.unwrap().is_some());
    let mut over = Vec::new();
    within(SOON, "three holds run out", || {
        over.extend(bench.ground.run(bench.broker.expired()).unwrap());
        over.len() >= 3
    });
    assert_eq!(ids(&over), ["3", "4", "1"]);
    for delivery in over.iter().chain(&long[1..]).chain(&long_too) {
        assert_eq!(bench.settle(delivery, Outcome::Done), Settled::Done);
    }
}

#[test]
fn a_server_that_has_forgotten_the_scripts_is_told_them_and_does_nothing_twice() {
    let bench = bench(|_| ());
    for round in 1..=2 {
        assert_eq!(bench.redis.cli(&["SCRIPT", "FLUSH"]), "OK");
        bench.publish(plain(&["1", "2", "3", "4", "5", "6"])).unwrap();
        assert_eq!(bench.redis.cli(&["SCRIPT", "FLUSH"]), "OK");
        let held = bench.receive(10);
        assert_eq!(ids(&held), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(bench.redis.cli(&["SCRIPT", "FLUSH"]), "OK");
        assert!(held.iter().all(|delivery| bench.settle(delivery, Outcome::Done) == Settled::Done));
        assert_eq!((bench.stats().published, bench.stats().acked), (6 * round, 6 * round));
    }
}

#[test]
fn a_queue_of_an_older_layout_is_refused_by_name() {
    let bench = bench(|_| ());
    assert_eq!(bench.redis.cli(&["HDEL", "{forebay}:queue:q", "plain"]), "1");
    let refused = bench.publish(plain(&["1"])).unwrap_err().to_string();
    assert!(refused.contains("queue q is of an older layout"), "{refused}");
}
