//! Time, randomness, and running what constructors return.

use super::BoxFuture;
use crate::time::Instant;

/// Now, sleep, randomness. A simulation fills it with its own.
pub trait Clock: Send + Sync {
    /// The present; never earlier than what it said before.
    fn now(&self) -> Instant;

    /// A moment that was the present at most 10 ms ago, where that is cheaper to say: for the end of life of what a hit finds.
    fn recent(&self) -> Instant {
        self.now()
    }

    /// Is ready once `now` has reached `at`.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;

    /// 64 random bits. Not for secrets.
    fn random(&self) -> u64;
}

/// Something that must be run for its maker to work. Constructors return it, they do not start it.
pub struct Work {
    /// Shown in thread names and logs.
    pub name: &'static str,
    /// How it runs.
    pub run: Run,
}

/// How a piece of work runs.
pub enum Run {
    /// On the runtime. It ends by itself when its maker is closed or dropped.
    Task(BoxFuture<'static, ()>),
    /// On a thread of its own, because it blocks. It ends by itself when its maker is closed or dropped.
    Thread(Box<dyn FnOnce() + Send + 'static>),
}

/// Runs work.
pub trait Spawn: Send + Sync {
    /// Starts it. It is awaited when the process drains.
    fn spawn(&self, work: Work);
}
