//! The governor: looks at what queues take, decides by the ladder, and moves the budgets.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use forebay_broker::EmbeddedBroker;
use forebay_core::limits::memory::{GOVERNOR_PAUSE, GOVERNOR_REST_FACTOR, GOVERNOR_SHRINK_STEPS_MAX};
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::pressure::{Pressure, PressureStats, Rung};
use forebay_log::Durable;
use forebay_memory::{Memory, MemoryBudget};

use crate::ladder::{Budget, Shares, ladder, shares};

/// Shares one budget out between the cache and the queues. What the cache is asked to take while it runs becomes its part of
/// the budget.
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
        memory.ask_at_most(budget.cache_ceiling());
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
        self.follow(&memory);
        let mut usage = broker.memory();
        let mut rung = ladder(usage, &self.budget, self.rung);
        if rung > Rung::Calm {
            let bytes = broker.forget_retained(self.budget.over(usage));
            if bytes > 0 {
                tracing::warn!(bytes, "retained messages give way: queues have little memory left");
                usage = broker.memory();
                rung = ladder(usage, &self.budget, self.rung);
            }
        }
        let wanted = shares(rung, usage, &self.budget, self.has);
        // What is quick and bounds the growth goes first.
        broker.admit(rung < Rung::PublishesRefused);
        if wanted.bodies != self.has.bodies {
            broker.limit_bodies(usize::try_from(wanted.bodies).unwrap_or(usize::MAX));
        }
        let least = self.has.cache.saturating_sub(GOVERNOR_SHRINK_STEPS_MAX * self.budget.cache_step());
        let cache = wanted.cache.max(least);
        if cache != self.has.cache && !memory.grant(cache) {
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

    /// Somebody may have asked for another cache, which had some of it at once.
    fn follow(&mut self, memory: &Memory) {
        let MemoryBudget { asked, granted } = memory.budget();
        self.has.cache = granted;
        if asked == self.budget.calm().cache {
            return;
        }
        match self.budget.with_cache(asked) {
            Ok(budget) => {
                tracing::info!(bytes = asked, "the cache is asked to take another part of the memory");
                self.budget = budget;
            }
            Err(error) => tracing::warn!(%error, "the cache was asked to take what there is no room for"),
        }
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

    /// The thread that looks again and again. It ends when the broker is closed, or one of the two is dropped.
    pub fn work(self, clock: Arc<dyn Clock>) -> Work {
        let run = move || self.run(&*clock, GOVERNOR_PAUSE);
        Work { name: "memory governor", run: Run::Thread(Box::new(run)) }
    }

    fn run(mut self, clock: &dyn Clock, pause: Duration) {
        let Some(mut bell) = self.broker.upgrade().map(|broker| Bell::new(&broker)) else { return };
        loop {
            let begun = clock.now();
            let step = self.step();
            let rest = clock.now().since(begun) * GOVERNOR_REST_FACTOR;
            match step {
                Step::Ended => return,
                Step::Shrinking => thread::yield_now(),
                Step::Rest => bell.rest(rest.clamp(pause, REST_MAX.max(pause))),
            }
        }
    }
}

/// Wakes this thread when the broker's log has ended: nobody who closes waits for a rest to be over.
struct Bell {
    end: Durable,
    waker: Waker,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Bell {
    fn new(broker: &EmbeddedBroker) -> Self {
        // Nothing ever has this number, so that it is waited for until the log ends.
        let end = broker.log().durable(u64::MAX);
        Self { end, waker: Waker::from(Arc::new(Unpark(thread::current()))) }
    }

    /// Rests for so long or less: who is woken for nothing has only looked too early. A log that has failed rings no more, so
    /// with it rests are short.
    fn rest(&mut self, rest: Duration) {
        let ended = Pin::new(&mut self.end).poll(&mut Context::from_waker(&self.waker)).is_ready();
        thread::park_timeout(if ended { rest.min(GOVERNOR_PAUSE) } else { rest });
    }
}

/// However long a look has taken, the next one comes.
const REST_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use forebay_broker::BrokerOptions;
    use forebay_contract::clock::SimClock;
    use forebay_contract::files::Saboteur;
    use forebay_contract::runner::Runner;
    use forebay_core::entry::Version;
    use forebay_core::ports::broker::Broker;
    use forebay_core::ports::clock::Spawn;
    use forebay_core::queue::{QueueName, QueueSettings};
    use forebay_memory::MemoryOptions;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_rest_is_over_as_soon_as_the_broker_is_closed() {
        const MIB: u64 = 1 << 20;
        let (runner, clock) = (Runner::new(), Arc::new(SimClock::new(1)));
        let files = Arc::new(Saboteur::new());
        let opened = forebay_broker::open(files, BrokerOptions::default(), clock.clone()).unwrap();
        opened.work.into_iter().for_each(|work| runner.spawn(work));
        let settings = QueueSettings::new(QueueName::new("q").unwrap());
        runner.block_on(opened.broker.ensure(&settings)).unwrap();
        let memory = Arc::new(Memory::new(MemoryOptions {
            bytes_max: MIB as usize,
            value_bytes_max: 1024,
            first_version: Version(1),
        }));
        let (budget, pressure) = (Budget::new(None, MIB, MIB).unwrap(), Arc::new(Pressure::default()));
        let governor = Governor::new(&memory, &opened.broker, budget, pressure.clone());
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            governor.run(&*clock, Duration::from_secs(3_600));
            tell.send(())
        });
        // It has looked, and rests or is about to.
        while pressure.stats().queues.entries == 0 {
            thread::yield_now();
        }
        opened.broker.close();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
        runner.join();
    }
}
