//! Runs the tasks of a read-through cache by hand, and holds what most of its tests begin with.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions, Policy, ReadThrough, ReadThroughOptions, Served};
use forebay_core::error::Result;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::ports::loader::{BatchLoader, Loader};
use parking_lot::Mutex;

use super::{Call, Source, TestClock, store};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Tasks that run when they are told to.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Vec<Call<'static, ()>>>);

impl Spawn for Tasks {
    fn spawn(&self, work: Work) {
        let Run::Task(task) = work.run else { panic!("a cache starts no threads") };
        self.0.lock().push(Call::new(task));
    }
}

impl Tasks {
    /// Runs all tasks until each has ended or waits.
    pub(crate) fn run(&self) {
        let mut waiting = Vec::new();
        loop {
            let mut tasks = std::mem::take(&mut *self.0.lock());
            if tasks.is_empty() {
                break;
            }
            tasks.retain_mut(|task| task.poll().is_none());
            waiting.append(&mut tasks);
        }
        *self.0.lock() = waiting;
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// As when the runtime goes down.
    pub(crate) fn cut_off(&self) {
        let tasks = std::mem::take(&mut *self.0.lock());
        drop(tasks);
    }
}

/// A cache in front of a source, with its time and its tasks in the test's hands.
pub(crate) struct Scene {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) source: Arc<Source>,
    pub(crate) through: ReadThrough,
}

pub(crate) type Got = Result<Option<Served>>;

impl Scene {
    pub(crate) fn new(policy: Policy) -> Self {
        Self::with(ReadThroughOptions::new(policy.jitter(0.0)))
    }

    pub(crate) fn with(options: ReadThroughOptions) -> Self {
        let source = Arc::new(Source::default());
        source.put("value");
        let clock = TestClock::shared();
        let cache = Arc::new(Cache::new(store(), clock.clone(), CacheOptions::default()).unwrap());
        let tasks = Arc::new(Tasks::default());
        let through = ReadThrough::new(cache.clone(), tasks.clone(), source.clone(), options).unwrap();
        Self { clock, cache, tasks, source, through }
    }

    /// The same cache in front of another source.
    pub(crate) fn through(&self, loader: Arc<dyn Loader>, options: ReadThroughOptions) -> ReadThrough {
        ReadThrough::new(self.cache.clone(), self.tasks.clone(), loader, options).unwrap()
    }

    pub(crate) fn try_through(&self, options: ReadThroughOptions) -> Result<ReadThrough> {
        ReadThrough::new(self.cache.clone(), self.tasks.clone(), self.source.clone(), options)
    }

    pub(crate) fn batched(&self, loader: Arc<dyn BatchLoader>, policy: Policy) -> ReadThrough {
        let options = ReadThroughOptions::new(policy.jitter(0.0));
        ReadThrough::batched(self.cache.clone(), self.tasks.clone(), loader, options).unwrap()
    }

    /// One read of `key` to its end; the tasks run while it waits.
    pub(crate) fn get(&self) -> Got {
        self.finish(self.through.get(b"key"))
    }

    pub(crate) fn finish<'a, T>(&self, call: impl Future<Output = T> + Send + 'a) -> T {
        let mut call = Call::new(call);
        if let Some(result) = call.poll() {
            return result;
        }
        self.tasks.run();
        call.poll().expect("the load has ended")
    }

    /// The text of a read that was served at once: it waited for nothing, and no task has run.
    pub(crate) fn at_once(&self) -> Option<(String, Option<Duration>)> {
        let got = Call::new(self.through.get(b"key")).poll().expect("it is served at once").unwrap();
        got.map(|served| (String::from_utf8(served.to_vec()).unwrap(), served.stale()))
    }
}

pub(crate) fn text(got: Got) -> Option<String> {
    got.unwrap().map(|served| String::from_utf8(served.to_vec()).unwrap())
}
