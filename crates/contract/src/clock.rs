//! A clock whose time stands still until a test moves it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::random::Random;

/// Simulated time and randomness. A clone is the same clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    now: Instant,
    random: Random,
    sleeper_next: u64,
    sleepers: BTreeMap<(Instant, u64), Option<Waker>>,
}

impl SimClock {
    /// A clock at a moment of no meaning; all its randomness follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let now = Instant::from_ms(1_700_000_000_000);
        Self {
            state: Arc::new(Mutex::new(State {
                now,
                random: Random::new(seed),
                sleeper_next: 0,
                sleepers: BTreeMap::new(),
            })),
        }
    }

    /// When the next sleeper wants to be woken.
    pub fn next_wake(&self) -> Option<Instant> {
        self.state.lock().sleepers.keys().next().map(|(at, _)| *at)
    }

    /// Moves time on and wakes whose time has come. Never back.
    pub fn set(&self, at: Instant) {
        let due = {
            let mut state = self.state.lock();
            state.now = state.now.max(at);
            let later = state.sleepers.split_off(&(at + Duration::from_millis(1), 0));
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().flatten().for_each(Waker::wake);
    }

    /// Moves time on by `time`.
    pub fn advance(&self, time: Duration) {
        self.set(self.now() + time);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.state.lock().now
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let state = self.state.clone();
        let mut sleeper = Sleeper { state, at, number: None };
        Box::pin(poll_fn(move |context| sleeper.poll(context.waker())))
    }

    fn random(&self) -> u64 {
        self.state.lock().random.draw()
    }
}

struct Sleeper {
    state: Arc<Mutex<State>>,
    at: Instant,
    number: Option<u64>,
}

impl Sleeper {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let number = *self.number.get_or_insert_with(|| {
            state.sleeper_next += 1;
            state.sleeper_next
        });
        state.sleepers.insert((self.at, number), Some(waker.clone()));
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.state.lock().sleepers.remove(&(self.at, number));
        }
    }
}
