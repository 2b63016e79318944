//! A clock, a source and a small executor for the tests of this crate.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub(crate) mod tasks;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use forebay_cache::{Cache, CacheOptions};
use forebay_contract::clock::SimClock;
use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::limits::VALUE_BYTES_MAX_DEFAULT;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::loader::Loader;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};
use parking_lot::Mutex;

/// A real store.
pub(crate) fn store() -> Arc<dyn LocalStore> {
    let (bytes_max, value_bytes_max) = (16 * 1024 * 1024, VALUE_BYTES_MAX_DEFAULT);
    Arc::new(Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version: Version(1) }))
}

/// A cache over a real store.
pub(crate) fn cache() -> Cache {
    Cache::new(store(), TestClock::shared(), CacheOptions::default()).unwrap()
}

/// Stands still until told otherwise.
pub(crate) struct TestClock {
    time: SimClock,
    random: AtomicU64,
}

impl TestClock {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::new(Self { time: SimClock::new(0), random: AtomicU64::new(0) })
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.time.advance(Duration::from_millis(ms));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.time.now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.time.sleep_until(at)
    }

    /// Steps of the golden ratio: evenly spread.
    fn random(&self) -> u64 {
        self.random.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst)
    }
}

/// A source with one value, which counts its loads. What it shows is what it holds when a load begins.
#[derive(Default)]
pub(crate) struct Source {
    value: Mutex<Option<Payload>>,
    pub(crate) loads: AtomicUsize,
    pub(crate) keys: Mutex<Vec<Vec<u8>>>,
}

impl Source {
    pub(crate) fn put(&self, value: &str) {
        *self.value.lock() = Some(Payload::from(value));
    }

    pub(crate) fn clear(&self) {
        *self.value.lock() = None;
    }

    pub(crate) fn value(&self) -> Option<Payload> {
        self.value.lock().clone()
    }
}

impl Loader for Source {
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Loaded> {
        self.loads.fetch_add(1, SeqCst);
        self.keys.lock().push(key.to_vec());
        let value = self.value();
        Box::pin(async move { Ok(value) })
    }
}

/// What a load brings.
pub(crate) type Loaded = Result<Option<Payload>>;

/// A load that is parked until the gate is opened with its result.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<(Option<Loaded>, Option<Waker>)>,
    pub(crate) loads: AtomicUsize,
}

impl Gate {
    pub(crate) fn open(&self, result: Loaded) {
        let waker = {
            let mut state = self.state.lock();
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Loader for Gate {
    fn load<'a>(&'a self, _key: &'a [u8]) -> BoxFuture<'a, Loaded> {
        self.loads.fetch_add(1, SeqCst);
        Box::pin(std::future::poll_fn(|context| {
            let mut state = self.state.lock();
            match state.0.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    state.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }))
    }
}

/// A call in progress, polled by hand.
pub(crate) struct Call<'a, T = Loaded> {
    future: BoxFuture<'a, T>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl<'a> Call<'a> {
    /// A call that has run until it had to wait.
    pub(crate) fn parked(cache: &'a Cache, loader: &'a dyn Loader) -> Self {
        let mut call = Self::new(cache.get_or_load(b"key", None, loader));
        assert!(call.poll().is_none(), "the call had to wait");
        call
    }
}

impl<'a, T> Call<'a, T> {
    /// A call that has not begun.
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self { future: Box::pin(future), wakes: Arc::default() }
    }

    pub(crate) fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(self.wakes.clone());
        match Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// Whether it was told to look again since it was asked last.
    pub(crate) fn woken(&self) -> bool {
        self.wakes.0.swap(0, SeqCst) > 0
    }

    /// The result, for which it must have been woken.
    pub(crate) fn finish(mut self) -> T {
        assert!(self.woken(), "nobody would have polled this call again");
        self.poll().expect("the call is over")
    }
}

struct Parker(Thread);

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Parker(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
