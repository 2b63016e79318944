//! A message fails, and its consumer dies: the rules on the embedded broker, from publishing to the dead letters.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_broker::{BrokerOptions, EmbeddedBroker, open};
use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_contract::runner::Runner;
use forebay_core::delivery::{Delivery, End, Outcome, Reason};
use forebay_core::ports::clock::{Clock, Spawn};
use forebay_core::queue::{Backoff, PARKED, QueueName, QueueSettings};
use forebay_queue::deliver::ReceiveOptions;
use forebay_queue::publish::Draft;
use forebay_queue::queues::Queues;

struct House {
    files: Saboteur,
    clock: SimClock,
    runner: Arc<Runner>,
    broker: Arc<EmbeddedBroker>,
    queues: Queues,
    orders: QueueName,
}

impl House {
    /// A queue that tries twice, the second time after one second.
    fn new() -> Self {
        let mut house = Self::open(Saboteur::new(), SimClock::new(1));
        let mut settings = QueueSettings::new(house.orders.clone());
        settings.retry.attempt_max = 2;
        let second = Duration::from_secs(1);
        settings.retry.backoff = Backoff { first: second, longest: second, jitter: 0.0 };
        house.runner.block_on(house.queues.ensure(&settings)).unwrap();
        house.publish("an order");
        house.restart();
        house
    }

    fn open(files: Saboteur, clock: SimClock) -> Self {
        let runner = Runner::new();
        let opened =
            open(Arc::new(files.clone()), BrokerOptions::default(), Arc::new(clock.clone())).unwrap();
        let queues = Queues::new(opened.broker.clone(), Arc::new(clock.clone()));
        opened.work.into_iter().for_each(|work| runner.spawn(work));
        runner.spawn(queues.expirer());
        let orders = QueueName::new("orders").unwrap();
        Self { files, clock, runner, broker: opened.broker, queues, orders }
    }

    /// Loses power and comes back.
    fn restart(&mut self) {
        let files = self.files.crash(self.clock.random());
        self.stop();
        *self = Self::open(files, self.clock.clone());
    }

    fn stop(&self) {
        self.broker.close();
        self.runner.join();
    }

    fn publish(&self, payload: &str) {
        self.runner.block_on(self.queues.publish(&self.orders, vec![Draft::new(payload)])).unwrap();
    }

    fn receive(&self, queue: &QueueName) -> Option<Delivery> {
        self.runner.block_on(self.queues.receive(queue, ReceiveOptions::default())).unwrap().pop()
    }

    fn end(&self, delivery: &Delivery, end: End) -> Option<Outcome> {
        self.runner
            .block_on(self.queues.end(&delivery.queue, delivery.id, end, Some("out of stock")))
            .unwrap()
    }

    fn parked(&self) -> Option<Delivery> {
        self.receive(&QueueName::new(PARKED).unwrap())
    }
}

#[test]
fn a_message_that_fails_twice_is_parked_with_its_history_also_when_power_fails_in_between() {
    let mut house = House::new();
    let first = house.receive(&house.orders).unwrap();
    let retry_at = house.clock.now() + Duration::from_secs(1);
    assert_eq!(house.end(&first, End::Failed), Some(Outcome::RetryAt(retry_at)));
    house.restart();
    assert!(house.receive(&house.orders).is_none());
    house.runner.pass(&house.clock, Duration::from_secs(1));
    let second = house.receive(&house.orders).unwrap();
    assert_eq!(second.attempt, 2);
    assert_eq!(house.end(&second, End::Failed), Some(Outcome::DeadLetter(Reason::AttemptsSpent)));
    assert_eq!(house.end(&second, End::Failed), None, "it has ended");
    house.restart();
    assert!(house.receive(&house.orders).is_none());
    let parked = house.parked().unwrap();
    assert_eq!(&*parked.message.payload, b"an order");
    let [line] = &parked.history[..] else { panic!("one line of history: {:?}", parked.history) };
    assert_eq!(
        (&line.queue, line.reason, line.count, line.attempts),
        (&house.orders, Reason::AttemptsSpent, 1, 2)
    );
    assert_eq!(line.note.as_deref(), Some("out of stock"));
    house.stop();
}

#[test]
fn a_consumer_that_dies_enters_by_the_same_door() {
    let mut house = House::new();
    let wait = Duration::from_secs(60);
    for attempt in 1..=2 {
        let delivery = house.receive(&house.orders).unwrap();
        assert_eq!(delivery.attempt, attempt);
        house.publish("another order, whose confirm makes the delivery durable too");
        let other = house.receive(&house.orders).unwrap();
        assert_eq!(house.end(&other, End::Acked), Some(Outcome::Done));
        house.restart();
        house.runner.pass(&house.clock, wait);
        assert_eq!(house.end(&delivery, End::Acked), None, "its word comes too late");
    }
    assert!(house.receive(&house.orders).is_none());
    assert_eq!(house.parked().unwrap().history[0].attempts, 2);
    house.stop();
}
