//! The ground under a broken broker: the embedded one, because it can do everything that the suite asks about, in simulated
//! time and with the saboteur for a disk.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_broker::{BrokerOptions, EmbeddedBroker, open};
use forebay_contract::broker::Rig;
use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_contract::runner::Runner;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::{Clock, Spawn};
use forebay_core::time::Instant;
use forebay_log::LogOptions;
use parking_lot::Mutex;

use crate::broken::{Broken, Known};
use crate::fault::Fault;

/// A sound broker with a fault before it.
pub(crate) struct Ground {
    fault: Fault,
    files: Saboteur,
    clock: SimClock,
    runner: Arc<Runner>,
    known: Arc<Mutex<Known>>,
    opened: Option<(Arc<EmbeddedBroker>, Arc<Broken>)>,
}

impl Ground {
    pub(crate) fn new(fault: Fault) -> Self {
        let mut ground = Self {
            fault,
            files: Saboteur::new(),
            clock: SimClock::new(1),
            runner: Runner::new(),
            known: Arc::default(),
            opened: None,
        };
        ground.open(false);
        ground
    }

    fn open(&mut self, again: bool) {
        let log =
            LogOptions { segment_bytes: 64 * 1024, pending_bytes_max: 1 << 20, ..LogOptions::default() };
        let options = BrokerOptions { log, ..BrokerOptions::default() };
        let opened = open(Arc::new(self.files.clone()), options, Arc::new(self.clock.clone()));
        let opened = opened.expect("a sound broker opens");
        opened.work.into_iter().for_each(|work| self.runner.spawn(work));
        let broken =
            Broken::new(opened.broker.clone(), self.clock.clone(), self.fault, again, self.known.clone());
        if again {
            self.runner.block_on(broken.begin_again()).expect("a sound broker does as it is told");
        }
        self.opened = Some((opened.broker, Arc::new(broken)));
    }

    fn opened(&self) -> &(Arc<EmbeddedBroker>, Arc<Broken>) {
        self.opened.as_ref().expect("it is open")
    }
}

impl Rig for Ground {
    fn broker(&self) -> Arc<dyn Broker> {
        self.opened().1.clone()
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        Some(self.opened().1.clone())
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.runner.pass(&self.clock, time);
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.runner.block_on(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.runner.poll_once(future).is_ready()
    }

    fn close(&self) {
        self.opened().0.close();
        self.runner.join();
    }

    fn reopen(&mut self) {
        self.files = self.files.restart();
        self.open(true);
    }

    fn crash(&mut self) {
        self.files = self.files.crash(self.clock.random());
        self.opened = None;
        self.runner.join();
        self.open(true);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.opened = None;
        self.runner.join();
    }
}
