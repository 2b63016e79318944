//! Several processes on one server: their consumers share the work, and wake each other.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::limits::EXPIRED_GRACE;
use forebay_core::limits::redis::LOOK_PAUSE;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use forebay_redis::broker::RedisBroker;

use crate::ground::Ground;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::within;

const SOON: Duration = Duration::from_secs(30);

fn message(id: &str, key: Option<&str>) -> Message {
    Message { key: key.map(str::to_owned), ..Message::new(MessageId::given(id).unwrap(), Payload::from(id)) }
}

fn receive(ground: &Ground, broker: &RedisBroker, queue: &QueueName, count_max: usize) -> Vec<Delivery> {
    let asked = Receive { count_max, hold: None, wait_until: ground.clock.now() };
    ground.run(broker.receive(queue, asked)).unwrap()
}

fn two(
    change: impl FnOnce(&mut QueueSettings),
) -> (Redis, [(Ground, std::sync::Arc<RedisBroker>); 2], QueueName) {
    let redis = Redis::start(Keeps::Everything, &[]);
    let processes = [(); 2].map(|()| {
        let ground = Ground::new();
        let broker = ground.broker(&format!("redis://{}", redis.address));
        (ground, broker)
    });
    let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
    change(&mut settings);
    for (ground, broker) in &processes {
        ground.run(broker.ensure(&settings)).unwrap();
    }
    (redis, processes, settings.name)
}

#[test]
fn each_message_goes_to_one_of_them() {
    let (_redis, [(ground, one), (other_ground, other)], q) = two(|_| ());
    let messages = (0..200).map(|number| message(&number.to_string(), None)).collect();
    ground.run(one.publish(&q, messages)).unwrap();
    let mut seen = HashSet::new();
    loop {
        let of_one = receive(&ground, &one, &q, 3);
        let of_other = receive(&other_ground, &other, &q, 2);
        if of_one.is_empty() && of_other.is_empty() {
            break;
        }
        for delivery in of_one.iter().chain(&of_other) {
            assert!(
                seen.insert(delivery.message.id.clone()),
                "{:?} was handed out twice",
                delivery.message.id
            );
        }
    }
    assert_eq!(seen.len(), 200);
}

#[test]
fn what_one_publishes_wakes_a_receiver_of_the_other() {
    let (_redis, [(ground, one), (other_ground, other)], q) = two(|_| ());
    let mut quickest = SOON;
    for round in 0..5 {
        let asked = Receive {
            count_max: 1,
            hold: None,
            wait_until: other_ground.clock.now() + Duration::from_secs(25),
        };
        let waits = other_ground.handle().spawn({
            let (other, q) = (other.clone(), q.clone());
            async move { other.receive(&q, asked).await.map(|deliveries| deliveries.len()) }
        });
        std::thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        ground.run(one.publish(&q, vec![message(&round.to_string(), None)])).unwrap();
        assert_eq!(other_ground.run(waits).unwrap().unwrap(), 1);
        quickest = quickest.min(began.elapsed());
    }
    // Without the bell each takes most of the second after which a queue is looked at anyway.
    assert!(quickest < LOOK_PAUSE / 4, "the bell rings: {quickest:?}");
}

#[test]
fn receivers_with_different_holds_wait_side_by_side() {
    let (redis, [(ground, one), (other_ground, other)], q) = two(|_| ());
    let wait = |hold: Option<u64>, seconds| {
        let (one, q) = (one.clone(), q.clone());
        let hold = hold.map(Duration::from_secs);
        let wait_until = ground.clock.now() + Duration::from_secs(seconds);
        let asked = Receive { count_max: 1, hold, wait_until };
        ground.handle().spawn(async move { one.receive(&q, asked).await })
    };
    let takes = || -> u64 {
        let stats = redis.cli(&["INFO", "commandstats"]);
        let calls =
            stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse().unwrap())
    };
    let first = wait(None, 25);
    std::thread::sleep(Duration::from_millis(100));
    let second = wait(Some(5), 25);
    let before = takes();
    let began = Instant::now();
    assert!(ground.run(wait(Some(7), 0)).unwrap().unwrap().is_empty());
    assert!(began.elapsed() < Duration::from_secs(3), "who does not wait is answered at once");
    std::thread::sleep(Duration::from_secs(2));
    // Beside a look in a second there is what both processes do now and then.
    assert!(takes() - before < 60, "{} scripts in two seconds", takes() - before);
    other_ground.run(other.publish(&q, vec![message("a", None), message("b", None)])).unwrap();
    for receiver in [first, second] {
        assert_eq!(ground.run(receiver).unwrap().unwrap().len(), 1);
    }
}

#[test]
fn what_nobody_settles_is_offered_again_after_the_grace() {
    let (_redis, [(ground, one), (other_ground, other)], q) =
        two(|settings| settings.hold = Duration::from_millis(500));
    ground.run(one.publish(&q, vec![message("m", None)])).unwrap();
    assert_eq!(receive(&ground, &one, &q, 1).len(), 1);
    let offered = ground.run(one.expired()).unwrap();
    let began = Instant::now();
    // Whoever was offered it has ended without a word.
    let again = other_ground.run(other.expired()).unwrap();
    assert!(began.elapsed() > EXPIRED_GRACE / 2, "it was offered to nobody else meanwhile");
    assert_eq!(again[0].id, offered[0].id);
    assert_eq!(other_ground.run(other.settle(&q, again[0].id, Outcome::Done, None)).unwrap(), Settled::Done);
}

#[test]
fn of_one_key_only_one_is_held_at_a_time_by_all_of_them() {
    let (_redis, [(ground, one), (other_ground, other)], q) = two(|settings| settings.order = Order::Key);
    ground.run(one.publish(&q, vec![message("a1", Some("a")), message("a2", Some("a"))])).unwrap();
    let held = receive(&ground, &one, &q, 10);
    assert_eq!(held.len(), 1);
    assert!(receive(&other_ground, &other, &q, 10).is_empty());
    assert_eq!(ground.run(one.settle(&q, held[0].id, Outcome::Done, None)).unwrap(), Settled::Done);
    let next = receive(&other_ground, &other, &q, 10);
    assert_eq!(next.first().map(|delivery| delivery.message.id.as_str()), Some("a2"));
}

#[test]
fn what_a_process_held_that_died_is_offered_to_the_other_and_comes_again() {
    let (_redis, [(ground, one), (other_ground, other)], q) =
        two(|settings| settings.hold = Duration::from_millis(500));
    ground.run(one.publish(&q, vec![message("m", None)])).unwrap();
    assert_eq!(receive(&ground, &one, &q, 1).len(), 1);
    // It ends without a word.
    drop((one, ground));
    let offered = other_ground.run(other.expired()).unwrap();
    assert_eq!((offered.len(), offered[0].attempt), (1, 1));
    let again = Outcome::RetryAt(other_ground.clock.now());
    assert_eq!(other_ground.run(other.settle(&q, offered[0].id, again, None)).unwrap(), Settled::Done);
    within(SOON, "it comes again", || {
        receive(&other_ground, &other, &q, 1).iter().any(|delivery| delivery.attempt == 2)
    });
}
