//! Every place at which a change can come between the steps of a load, one after the other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use forebay_cache::{Cache, CacheOptions};
use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Lease, Read, View, Write, Written};
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::Loader;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use parking_lot::Mutex;
use support::{Source, TestClock, block_on, store};

/// What happens at one step.
type Change = Box<dyn FnOnce() + Send>;

/// Counts the steps of a load, and lets something happen before one of them.
#[derive(Default)]
struct Steps {
    taken: AtomicUsize,
    change_at: AtomicUsize,
    change: Mutex<Option<Change>>,
}

impl Steps {
    fn step(&self) {
        let step = self.taken.fetch_add(1, SeqCst);
        if step == self.change_at.load(SeqCst) {
            let change = self.change.lock().take();
            if let Some(change) = change {
                change();
            }
        }
    }
}

/// A store in which every operation is a step.
struct Stepped(Arc<dyn LocalStore>, Arc<Steps>);

impl LocalStore for Stepped {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        self.1.step();
        self.0.read(key, read, visit)
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        self.1.step();
        self.0.write(key, value, write)
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        self.1.step();
        self.0.delete(key, delete)
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        self.0.count(key, arithmetic)
    }

    fn lease(&self, key: &[u8]) -> Lease {
        self.1.step();
        self.0.lease(key)
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.0.flush(at, now);
    }

    fn sweep(&self, now: Instant) -> usize {
        self.0.sweep(now)
    }

    fn stats(&self) -> StoreStats {
        self.0.stats()
    }
}

/// A source whose reading is a step, with another one before its answer arrives.
struct SteppedSource(Arc<Source>, Arc<Steps>);

impl Loader for SteppedSource {
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        self.1.step();
        let loaded = self.0.load(key);
        Box::pin(async {
            self.1.step();
            loaded.await
        })
    }
}

/// Runs one load with `change` before its step `change_at`, and returns the cache, the source and the number of steps.
fn load_with(change_at: usize, change: fn(&Cache, &Source)) -> (Arc<Cache>, Arc<Source>, usize) {
    let (steps, source) = (Arc::new(Steps::default()), Arc::new(Source::default()));
    source.put("older");
    let stepped = Arc::new(Stepped(store(), steps.clone()));
    let cache = Arc::new(Cache::new(stepped, TestClock::shared(), CacheOptions::default()).unwrap());
    let parts = Arc::new(OnceLock::from((cache.clone(), source.clone())));
    steps.change_at.store(change_at, SeqCst);
    *steps.change.lock() = Some(Box::new(move || {
        if let Some((cache, source)) = parts.get() {
            change(cache, source);
        }
    }));
    let loader = SteppedSource(source.clone(), steps.clone());
    let served = block_on(cache.get_or_load(b"key", None, &loader)).unwrap();
    assert!(served.is_some());
    let taken = steps.taken.load(SeqCst);
    // What never happened is not to happen later.
    *steps.change.lock() = None;
    (cache, source, taken)
}

const STEPS_OF_A_LOAD: usize = 6;

#[test]
fn a_load_has_the_steps_that_these_tests_come_between() {
    let (cache, _, taken) = load_with(usize::MAX, |_, _| ());
    assert_eq!(taken, STEPS_OF_A_LOAD, "miss, lease, look again, source asked, source answers, fill");
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"older"[..]));
}

#[test]
fn an_invalidation_between_any_two_steps_leaves_no_older_value() {
    for step in 0..=STEPS_OF_A_LOAD {
        let (cache, source, _) = load_with(step, |cache, source| {
            source.put("newer");
            cache.invalidate(b"key").unwrap();
        });
        let held = cache.get(b"key");
        assert!(held.is_none() || held == source.value(), "invalidated before step {step}");
        let next = block_on(cache.get_or_load(b"key", None, &*source)).unwrap();
        assert_eq!(next, source.value(), "invalidated before step {step}");
    }
}

#[test]
fn a_change_whose_invalidation_is_still_to_come_leaves_no_older_value_after_it() {
    for step in 0..=STEPS_OF_A_LOAD {
        let (cache, source, _) = load_with(step, |_, source| source.put("newer"));
        cache.invalidate(b"key").unwrap();
        assert_eq!(cache.get(b"key"), None);
        let next = block_on(cache.get_or_load(b"key", None, &*source)).unwrap();
        assert_eq!(next, source.value(), "changed before step {step}");
    }
}

#[test]
fn a_value_set_between_any_two_steps_stays() {
    for step in 0..STEPS_OF_A_LOAD {
        let (cache, _, _) = load_with(step, |cache, _| cache.set(b"key", b"set", None).unwrap());
        assert_eq!(cache.get(b"key").as_deref(), Some(&b"set"[..]), "set before step {step}");
    }
}

#[test]
fn an_invalidation_after_a_set_between_any_two_steps_leaves_nothing() {
    for step in 3..STEPS_OF_A_LOAD {
        let (cache, _, _) = load_with(step, |cache, _| {
            cache.set(b"key", b"set", None).unwrap();
            cache.invalidate(b"key").unwrap();
        });
        assert_eq!(cache.get(b"key"), None, "set and invalidated before step {step}");
    }
}
