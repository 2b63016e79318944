//! The governor: looks at what queues take, decides by the ladder, and moves the budgets.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use forebay_broker::EmbeddedBroker;
use forebay_core::limits::{GOVERNOR_PAUSE, GOVERNOR_REST_FACTOR, GOVERNOR_SHRINK_STEPS_MAX};
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::pressure::{Pressure, PressureStats, Rung};
use forebay_memory::Memory;

use crate::ladder::{Budget, Shares, ladder, shares};

/// Shares one budget out between the cache and the queues.
pub struct Governor {
    memory: Weak<Memory>,
    broker: Weak<EmbeddedBroker>,
    budget: Budget,
    pressure: Arc<Pressure>,
    rung: Rung,
    /// What everybody has by now.
    has: Shares,
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Everybody has what they are to have.
    Rest,
    /// The cache is on its way to a smaller budget, and the next step should follow soon.
    Shrinking,
    /// The cache or the queues are gone.
    Ended,
}

impl Governor {
    /// A governor of these two, which have what a calm budget gives them. It tells `pressure` what it does.
    pub fn new(
        memory: &Arc<Memory>,
        broker: &Arc<EmbeddedBroker>,
        budget: Budget,
        pressure: Arc<Pressure>,
    ) -> Self {
        let has = budget.calm();
        let stats = PressureStats {
            total_max: budget.total(),
            cache_max: has.cache,
            bodies_max: has.bodies,
            ..PressureStats::default()
        };
        pressure.tell(stats);
        let (memory, broker) = (Arc::downgrade(memory), Arc::downgrade(broker));
        Self { memory, broker, budget, pressure, rung: Rung::Calm, has }
    }

    /// One look and what follows from it. A shrinking cache keeps its shards to itself for a moment at a time, but all in
    /// all it takes a while, so that this is not for an asynchronous thread.
    pub fn step(&mut self) -> Step {
        let (Some(memory), Some(broker)) = (self.memory.upgrade(), self.broker.upgrade()) else {
            return Step::Ended;
        };
        if broker.is_closed() {
            return Step::Ended;
        }
        let usage = broker.memory();
        let rung = ladder(usage, &self.budget, self.rung);
        let wanted = shares(rung, usage, &self.budget, self.has);
        // What is quick and bounds the growth goes first.
        broker.admit(rung < Rung::PublishesRefused);
        if wanted.bodies != self.has.bodies {
            broker.limit_bodies(usize::try_from(wanted.bodies).unwrap_or(usize::MAX));
        }
        let least = self.has.cache.saturating_sub(GOVERNOR_SHRINK_STEPS_MAX * self.budget.cache_step());
        let cache = wanted.cache.max(least);
        if cache != self.has.cache && !memory.resize(cache) {
            tracing::warn!(bytes = cache, "the cache cannot change its budget");
        }
        self.has = Shares { cache, bodies: wanted.bodies };
        self.turn(rung);
        self.pressure.tell(PressureStats {
            rung,
            total_max: self.budget.total(),
            cache_max: cache,
            bodies_max: wanted.bodies,
            queues: usage,
        });
        if cache > wanted.cache { Step::Shrinking } else { Step::Rest }
    }

    /// Says so where a rung begins or ends.
    fn turn(&mut self, rung: Rung) {
        if rung == self.rung {
            return;
        }
        let (from, to) = (self.rung.name(), rung.name());
        if rung == Rung::PublishesRefused {
            tracing::error!(from, to, "queues have used up their memory, publishes are refused");
        } else {
            tracing::info!(from, to, "memory pressure has changed");
        }
        self.rung = rung;
    }

    /// A pause, that a closing broker does not wait for much longer than for the shortest one.
    fn rest(&self, rest: Duration) {
        let pauses = rest.min(REST_MAX).as_millis() / GOVERNOR_PAUSE.as_millis();
        for _ in 0..=pauses {
            thread::sleep(GOVERNOR_PAUSE);
            if self.broker.upgrade().is_none_or(|broker| broker.is_closed()) {
                return;
            }
        }
    }

    /// The thread that looks again and again. It ends when the broker is closed, or one of the two is dropped.
    pub fn work(mut self, clock: Arc<dyn Clock>) -> Work {
        let run = move || {
            loop {
                let begun = clock.now();
                let step = self.step();
                let rest = clock.now().since(begun) * GOVERNOR_REST_FACTOR;
                match step {
                    Step::Ended => return,
                    Step::Shrinking => thread::yield_now(),
                    Step::Rest => self.rest(rest),
                }
            }
        };
        Work { name: "memory governor", run: Run::Thread(Box::new(run)) }
    }
}

/// However long a look has taken, the next one comes.
const REST_MAX: Duration = Duration::from_secs(5);
