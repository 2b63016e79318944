//! Readers, writers and loads in every order that a scheduler can think of.
//!
//! What the cache does between two operations of its store, or of the source, it does under one lock at a time; so it is enough
//! that the scheduler may switch at each of these operations. `FOREBAY_TORTURE=1` explores a hundred times as many orders.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use forebay_cache::{Cache, CacheOptions, Policy, ReadThrough, ReadThroughOptions};
use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Lease, Read, Version, View, Write, Written};
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::ports::loader::{BatchLoader, Loader};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle::{future, thread};
use support::TestClock;
use support::tasks::SECOND;

/// Runs `check` in many orders; a thread that waits for ever fails it.
fn explore(check: fn()) {
    let times = if std::env::var_os("FOREBAY_TORTURE").is_some() { 100 } else { 1 };
    shuttle::check_random(check, 1_500 * times);
    shuttle::check_pct(check, 500 * times, 3);
}

/// A store between whose operations others run.
struct Switching {
    store: Memory,
    switch: AtomicU64,
}

impl Switching {
    fn step<R>(&self, operation: impl FnOnce(&Memory) -> R) -> R {
        self.switch.fetch_add(1, SeqCst);
        let result = operation(&self.store);
        self.switch.fetch_add(1, SeqCst);
        result
    }
}

impl LocalStore for Switching {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        self.step(|store| store.read(key, read, visit))
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        self.step(|store| store.write(key, value, write))
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        self.step(|store| store.delete(key, delete))
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        self.step(|store| store.count(key, arithmetic))
    }

    fn lease(&self, key: &[u8]) -> Lease {
        self.step(|store| store.lease(key))
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.step(|store| store.flush(at, now));
    }

    fn sweep(&self, now: Instant) -> usize {
        self.step(|store| store.sweep(now))
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }
}

/// A source with one number for all keys, that takes its time to answer.
struct Source {
    number: AtomicU64,
    /// What was invalidated: who asks from now on is shown no smaller number.
    floor: AtomicU64,
    loads: AtomicU64,
}

impl Source {
    fn new() -> Arc<Self> {
        let number = AtomicU64::new(0);
        Arc::new(Self { number, floor: AtomicU64::new(0), loads: AtomicU64::new(0) })
    }

    async fn answer(&self) -> Payload {
        self.loads.fetch_add(1, SeqCst);
        let number = self.number.load(SeqCst);
        future::yield_now().await;
        Payload::from(number.to_be_bytes().as_slice())
    }

    /// Changes the number, then has the cache told.
    fn change(&self, number: u64, invalidate: impl FnOnce()) {
        self.number.store(number, SeqCst);
        invalidate();
        self.floor.store(number, SeqCst);
    }

    /// What a read that begins now is shown must not be older than what was invalidated before it began.
    async fn judge<T: Deref<Target = [u8]>>(&self, read: impl Future<Output = Result<Option<T>>>) {
        let floor = self.floor.load(SeqCst);
        let shown = number(&read.await.unwrap().unwrap());
        assert!(shown >= floor, "{shown} was shown after the invalidation for {floor}");
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

impl Loader for Source {
    fn load<'a>(&'a self, _key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        Box::pin(async { Ok(Some(self.answer().await)) })
    }
}

impl BatchLoader for Source {
    fn load_many<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Result<Vec<Option<Payload>>>> {
        Box::pin(async { Ok(vec![Some(self.answer().await); keys.len()]) })
    }
}

/// Runs tasks as threads of the exploration.
struct Tasks;

impl Spawn for Tasks {
    fn spawn(&self, work: Work) {
        if let Run::Task(task) = work.run {
            drop(future::spawn(task));
        }
    }
}

fn cache(clock: Arc<TestClock>) -> Arc<Cache> {
    let store = Memory::new(MemoryOptions {
        bytes_max: 1024 * 1024,
        value_bytes_max: 1024,
        first_version: Version(1),
    });
    let store = Arc::new(Switching { store, switch: AtomicU64::new(0) });
    Arc::new(Cache::new(store, clock, CacheOptions::default()).unwrap())
}

fn spawn<F: Future<Output = ()> + Send + 'static>(body: F) -> thread::JoinHandle<()> {
    thread::spawn(move || block_on(body))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_fill_never_overwrites_a_newer_invalidation() {
    explore(|| {
        let (cache, source) = (cache(TestClock::shared()), Source::new());
        let readers = (0..2).map(|_| {
            let (cache, source) = (cache.clone(), source.clone());
            spawn(async move {
                source.judge(cache.get_or_load(b"key", None, &*source)).await;
                source.judge(cache.get_or_load(b"key", None, &*source)).await;
            })
        });
        let readers: Vec<_> = readers.collect();
        for change in 1..3 {
            source.change(change, || cache.invalidate(b"key").unwrap());
        }
        join(readers);
        assert!(cache.get(b"key").is_none_or(|held| number(&held) == 2));
    });
}

#[test]
fn a_value_that_was_set_is_never_overwritten_by_an_older_load() {
    explore(|| {
        let (cache, source) = (cache(TestClock::shared()), Source::new());
        let (reading, loader) = (cache.clone(), source.clone());
        let reader = spawn(async move {
            loader.judge(reading.get_or_load(b"key", None, &*loader)).await;
        });
        source.change(1, || cache.set(b"key", &1_u64.to_be_bytes(), None).unwrap());
        join([reader]);
        assert_eq!(cache.get(b"key").map(|held| number(&held)), Some(1));
    });
}

#[test]
fn of_all_who_miss_one_loads_and_nobody_is_left_waiting() {
    explore(|| {
        let (cache, source) = (cache(TestClock::shared()), Source::new());
        let readers = (0..3).map(|_| {
            let (cache, source) = (cache.clone(), source.clone());
            spawn(async move { source.judge(cache.get_or_load(b"key", None, &*source)).await })
        });
        join(readers.collect::<Vec<_>>());
        assert_eq!(source.loads.load(SeqCst), 1);
    });
}

#[test]
fn a_reader_that_gives_up_leaves_nobody_waiting() {
    explore(|| {
        let (cache, source) = (cache(TestClock::shared()), Source::new());
        let gives_up = {
            let (cache, source) = (cache.clone(), source.clone());
            thread::spawn(move || {
                let mut read = pin!(cache.get_or_load(b"key", None, &*source));
                let _ = read.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            })
        };
        let readers = (0..2).map(|_| {
            let (cache, source) = (cache.clone(), source.clone());
            spawn(async move { source.judge(cache.get_or_load(b"key", None, &*source)).await })
        });
        join(readers.collect::<Vec<_>>());
        join([gives_up]);
    });
}

#[test]
fn batches_that_cross_end_and_are_shown_nothing_older() {
    explore(|| {
        let (cache, source) = (cache(TestClock::shared()), Source::new());
        let batches = [[b"a", b"b"], [b"b", b"a"]].map(|keys| {
            let (cache, source) = (cache.clone(), source.clone());
            spawn(async move {
                let floor = source.floor.load(SeqCst);
                let values = cache.get_many_or_load(&keys, None, &*source).await.unwrap();
                assert!(values.iter().flatten().all(|value| number(value) >= floor));
            })
        });
        source.change(1, || {
            cache.invalidate(b"a").unwrap();
            cache.invalidate(b"b").unwrap();
        });
        join(batches);
        for key in [b"a", b"b"] {
            assert!(cache.get(key).is_none_or(|held| number(&held) == 1));
        }
    });
}

/// Values that are stale from the start: every read is served the older one and refreshes, until an invalidation.
#[test]
fn a_refresh_never_overwrites_a_newer_invalidation() {
    explore(|| {
        let (clock, source) = (TestClock::shared(), Source::new());
        let cache = cache(clock.clone());
        let policy = Policy::fresh_for(SECOND).jitter(0.0).stale_for(60 * SECOND);
        let options = ReadThroughOptions::new(policy);
        let through = ReadThrough::new(cache.clone(), Arc::new(Tasks), source.clone(), options).unwrap();
        through.set(b"key", 0_u64.to_be_bytes()).unwrap();
        clock.advance(2_000);
        let readers = (0..2).map(|_| {
            let (through, source) = (through.clone(), source.clone());
            spawn(async move {
                for _ in 0..2 {
                    source.judge(through.get(b"key")).await;
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        source.change(1, || through.invalidate(b"key").unwrap());
        join(readers);
        let last = block_on(through.get(b"key")).unwrap().unwrap();
        assert_eq!(number(&last), 1);
    });
}

/// With one place for loads and readers that give up, every place is passed on.
#[test]
fn the_load_budget_loses_no_place() {
    explore(|| {
        let (cache, source) = (cache(TestClock::shared()), Source::new());
        let options = ReadThroughOptions { loads_max: 1, ..ReadThroughOptions::new(Policy::default()) };
        let through = ReadThrough::new(cache, Arc::new(Tasks), source.clone(), options).unwrap();
        let readers = (0..3_u8).map(|key| {
            let through = through.clone();
            spawn(async move { assert!(through.get([key]).await.unwrap().is_some()) })
        });
        join(readers.collect::<Vec<_>>());
        assert!(block_on(through.get([9])).unwrap().is_some());
    });
}
