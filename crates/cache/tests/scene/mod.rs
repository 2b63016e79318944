//! A cache over a real store, in simulated time.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use forebay_cache::{Cache, CacheOptions};
use forebay_contract::clock::SimClock;
use forebay_contract::runner::Runner;
use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::loader::Loader;
use forebay_memory::{Memory, MemoryOptions};
use parking_lot::Mutex;

pub(crate) struct Scene {
    pub(crate) clock: SimClock,
    pub(crate) cache: Arc<Cache>,
    pub(crate) runner: Arc<Runner>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::starting_with(SimClock::new(7))
    }

    /// A store that is opened at this clock's present.
    pub(crate) fn starting_with(clock: SimClock) -> Self {
        let store = Arc::new(Memory::new(MemoryOptions {
            bytes_max: 4 << 20,
            value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
            first_version: Version::first(clock.now()),
        }));
        let options = CacheOptions { jitter: 0.0 };
        let cache = Arc::new(Cache::new(store, Arc::new(clock.clone()), options).unwrap());
        Self { clock, cache, runner: Runner::new() }
    }

    /// What the future comes to, if it need not wait.
    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Option<F::Output> {
        match self.runner.poll_once(future) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

/// Ready once it is opened, for who polls it again.
#[derive(Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, SeqCst);
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|_| if self.0.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// A source with one value. A load sees what is there when it begins, and ends when the gate is open.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) value: Mutex<Option<Payload>>,
    pub(crate) loads: AtomicUsize,
    pub(crate) keys: Mutex<Vec<Vec<u8>>>,
    pub(crate) gate: Mutex<Arc<Gate>>,
}

impl Source {
    /// With this value, and open.
    pub(crate) fn with(value: &str) -> Self {
        let source = Self::default();
        source.put(value);
        source.gate.lock().open();
        source
    }

    pub(crate) fn put(&self, value: &str) {
        *self.value.lock() = Some(value.into());
    }

    /// Loads that begin from now on wait for this gate.
    pub(crate) fn close(&self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        *self.gate.lock() = gate.clone();
        gate
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(SeqCst)
    }
}

impl Loader for Source {
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        self.loads.fetch_add(1, SeqCst);
        self.keys.lock().push(key.to_vec());
        let (value, gate) = (self.value.lock().clone(), self.gate.lock().clone());
        Box::pin(async move {
            gate.wait().await;
            Ok(value)
        })
    }
}
