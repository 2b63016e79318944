//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::wire::{Does, Wire};
use forebay_core::delivery::Outcome;
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::{Clock, Run};
use forebay_core::queue::{Order, QueueName, QueueSettings};
use forebay_rabbitmq::broker::RabbitBroker;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;
use tokio::time::{Instant, timeout};

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What a call may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
/// After so long nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);
/// Messages of one publish.
const BATCH: usize = 20;

/// What is known of the messages of one queue.
#[derive(Default)]
struct Books {
    confirmed: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    slowest: Duration,
    refused: usize,
}

struct Load {
    broker: RabbitBroker,
    clock: Arc<dyn Clock>,
    queue: QueueName,
    books: Mutex<Books>,
    stop: AtomicBool,
}

impl Load {
    async fn on(broker: &RabbitBroker, clock: &Arc<dyn Clock>, queue: &str, order: Order) -> Arc<Self> {
        let queue = QueueName::new(queue).unwrap();
        let settings = QueueSettings { order, ..QueueSettings::new(queue.clone()) };
        broker.ensure(&settings).await.unwrap();
        let (broker, clock) = (broker.clone(), clock.clone());
        Arc::new(Self { broker, clock, queue, books: Mutex::default(), stop: AtomicBool::new(false) })
    }

    async fn publish(&self) {
        let mut next = 0;
        while !self.stop.load(SeqCst) {
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
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Vec::new()
                }
            };
            assert!(begun.elapsed() < WAIT + SLACK, "a receive takes {:?}", begun.elapsed());
            for delivery in deliveries {
                let number = delivery.message.id.as_str().parse().unwrap();
                // What is not settled comes again.
                let settled = self.broker.settle(&self.queue, delivery.id, Outcome::Done, None).await;
                if settled.is_ok() {
                    self.books.lock().unwrap().acknowledged.insert(number);
                }
            }
        }
    }

    fn is_done(&self) -> bool {
        let books = self.books.lock().unwrap();
        self.stop.load(SeqCst) && books.confirmed.is_subset(&books.acknowledged)
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
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The one server, lent to one test at a time, and how many have had it.
static SERVER: OnceLock<Mutex<(RabbitMq, u32)>> = OnceLock::new();

/// Whether the outage is longer than a publish waits.
#[derive(Clone, Copy, PartialEq)]
enum Lasts {
    Long,
    Short,
}

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(lasts: Lasts, hurt: impl FnOnce(&RabbitMq, &Wire, &dyn Fn(&str))) {
    // A test that failed has left a server that works or one that does not: the next one finds out.
    let mut lent = SERVER
        .get_or_init(|| Mutex::new((RabbitMq::start(), 0)))
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    lent.1 += 1;
    let (server, turn) = (&lent.0, lent.1);
    let wire = Wire::to(server.address);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let url = format!(
        "amqp://{}/%2f?wait_ms={}&heartbeat_s=2&prefix=outage{turn}.",
        wire.address,
        WAIT.as_millis()
    );
    let clock: Arc<dyn Clock> = runtime.block_on(async { Arc::new(TokioClock::new()) });
    let opened = RabbitBroker::open(RabbitSettings::parse(&url).unwrap(), clock.clone());
    let works = opened.work.into_iter().filter_map(|work| match work.run {
        Run::Task(task) => Some(runtime.spawn(task)),
        Run::Thread(_) => None,
    });
    let works: Vec<_> = works.collect();
    let broker = opened.broker;
    let loads = runtime.block_on(async {
        [
            Load::on(&broker, &clock, "plain", Order::Arrival).await,
            Load::on(&broker, &clock, "ordered", Order::Key).await,
        ]
    });
    let mut tasks = Vec::new();
    for load in &loads {
        let (publisher, consumer) = (load.clone(), load.clone());
        tasks.push(runtime.spawn(async move { publisher.publish().await }));
        tasks.push(runtime.spawn(async move { consumer.consume().await }));
    }
    let go_on = |what: &str| {
        runtime.block_on(async {
            for load in &loads {
                load.goes_on(what).await;
            }
        });
    };
    go_on("before");
    hurt(server, &wire, &go_on);
    go_on("afterwards");
    loads.iter().for_each(|load| load.stop.store(true, SeqCst));
    runtime.block_on(async {
        for task in tasks {
            timeout(DEAF_MAX, task).await.expect("a confirmed message does not come").unwrap();
        }
    });
    for load in &loads {
        let books = load.books.lock().unwrap();
        assert!(
            lasts == Lasts::Short || books.refused > 0,
            "the server was away for longer than a publish waits"
        );
        assert!(books.slowest < WAIT * 2 + SLACK, "a publish took {:?}", books.slowest);
    }
    broker.close();
    runtime.block_on(async {
        for work in works {
            timeout(SLACK, work).await.expect("it ends when it is closed").unwrap();
        }
    });
}

#[test]
fn a_restart_loses_nothing_and_leaves_nobody_deaf() {
    survives(Lasts::Long, |server, _, _| {
        server.stop();
        server.start_again();
    });
}

#[test]
fn a_kill_loses_nothing_and_leaves_nobody_deaf() {
    survives(Lasts::Long, |server, _, _| {
        server.sync_log();
        server.kill();
        server.start_again();
    });
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_longer_than_the_wait() {
    survives(Lasts::Long, |server, _, _| {
        server.pause();
        sleep(Duration::from_secs(8));
        server.resume();
    });
}

#[test]
fn a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf() {
    survives(Lasts::Short, |_, wire, go_on| {
        for _ in 0..3 {
            wire.cut(Does::Pass);
            sleep(Duration::from_millis(50));
            wire.cut(Does::Refuse);
            sleep(Duration::from_millis(700));
            wire.set(Does::Pass);
            go_on("after a cut");
        }
    });
}

#[test]
fn answers_that_are_lost_cost_no_message_and_leave_nobody_deaf() {
    survives(Lasts::Long, |_, wire, _| {
        wire.set(Does::Swallow);
        sleep(Duration::from_secs(5));
        wire.cut(Does::Pass);
    });
}

#[test]
fn a_wire_that_carries_nothing_for_a_while_holds_nobody_up_for_longer_than_the_wait() {
    survives(Lasts::Long, |_, wire, go_on| {
        // What was on its way arrives late, when it is given up by both sides.
        wire.set(Does::Hold);
        sleep(Duration::from_secs(10));
        wire.set(Does::Pass);
        go_on("after the first hole");
        // Shorter than it takes anybody to notice.
        wire.set(Does::Hold);
        sleep(Duration::from_millis(1_500));
        wire.set(Does::Pass);
    });
}
