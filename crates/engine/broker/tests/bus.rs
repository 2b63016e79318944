//! The bus in the process keeps what every bus promises, also in a saboteur's hands.

use std::sync::Arc;
use std::time::Duration;

use forebay_broker::{BusOptions, EmbeddedBus};
use forebay_contract::bus::Rig;
use forebay_contract::bus::subjects::order::{a_dropped_wait_loses_nothing, nothing_is_lost_in_silence};
use forebay_contract::clock::SimClock;
use forebay_contract::runner::Runner;
use forebay_contract::saboteur::bus::BusSaboteur;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;
use forebay_core::ports::clock::Clock;

const OPTIONS: BusOptions = BusOptions { notices_max: 32, bytes_max: 1024 * 1024 };

struct Embedded {
    clock: SimClock,
    runner: Arc<Runner>,
    bus: Arc<EmbeddedBus>,
    /// The seed of the saboteur that stands before the bus.
    sabotage: Option<u64>,
    shown: Arc<dyn Bus>,
}

impl Embedded {
    fn new(sabotage: Option<u64>) -> Self {
        let clock = SimClock::new(1);
        let bus = Arc::new(EmbeddedBus::new(OPTIONS, clock.now()));
        let mut rig = Self { clock, runner: Runner::new(), shown: bus.clone(), bus, sabotage };
        rig.open();
        rig
    }

    fn open(&mut self) {
        self.bus = Arc::new(EmbeddedBus::new(OPTIONS, self.clock.now()));
        self.shown = match self.sabotage {
            Some(seed) => Arc::new(BusSaboteur::new(self.bus.clone(), seed)),
            None => self.bus.clone(),
        };
    }
}

impl Rig for Embedded {
    fn bus(&self) -> Arc<dyn Bus> {
        self.shown.clone()
    }

    fn kept(&self) -> usize {
        OPTIONS.notices_max
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.runner.block_on(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.runner.poll_once(future).is_ready()
    }

    fn close(&self) {
        self.bus.close();
    }

    fn restart(&mut self) {
        self.clock.advance(Duration::from_millis(1));
        self.open();
    }
}

mod alone {
    use super::Embedded;

    fn embedded() -> Embedded {
        Embedded::new(None)
    }

    forebay_contract::bus!(embedded);
}

mod sabotaged {
    use super::Embedded;

    fn sabotaged() -> Embedded {
        Embedded::new(Some(1))
    }

    forebay_contract::bus!(sabotaged);
}

/// The one promise that every bus keeps, with many seeds.
#[test]
fn a_saboteur_loses_nothing_in_silence_whatever_its_seed() {
    for seed in 0..200 {
        nothing_is_lost_in_silence(&mut Embedded::new(Some(seed)));
        a_dropped_wait_loses_nothing(&mut Embedded::new(Some(seed)));
    }
}
