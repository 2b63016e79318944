//! Cache, queues and source of one test, and what it does with them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use forebay_bond::behind::{Joined, Names, SourceWrite, WriteBehind, WriteBehindOptions};
use forebay_broker::{BrokerOptions, EmbeddedBroker};
use forebay_cache::{Cache, CacheOptions};
use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_contract::runner::Runner;
use forebay_contract::saboteur::broker::BrokerSaboteur;
use forebay_core::entry::Version;
use forebay_core::error::{Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, BrokerAdmin, QueueInfo};
use forebay_core::ports::clock::{Clock, Spawn};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::queue::{Backoff, QueueName, RetryPolicy};
use forebay_log::LogOptions;
use forebay_memory::{Memory, MemoryOptions};
use forebay_queue::queues::Queues;
use forebay_queue::worker::Failure;
use parking_lot::Mutex;

/// What the writer is to do with the next write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    Write,
    Fail,
    /// The source takes it and the writer says that it failed.
    FailAfter,
    Reject,
    Panic,
}

/// A source whose writer waits until the test lets it go on.
#[derive(Default)]
pub(crate) struct Source {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<String, Payload>,
    /// The writes that the writer was called with.
    calls: Vec<SourceWrite>,
    /// The keys in the writer's hands.
    busy: BTreeSet<String>,
    clashed: bool,
    /// Whether it passes over writes with a number that is not greater than the last one's.
    compares: bool,
    sequences: BTreeMap<String, u64>,
    stalled: bool,
    deeds: Vec<Deed>,
    wakers: Vec<Waker>,
}

impl Source {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let answer = change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        answer
    }

    async fn until<T>(&self, look: impl Fn(&mut State) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.state.lock();
            match look(&mut state) {
                Some(found) => Poll::Ready(found),
                None => {
                    state.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Whether writes stay in the writer's hands.
    pub(crate) fn stall(&self, stalled: bool) {
        self.change(|state| state.stalled = stalled);
    }

    /// What becomes of the next writes, the last one first; without a word they are written.
    pub(crate) fn next(&self, deeds: &[Deed]) {
        self.change(|state| state.deeds = deeds.to_vec());
    }

    /// Has it pass over writes that come too late.
    pub(crate) fn compare(&self) {
        self.change(|state| state.compares = true);
    }

    /// Whether two writes of one key were in the writer's hands at one time.
    pub(crate) fn clashed(&self) -> bool {
        self.state.lock().clashed
    }

    pub(crate) fn row(&self, key: &str) -> Option<Payload> {
        self.state.lock().rows.get(key).cloned()
    }

    pub(crate) fn set(&self, key: &str, value: &str) {
        self.change(|state| state.rows.insert(key.to_owned(), value.into()));
    }

    pub(crate) fn calls(&self) -> Vec<SourceWrite> {
        self.state.lock().calls.clone()
    }

    /// Waits until the writer was called so often.
    pub(crate) async fn called(&self, count: usize) {
        self.until(|state| (state.calls.len() >= count).then_some(())).await;
    }

    async fn write(&self, write: SourceWrite) -> std::result::Result<(), Failure> {
        let key = write.key.clone();
        self.change(|state| {
            // The worker would take a panic here for a failed attempt.
            state.clashed |= !state.busy.insert(key.clone());
            state.calls.push(write.clone());
        });
        let _busy = Busy { source: self, key };
        let deed =
            self.until(|state| (!state.stalled).then(|| state.deeds.pop().unwrap_or(Deed::Write))).await;
        match deed {
            Deed::Fail => return Err("not now".into()),
            Deed::Reject => return Err(Failure::reject("never")),
            // Quietly: the panic's own message would only fill the screen.
            Deed::Panic => std::panic::resume_unwind(Box::new("a writer that panics")),
            Deed::Write | Deed::FailAfter => {}
        }
        self.change(|state| {
            let last = state.sequences.entry(write.key.clone()).or_default();
            if state.compares && *last >= write.sequence {
                return;
            }
            *last = write.sequence;
            match write.value {
                Some(value) => state.rows.insert(write.key, value),
                None => state.rows.remove(&write.key),
            };
        });
        if deed == Deed::FailAfter { Err("not heard".into()) } else { Ok(()) }
    }
}

struct Busy<'a> {
    source: &'a Source,
    key: String,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.source.state.lock().busy.remove(&self.key);
    }
}

pub(crate) struct Scene {
    pub(crate) runner: Arc<Runner>,
    pub(crate) clock: SimClock,
    pub(crate) source: Arc<Source>,
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) saboteur: Option<Arc<BrokerSaboteur>>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) queues: Queues,
    pub(crate) names: Arc<Names>,
    pub(crate) options: WriteBehindOptions,
    behind: Option<Arc<WriteBehind>>,
    files: Saboteur,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let mut scene = Self::closed(1, false);
        scene.open();
        scene
    }

    /// With engines, and a broker between that does harm if so wanted, and no write-behind yet.
    pub(crate) fn closed(seed: u64, sabotage: bool) -> Self {
        let backoff = Backoff { first: Duration::ZERO, longest: Duration::ZERO, jitter: 0.0 };
        let options = WriteBehindOptions {
            retry: RetryPolicy { attempt_max: 2, backoff },
            ..WriteBehindOptions::default()
        };
        Self::over(Saboteur::new(), SimClock::new(seed), sabotage.then_some(seed), Arc::default(), options)
    }

    fn over(
        files: Saboteur,
        clock: SimClock,
        sabotage: Option<u64>,
        source: Arc<Source>,
        options: WriteBehindOptions,
    ) -> Self {
        let (runner, time): (_, Arc<dyn Clock>) = (Runner::new(), Arc::new(clock.clone()));
        let log =
            LogOptions { segment_bytes: 64 * 1024, pending_bytes_max: 1 << 20, ..LogOptions::default() };
        let broker = BrokerOptions { log, ..BrokerOptions::default() };
        let opened = forebay_broker::open(Arc::new(files.clone()), broker, Arc::clone(&time)).unwrap();
        opened.work.into_iter().for_each(|work| runner.spawn(work));
        let broker = opened.broker;
        let saboteur =
            sabotage.map(|seed| Arc::new(BrokerSaboteur::new(broker.clone(), Arc::clone(&time), seed)));
        let port: Arc<dyn Broker> = match &saboteur {
            Some(saboteur) => saboteur.clone(),
            None => broker.clone(),
        };
        let queues = Queues::new(port, Arc::clone(&time));
        runner.spawn(queues.expirer());
        let (bytes_max, value_bytes_max) = (1 << 20, 64 * 1024);
        let first_version = Version::first(clock.now());
        let memory = Arc::new(Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version }));
        let cache = Arc::new(Cache::new(memory.clone(), time, CacheOptions::default()).unwrap());
        let names = Arc::default();
        Self {
            runner,
            clock,
            source,
            broker,
            saboteur,
            memory,
            cache,
            queues,
            names,
            options,
            behind: None,
            files,
        }
    }

    pub(crate) fn try_open(&self) -> Result<WriteBehind> {
        let joined = Joined {
            cache: self.cache.clone(),
            queues: self.queues.clone(),
            admin: self.broker.clone(),
            clock: Arc::new(self.clock.clone()),
            spawn: self.runner.clone(),
            names: self.names.clone(),
        };
        let source = self.source.clone();
        let writer = move |write| {
            let source = source.clone();
            async move { source.write(write).await }
        };
        let (behind, work) = self.finish(WriteBehind::open(joined, "users", self.options, writer))?;
        work.into_iter().for_each(|work| self.runner.spawn(work));
        Ok(behind)
    }

    /// Tries for a while: each of the calls that opening takes may be sabotaged, and the name may still be in use.
    pub(crate) fn open(&mut self) {
        let mut opened = self.try_open();
        for _ in 0..10_000 {
            if opened.is_ok() {
                break;
            }
            self.wait();
            opened = self.try_open();
        }
        self.behind = Some(Arc::new(opened.unwrap()));
    }

    /// What the next process finds after a loss of power.
    pub(crate) fn crash(mut self, seed: u64) -> Self {
        let files = self.files.crash(seed);
        self.end();
        Self::over(files, self.clock.clone(), None, self.source.clone(), self.options)
    }

    /// The same, and the clock of the next process was set back.
    pub(crate) fn crash_and_set_back(mut self, clock: SimClock) -> Self {
        self.clock = clock;
        self.crash(1)
    }

    pub(crate) fn behind(&self) -> &Arc<WriteBehind> {
        self.behind.as_ref().unwrap()
    }

    /// Stops the worker, and waits for nothing.
    pub(crate) fn let_go(&mut self) {
        self.behind = None;
    }

    /// Runs a future to its end, and lets time pass where that takes time.
    pub(crate) fn finish<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = self.runner.poll_once(&mut future) {
                return output;
            }
            self.wait();
        }
    }

    /// Lets time pass until it is so.
    pub(crate) fn until(&self, look: impl Fn() -> bool) {
        while !look() {
            self.wait();
        }
    }

    /// A moment, in which the threads of the log have their turn too: simulated time must not run away from them.
    fn wait(&self) {
        std::thread::yield_now();
        self.runner.pass(&self.clock, Duration::from_millis(1));
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> Result<()> {
        self.finish(self.behind().put(key, value))
    }

    pub(crate) fn delete(&self, key: &str) -> Result<()> {
        self.finish(self.behind().delete(key))
    }

    /// What a reader is shown; the source is asked where it must be.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let value = self.finish(self.behind().get(key, &self.loader())).unwrap();
        value.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    pub(crate) fn loader(&self) -> impl forebay_core::ports::loader::Loader + use<> {
        let source = self.source.clone();
        move |key: Vec<u8>| {
            let row = source.row(std::str::from_utf8(&key).unwrap());
            async move { Ok(row) }
        }
    }

    /// The cache forgets everything, as it may at any time.
    pub(crate) fn forget(&self) {
        self.memory.flush(self.clock.now(), self.clock.now());
    }

    pub(crate) fn drain(&self) {
        self.finish(self.behind().drained()).unwrap();
    }

    /// How many messages wait in a queue, are held or delayed; none where nothing has called for it yet.
    pub(crate) fn depth(&self, queue: &QueueName) -> u64 {
        match self.runner.block_on(self.broker.queue(queue)) {
            Ok(QueueInfo { stats, .. }) => stats.ready + stats.held + stats.delayed,
            Err(error) => {
                assert_eq!(error.kind(), Kind::NotFound);
                0
            }
        }
    }

    fn end(&mut self) {
        self.behind = None;
        self.runner.abandon();
        self.broker.close();
        self.runner.join();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end();
    }
}
