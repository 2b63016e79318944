//! The server of a broker, of buses or of a store, or the wire to it, goes away under load and comes back: nothing that was confirmed is
//! lost, order holds, everybody who consumes or listens hears again, and no call takes longer than was stated.
//!
//! A test begins an [`Outage`] and has it suffer one of the [`faults`]; or it does something of its own to the server, and asks
//! between whether all goes on. What was seen is printed as a row of a table at the end: `cargo test ... -- --nocapture` shows it.
//!
//! - [`Outage::begin`]: a load on a broker; [`Outage::begin_on_buses`]: one on buses; [`Outage::begin_on_stores`]: one on a
//!   shared store; [`Outage::begin_on_near`]: one on near caches of it
//! - [`away`]: single publishes while the server is away
//! - [`ear`]: somebody who listens to a bus, also for a test of its own

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

pub mod away;
mod broker;
pub mod bus;
pub mod ear;
pub mod faults;
mod load;
pub mod near;
pub mod store;
mod tally;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::load::Load;
use crate::servers::within;
use crate::torture;

/// After so long nobody may be deaf any more, unless a load says otherwise.
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
    /// Consumers of each queue, listeners of each bus for each publisher, or readers of each store.
    pub consumers: usize,
    /// So many more messages are to be confirmed and worked on, of each queue or publisher, until all is well. Of a store as
    /// many changes and reads.
    pub well: u64,
    /// The pause of a publisher between two publishes.
    pub pace: Duration,
}

/// How often a fault is repeated: once in every test run, longer under `FOREBAY_TORTURE`.
pub fn rounds() -> u64 {
    if torture::rounds(1) > 1 { 6 } else { 1 }
}

/// Something under load. One publisher for each part of it, so that order can be told.
pub struct Outage {
    handle: Handle,
    bounds: Bounds,
    deaf_max: Duration,
    parts: Vec<Part>,
    /// What is done beside the load all the time.
    beside: Vec<JoinHandle<()>>,
    /// The longest time after which all went on again.
    back: Mutex<Duration>,
}

struct Part {
    load: Arc<dyn Load>,
    publisher: JoinHandle<()>,
    consumers: Vec<JoinHandle<()>>,
}

impl Outage {
    fn new(handle: &Handle, bounds: Bounds, deaf_max: Duration) -> Self {
        let (parts, beside) = (Vec::new(), Vec::new());
        Self { handle: handle.clone(), bounds, deaf_max, parts, beside, back: Mutex::default() }
    }

    fn load(&mut self, load: Arc<dyn Load>, publisher: JoinHandle<()>, consumers: Vec<JoinHandle<()>>) {
        self.parts.push(Part { load, publisher, consumers });
    }

    fn beside(&mut self, task: JoinHandle<()>) {
        self.beside.push(task);
    }

    /// Waits until all goes on for the first time, which may take longer than later.
    fn begun(self) -> Self {
        self.goes_on("before anything happens");
        *self.back.lock() = Duration::ZERO;
        self
    }

    /// Waits until publishes of every part are confirmed and everybody hears.
    pub fn goes_on(&self, what: &str) {
        let begun = Instant::now();
        let marks: Vec<_> = self.loads().map(|load| load.counts(self.bounds.well)).collect();
        let is_beyond = |(load, mark): (&Arc<dyn Load>, &Vec<u64>)| {
            load.counts(0).iter().zip(mark).all(|(now, mark)| now >= mark)
        };
        while !self.loads().zip(&marks).all(is_beyond) {
            self.look();
            let way = |(load, mark): (&Arc<dyn Load>, &Vec<u64>)| {
                format!("{}: {:?} on the way to {mark:?}", load.name(), load.counts(0))
            };
            assert!(
                begun.elapsed() < self.deaf_max,
                "{what}, somebody is deaf: {:#?}",
                self.loads().zip(&marks).map(way).collect::<Vec<_>>()
            );
            thread::sleep(LOOK);
        }
        let mut back = self.back.lock();
        *back = (*back).max(begun.elapsed());
    }

    /// Waits until a publish of every part that is hurt was refused: the server is away.
    pub fn until_refused(&self) {
        let hurt = || self.loads().filter(|load| load.is_hurt());
        let refused = |load: &Arc<dyn Load>| load.calls().refused.load(SeqCst);
        let before: Vec<_> = hurt().map(refused).collect();
        hurt().for_each(|load| load.calls().set_away(true));
        within(self.deaf_max, "publishes are refused", || {
            self.look();
            hurt().zip(&before).all(|(load, before)| refused(load) > *before)
        });
        hurt().for_each(|load| load.calls().set_away(false));
    }

    /// Lets it last so long, or less if the load has failed.
    pub fn lasts(&self, time: Duration) {
        let begun = Instant::now();
        within(time + self.deaf_max, "time passes", || {
            self.look();
            begun.elapsed() >= time
        });
    }

    /// Stops publishing, waits until all that was confirmed has come, and prints what was seen. What is done beside the load
    /// goes on as long as this value is there.
    #[expect(clippy::print_stdout, reason = "the row is for who reads the tests' output")]
    pub fn end(&mut self, backend: &str, fault: &str) {
        self.goes_on("at the end");
        self.loads().for_each(|load| load.calls().stop());
        let begun = Instant::now();
        while !self.loads().all(|load| load.is_done()) {
            self.look();
            let missing: Vec<_> = self.loads().map(|load| load.missing()).collect();
            assert!(begun.elapsed() < self.deaf_max, "confirmed messages do not come: {missing:?}");
            thread::sleep(LOOK);
        }
        let parts = std::mem::take(&mut self.parts);
        let loads: Vec<_> = parts.iter().map(|part| part.load.clone()).collect();
        for task in parts.into_iter().flat_map(|part| std::iter::once(part.publisher).chain(part.consumers)) {
            let ended = self.handle.block_on(async { timeout(self.deaf_max, task).await });
            ended.expect("the load ends").expect("nothing wrong was seen");
        }
        assert!(!self.beside.iter().any(JoinHandle::is_finished), "what is done beside the load has failed");
        let [mut confirmed, mut refused, mut again] = [0; 3];
        let mut slowest = Duration::ZERO;
        for load in &loads {
            let (seen, calls) = (load.check(), load.calls());
            confirmed += seen.confirmed;
            again += seen.again;
            slowest = slowest.max(*calls.slowest.lock());
            refused += calls.refused.load(SeqCst);
        }
        let most = self.bounds.wait + self.bounds.slack;
        assert!(slowest <= most, "a call took {slowest:?}, {most:?} is the most");
        let (back, slowest) = (self.back.lock().as_secs_f64(), slowest.as_secs_f64());
        println!(
            "| {backend} | {fault} | {confirmed} | {refused} | 0 | {again} | {back:.1} s | {slowest:.1} s |"
        );
    }

    fn loads(&self) -> impl Iterator<Item = &Arc<dyn Load>> {
        self.parts.iter().map(|part| &part.load)
    }

    /// Fails at once where a part of the load has failed, and not when something does not come for a minute.
    fn look(&self) {
        for Part { load, publisher, consumers } in &self.parts {
            let has_failed = publisher.is_finished() && !load.calls().is_to_stop()
                || consumers.iter().any(JoinHandle::is_finished) && !load.is_done();
            assert!(!has_failed, "a publisher or a consumer has failed");
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.beside.iter().for_each(JoinHandle::abort);
        for Part { publisher, consumers, .. } in &self.parts {
            publisher.abort();
            consumers.iter().for_each(JoinHandle::abort);
        }
    }
}
