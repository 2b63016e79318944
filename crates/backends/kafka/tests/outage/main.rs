//! The server goes away under load and comes back: nothing that was confirmed is lost, and no consumer stays deaf.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../server/mod.rs"]
mod server;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::{Clock, Run};
use forebay_core::queue::{Order, QueueName, QueueSettings};
use forebay_kafka::broker::KafkaBroker;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;
use futures_util::future::join_all;
use server::Kafka;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What a call may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
/// After so long nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);
/// Messages of one publish.
const BATCH: usize = 20;

/// Messages that are published and not yet acknowledged.
const LEAD_MAX: usize = 400;

/// What is known of the messages of one queue.
#[derive(Default)]
struct Books {
    confirmed: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    slowest: Duration,
    refused: usize,
}

struct Load {
    broker: KafkaBroker,
    clock: Arc<dyn Clock>,
    queue: QueueName,
    books: Mutex<Books>,
    /// The server is away: a publish is to be refused, however far the acknowledgements are behind.
    away: AtomicBool,
    stop: AtomicBool,
}

impl Load {
    async fn on(broker: &KafkaBroker, clock: &Arc<dyn Clock>, queue: &str, order: Order) -> Arc<Self> {
        let queue = QueueName::new(queue).unwrap();
        let settings = QueueSettings { order, ..QueueSettings::new(queue.clone()) };
        // Three servers start at a time.
        let begun = Instant::now();
        while let Err(error) = broker.ensure(&settings).await {
            assert!(error.kind() == Kind::Unavailable && begun.elapsed() < DEAF_MAX, "{error}");
        }
        let (broker, clock) = (broker.clone(), clock.clone());
        Arc::new(Self { broker, clock, queue, books: Mutex::default(), away: AtomicBool::default(), stop: AtomicBool::default() })
    }

    async fn publish(&self) {
        let mut next = 0;
        while !self.stop.load(SeqCst) {
            // Acknowledging is a commit of Kafka's, and slower than publishing.
            if !self.away.load(SeqCst) && self.confirmed() > self.acknowledged() + LEAD_MAX {
                sleep(Duration::from_millis(5)).await;
                continue;
            }
            let numbers = next..next + BATCH as u64;
            next = numbers.end;
            let message = |number: u64| Message {
                key: Some(format!("{}", number % 7)),
                ..Message::new(MessageId::given(&number.to_string()).unwrap(), "payload".into())
            };
            let begun = Instant::now();
            let published = self.broker.publish(&self.queue, numbers.clone().map(message).collect()).await;
            let mut books = self.books.lock().unwrap();
            books.slowest = books.slowest.max(begun.elapsed());
            match published {
                Ok(_) => books.confirmed.extend(numbers),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    books.refused += 1;
                }
            }
        }
    }

    async fn consume(&self) {
        while !self.is_done() {
            let wait_until = self.clock.now() + Duration::from_secs(1);
            let asked = Receive { count_max: 50, hold: None, wait_until };
            let begun = Instant::now();
            let deliveries = match self.broker.receive(&self.queue, asked).await {
                Ok(deliveries) => deliveries,
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    sleep(Duration::from_millis(50)).await;
                    Vec::new()
                }
            };
            assert!(begun.elapsed() < WAIT + SLACK, "a receive takes {:?}", begun.elapsed());
            let settle = async |delivery: Delivery| {
                let number = delivery.message.id.as_str().parse().unwrap();
                let settled = self.broker.settle(&self.queue, delivery.id, Outcome::Done, None).await;
                // What was not held any more comes again. Of an error nobody knows: the delivery stands, or is settled.
                if !matches!(settled, Ok(Settled::NotHeld)) {
                    self.books.lock().unwrap().acknowledged.insert(number);
                }
            };
            join_all(deliveries.into_iter().map(settle)).await;
        }
    }

    fn is_done(&self) -> bool {
        let books = self.books.lock().unwrap();
        self.stop.load(SeqCst) && books.confirmed.is_subset(&books.acknowledged)
    }

    /// What was confirmed and never came.
    fn missing(&self) -> Vec<u64> {
        let books = self.books.lock().unwrap();
        books.confirmed.difference(&books.acknowledged).copied().collect()
    }

    fn is_refused(&self) -> bool {
        self.books.lock().unwrap().refused > 0
    }

    fn confirmed(&self) -> usize {
        self.books.lock().unwrap().confirmed.len()
    }

    fn acknowledged(&self) -> usize {
        self.books.lock().unwrap().acknowledged.len()
    }

    /// Until so many more are confirmed and acknowledged.
    async fn goes_on(&self, what: &str) {
        let before = self.acknowledged();
        let confirmed = self.confirmed();
        let begun = Instant::now();
        while self.confirmed() < confirmed + 200 || self.acknowledged() < before + 200 {
            let state = (self.confirmed(), self.acknowledged());
            assert!(begun.elapsed() < DEAF_MAX, "{what}: {} does not go on: {state:?}", self.queue);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Loads a server, takes it away until publishes are refused, brings it back, and looks whether all is well afterwards.
fn survives(take_away: fn(&Kafka), bring_back: fn(&Kafka)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(server) = spawn_blocking(Kafka::start).await.unwrap().map(Arc::new) else { return };
        let url = format!("{}?wait_ms={}&session_ms=2000", server.url(), WAIT.as_millis());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let opened = KafkaBroker::open(KafkaSettings::parse(&url).unwrap(), clock.clone());
        let works = opened.work.into_iter().filter_map(|work| match work.run {
            Run::Task(task) => Some(tokio::spawn(task)),
            Run::Thread(_) => None,
        });
        let works: Vec<_> = works.collect();
        let broker = opened.broker;
        let loads = [
            Load::on(&broker, &clock, "plain", Order::Arrival).await,
            Load::on(&broker, &clock, "ordered", Order::Key).await,
        ];
        let mut tasks = Vec::new();
        for load in &loads {
            let (publisher, consumer) = (load.clone(), load.clone());
            tasks.push(tokio::spawn(async move { publisher.publish().await }));
            tasks.push(tokio::spawn(async move { consumer.consume().await }));
        }
        for load in &loads {
            load.goes_on("before").await;
        }
        let taken = server.clone();
        spawn_blocking(move || take_away(&taken)).await.unwrap();
        loads.iter().for_each(|load| load.away.store(true, SeqCst));
        let begun = Instant::now();
        while !loads.iter().all(|load| load.is_refused()) {
            assert!(begun.elapsed() < DEAF_MAX, "nobody is told that the server is away");
            sleep(Duration::from_millis(20)).await;
        }
        loads.iter().for_each(|load| load.away.store(false, SeqCst));
        let brought = server.clone();
        spawn_blocking(move || bring_back(&brought)).await.unwrap();
        for load in &loads {
            load.goes_on("afterwards").await;
        }
        loads.iter().for_each(|load| load.stop.store(true, SeqCst));
        for task in tasks {
            let ended = tokio::time::timeout(DEAF_MAX, task).await;
            let missing: Vec<_> = loads.iter().map(|load| load.missing()).collect();
            assert!(ended.is_ok(), "confirmed messages do not come: {missing:?}");
            ended.unwrap().unwrap();
        }
        for load in &loads {
            let books = load.books.lock().unwrap();
            assert!(books.slowest < WAIT * 2 + SLACK, "a publish took {:?}", books.slowest);
        }
        broker.close();
        for work in works {
            tokio::time::timeout(SLACK, work).await.expect("it ends when it is closed").unwrap();
        }
    });
}

#[test]
fn a_restart_loses_nothing_and_leaves_nobody_deaf() {
    survives(Kafka::stop, Kafka::start_again);
}

#[test]
fn a_kill_loses_nothing_and_leaves_nobody_deaf() {
    survives(Kafka::kill, Kafka::start_again);
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_longer_than_the_wait() {
    survives(Kafka::pause, Kafka::resume);
}
