//! What callers ask for at one time goes to the server together, and each is told its own.

use std::sync::Arc;

use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::entry::Mode;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Changed, Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_redis::broker::RedisBroker;
use futures_util::future::join_all;

use crate::ground::Ground;

const COUNT: usize = 100;

struct Bench {
    redis: Redis,
    ground: Ground,
    broker: Arc<RedisBroker>,
    q: QueueName,
}

fn bench() -> Bench {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let broker = ground.broker(&format!("redis://{}?timeout_ms=3000", redis.address));
    let settings = QueueSettings::new(QueueName::new("q").unwrap());
    ground.run(broker.ensure(&settings)).unwrap();
    Bench { redis, ground, broker, q: settings.name }
}

impl Bench {
    fn publish(&self, ids: impl Iterator<Item = usize>) {
        let message =
            |id: usize| Message::new(MessageId::given(&id.to_string()).unwrap(), Payload::from(vec![7; 9]));
        self.ground.run(self.broker.publish(&self.q, ids.map(message).collect())).unwrap();
    }

    fn receive(&self, count_max: usize) -> Vec<Delivery> {
        let asked = Receive { count_max, hold: None, wait_until: self.ground.clock.now() };
        self.ground.run(self.broker.receive(&self.q, asked)).unwrap()
    }

    /// Acknowledges all of them at one time.
    fn acknowledge(&self, ids: &[DeliveryId]) -> Vec<Settled> {
        let each = ids.iter().map(|id| self.broker.settle(&self.q, *id, Outcome::Done, None));
        self.ground.run(join_all(each)).into_iter().map(|settled| settled.unwrap()).collect()
    }
}

fn ids(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| delivery.message.id.as_str().to_owned()).collect()
}

/// How often the server has carried out a command.
fn calls(redis: &Redis, command: &str) -> usize {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn acknowledgements_of_one_time_are_few_steps_of_the_server_and_leave_nothing() {
    let bench = bench();
    bench.publish(0..COUNT);
    let held: Vec<DeliveryId> = bench.receive(COUNT).iter().map(|delivery| delivery.id).collect();
    assert_eq!(held.len(), COUNT);
    assert_eq!(bench.acknowledge(&held), [Settled::Done; COUNT]);
    let steps = calls(&bench.redis, "xack");
    assert!(steps < COUNT / 2, "{steps} steps");
    let mut left: Vec<String> = bench.redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    left.sort();
    assert_eq!(left, ["{forebay}:names", "{forebay}:queue:q", "{forebay}:stream:q"]);
    assert_eq!(bench.redis.cli(&["XLEN", "{forebay}:stream:q"]), "0");
}

#[test]
fn of_one_delivery_acknowledged_many_times_at_once_one_is_done_and_others_beside_it_are_too() {
    let bench = bench();
    bench.publish(0..3);
    let held: Vec<DeliveryId> = bench.receive(3).iter().map(|delivery| delivery.id).collect();
    let [first, second, third] = held[..] else { panic!("three deliveries") };
    let another = DeliveryId { token: second.token.wrapping_add(1), ..second };
    let settled = bench.acknowledge(&[first, another, first, third, first]);
    assert_eq!((settled[1], settled[3]), (Settled::NotHeld, Settled::Done));
    let done = [0, 2, 4].into_iter().filter(|place| settled[*place] == Settled::Done).count();
    assert_eq!(done, 1);
    assert_eq!(bench.redis.cli(&["HKEYS", "{forebay}:tokens:q"]), second.position.to_string());
}

#[test]
fn the_bell_rings_when_something_comes_to_where_nothing_was() {
    let bench = bench();
    let rung = || calls(&bench.redis, "publish");
    (0..5).for_each(|id| bench.publish(id..id + 1));
    assert_eq!(rung(), 1, "who waits is told of the first");
    assert_eq!(bench.receive(3).len(), 3);
    bench.publish(5..7);
    assert_eq!(rung(), 1, "nobody has found that there is nothing");
    assert_eq!(bench.receive(COUNT).len(), 4);
    bench.publish(7..8);
    assert_eq!(rung(), 2);
}

#[test]
fn what_somebody_removed_from_the_stream_by_hand_takes_nothing_else_with_it() {
    let bench = bench();
    // A few come with the answer, many are read behind it.
    for (round, count) in [3, COUNT].into_iter().enumerate() {
        bench.publish(0..count);
        let second = (3 * round + 2).to_string();
        assert_eq!(bench.redis.cli(&["XDEL", "{forebay}:stream:q", &format!("{second}-0")]), "1");
        let deliveries = bench.receive(COUNT);
        let expected: Vec<String> = (0..count).filter(|id| *id != 1).map(|id| id.to_string()).collect();
        assert_eq!(ids(&deliveries), expected);
        let held: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id).collect();
        assert!(bench.acknowledge(&held).iter().all(|settled| *settled == Settled::Done));
        assert_eq!(bench.redis.cli(&["EXISTS", "{forebay}:holds", "{forebay}:tokens:q"]), "0");
    }
}

#[test]
fn many_messages_come_in_their_order_also_where_others_lie_between_them() {
    let bench = bench();
    bench.publish(0..COUNT);
    let all = bench.receive(COUNT);
    assert_eq!(ids(&all), (0..COUNT).map(|id| id.to_string()).collect::<Vec<_>>());
    let back = Outcome::Return { seen: true };
    let each = all.iter().filter(|delivery| delivery.id.position % 3 != 0);
    let each = each.map(|delivery| bench.broker.settle(&bench.q, delivery.id, back, None));
    assert!(bench.ground.run(join_all(each)).into_iter().all(|settled| settled.unwrap() == Settled::Done));
    let again = bench.receive(COUNT);
    let expected = all.iter().filter(|delivery| delivery.id.position % 3 != 0);
    let expected: Vec<Delivery> = expected.cloned().collect();
    assert_eq!(ids(&again), ids(&expected));
    assert!(again.iter().all(|delivery| delivery.attempt == 2 && delivery.message.payload.len() == 9));
}

#[test]
fn reads_of_one_time_are_few_steps_of_the_server_and_each_has_its_own_answer() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}?timeout_ms=3000", redis.address));
    let keys: Vec<String> = (0..COUNT).map(|number| format!("key:{number}")).collect();
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    for key in keys.iter().skip(1) {
        ground.run(store.put(key.as_bytes(), key.as_bytes(), put)).unwrap();
    }
    let read = async |key: &String| store.get(&[key.as_bytes()]).await.pop().unwrap().unwrap();
    let found = ground.run(join_all(keys.iter().map(read)));
    assert_eq!(found[0], None, "it is not there");
    for (key, found) in keys.iter().zip(&found).skip(1) {
        assert_eq!(found.as_ref().map(|shared| &*shared.value), Some(key.as_bytes()));
    }
    let steps = calls(&redis, "mget");
    assert!(steps < COUNT / 2, "{steps} steps");
}

#[test]
fn writes_of_one_time_are_told_their_own_and_are_all_there() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}?timeout_ms=3000", redis.address));
    let put = Put { flags: 7, life: None, mode: Mode::Set, version: None };
    let keys: Vec<String> = (0..COUNT).map(|number| format!("key:{number}")).collect();
    // Somebody else's key is not of a kind that can be written over.
    assert_eq!(redis.cli(&["SADD", "forebay:e:key:50", "member"]), "1");
    let large = "x".repeat(10_000);
    let value = |key: &str| if key == "key:60" { large.clone() } else { key.to_owned() };
    let write = async |key: &String| store.put(key.as_bytes(), value(key).as_bytes(), put).await;
    let written = ground.run(join_all(keys.iter().map(write)));
    for (key, written) in keys.iter().zip(&written) {
        if key == "key:50" {
            assert!(written.as_ref().is_err_and(|error| error.to_string().contains(key)), "{written:?}");
            continue;
        }
        let shared = ground.run(store.get(&[key.as_bytes()])).pop().unwrap().unwrap().unwrap();
        assert_eq!((shared.flags, &*shared.value), (7, value(key).as_bytes()));
        assert_eq!(written.as_ref().unwrap(), &Changed::Done(shared.version), "{key}");
    }
    assert_eq!(calls(&redis, "evalsha") + calls(&redis, "eval"), 0, "no script is needed");
}
