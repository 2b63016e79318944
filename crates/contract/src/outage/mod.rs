//! A broker's server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, keys keep
//! their order, every consumer hears again, and no call takes longer than was stated.
//!
//! A test begins an [`Outage`] and has it suffer one of the [`faults`]; or it does something of its own to the server, and asks
//! between whether all goes on. What was seen is printed as a row of a table at the end: `cargo test ... -- --nocapture` shows it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

pub mod faults;
mod load;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use forebay_core::error::Kind;
use forebay_core::ports::broker::Broker;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::load::Load;
use crate::servers::within;
use crate::torture;

/// After so long nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);
/// The pause between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(10);

/// What is stated of calls while the server is away, and how heavy the load is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a call waits for the server.
    pub wait: Duration,
    /// What a call may take beyond that: one attempt's time-out, and what a busy machine adds.
    pub slack: Duration,
    /// Consumers of each queue.
    pub consumers: usize,
    /// So many more messages are to be confirmed and worked on, of each queue, until all is well.
    pub well: usize,
    /// The pause of a publisher between two publishes.
    pub pace: Duration,
}

/// How often a fault is repeated: once in every test run, longer under `FOREBAY_TORTURE`.
pub fn rounds() -> u64 {
    if torture::rounds(1) > 1 { 6 } else { 1 }
}

/// A broker under load. One publisher for each queue, so that order can be told.
pub struct Outage {
    handle: Handle,
    bounds: Bounds,
    loads: Vec<Arc<Load>>,
    /// Of each load: the publisher, and then the consumers.
    tasks: Vec<Vec<JoinHandle<()>>>,
    expiring: JoinHandle<()>,
    /// The longest time after which all went on again.
    back: Mutex<Duration>,
}

impl Outage {
    /// Begins to publish to these queues and to consume from them, and waits until both go on.
    pub fn begin(
        handle: &Handle,
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        queues: Vec<QueueSettings>,
    ) -> Self {
        let mut tasks = Vec::new();
        let loads: Vec<_> = queues
            .into_iter()
            .map(|settings| {
                handle.block_on(declare(&*broker, &settings));
                let load = Arc::new(Load::new(broker.clone(), clock.clone(), bounds, &settings));
                let consumers =
                    (0..bounds.consumers).map(|consumer| handle.spawn(load.clone().consume(consumer)));
                tasks.push(std::iter::once(handle.spawn(load.clone().publish())).chain(consumers).collect());
                load
            })
            .collect();
        let expiring = handle.spawn(expire(broker, clock));
        let outage = Self { handle: handle.clone(), bounds, loads, tasks, expiring, back: Mutex::default() };
        outage.goes_on("before anything happens");
        *outage.back.lock() = Duration::ZERO;
        outage
    }

    /// A queue that keeps the order of arrival, and one that keeps that of keys.
    pub fn queues() -> Vec<QueueSettings> {
        let queue = |name: &str, order| {
            let name = QueueName::new(name).expect("a name");
            QueueSettings { order, ..QueueSettings::new(name) }
        };
        vec![queue("plain", Order::Arrival), queue("ordered", Order::Key)]
    }

    /// Waits until publishes of every queue are confirmed and every consumer hears.
    pub fn goes_on(&self, what: &str) {
        let begun = Instant::now();
        let marks: Vec<_> = self.loads.iter().map(|load| load.mark(self.bounds.well)).collect();
        while !self.loads.iter().zip(&marks).all(|(load, mark)| load.is_beyond(mark)) {
            self.look();
            let ways = || self.loads.iter().zip(&marks).map(|(load, mark)| load.on_the_way(mark));
            assert!(
                begun.elapsed() < DEAF_MAX,
                "{what}, somebody is deaf: {:#?}",
                ways().collect::<Vec<_>>()
            );
            thread::sleep(LOOK);
        }
        let mut back = self.back.lock();
        *back = (*back).max(begun.elapsed());
    }

    /// Waits until a publish to every queue was refused: the server is away.
    pub fn until_refused(&self) {
        let refused = |load: &Arc<Load>| load.refused.load(SeqCst);
        let before: Vec<_> = self.loads.iter().map(refused).collect();
        self.loads.iter().for_each(|load| load.away.store(true, SeqCst));
        within(DEAF_MAX, "publishes are refused", || {
            self.look();
            self.loads.iter().zip(&before).all(|(load, before)| refused(load) > *before)
        });
        self.loads.iter().for_each(|load| load.away.store(false, SeqCst));
    }

    /// Lets it last so long, or less if the load has failed.
    pub fn lasts(&self, time: Duration) {
        let begun = Instant::now();
        within(time + DEAF_MAX, "time passes", || {
            self.look();
            begun.elapsed() >= time
        });
    }

    /// Stops publishing, waits until all that was confirmed has come, and prints what was seen. Holds that run out are
    /// seen to as long as this value is there.
    #[expect(clippy::print_stdout, reason = "the row is for who reads the tests' output")]
    pub fn end(&mut self, backend: &str, fault: &str) {
        self.goes_on("at the end");
        self.loads.iter().for_each(|load| load.stop.store(true, SeqCst));
        let begun = Instant::now();
        while !self.loads.iter().all(|load| load.is_done()) {
            self.look();
            let missing: Vec<_> = self.loads.iter().map(|load| load.missing()).collect();
            assert!(begun.elapsed() < DEAF_MAX, "confirmed messages do not come: {missing:?}");
            thread::sleep(LOOK);
        }
        for task in std::mem::take(&mut self.tasks).into_iter().flatten() {
            let ended = self.handle.block_on(async { timeout(DEAF_MAX, task).await });
            ended.expect("the load ends").expect("nothing wrong was seen");
        }
        assert!(!self.expiring.is_finished(), "who waits for holds that run out has failed");
        let [mut confirmed, mut refused, mut again] = [0; 3];
        let mut slowest = Duration::ZERO;
        for load in &self.loads {
            let seen = load.check();
            confirmed += seen.confirmed;
            again += seen.again;
            slowest = slowest.max(seen.slowest);
            refused += load.refused.load(SeqCst);
        }
        let most = self.bounds.wait + self.bounds.slack;
        assert!(slowest <= most, "a call took {slowest:?}, {most:?} is the most");
        let (back, slowest) = (self.back.lock().as_secs_f64(), slowest.as_secs_f64());
        println!(
            "| {backend} | {fault} | {confirmed} | {refused} | 0 | {again} | {back:.1} s | {slowest:.1} s |"
        );
    }

    /// Fails at once where a part of the load has failed, and not when something does not come for a minute.
    fn look(&self) {
        for (load, tasks) in self.loads.iter().zip(&self.tasks) {
            let [publisher, consumers @ ..] = &tasks[..] else { continue };
            let has_failed = publisher.is_finished() && !load.stop.load(SeqCst)
                || consumers.iter().any(JoinHandle::is_finished) && !load.is_done();
            assert!(!has_failed, "a publisher or a consumer has failed");
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.expiring.abort();
        self.tasks.iter().flatten().for_each(JoinHandle::abort);
    }
}

/// Several servers start at a time: the first answer may come late.
async fn declare(broker: &dyn Broker, settings: &QueueSettings) {
    let begun = Instant::now();
    while let Err(error) = broker.ensure(settings).await {
        assert!(error.kind() == Kind::Unavailable && begun.elapsed() < DEAF_MAX, "{error}");
    }
}

/// Gives back what is held for too long, as the rules do.
async fn expire(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) {
    loop {
        match broker.expired().await {
            Ok(offered) => {
                for delivery in offered {
                    let again = forebay_core::delivery::Outcome::RetryAt(clock.now());
                    // What cannot be settled is offered again.
                    let _ = broker.settle(&delivery.queue, delivery.id, again, None).await;
                }
            }
            Err(error) if error.kind() == Kind::Closed => return,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
