//! The embedded broker keeps what every broker promises, with the saboteur for a disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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

struct Embedded {
    files: Saboteur,
    clock: SimClock,
    runner: Arc<Runner>,
    broker: Option<Arc<EmbeddedBroker>>,
}

fn embedded() -> Embedded {
    let mut rig =
        Embedded { files: Saboteur::new(), clock: SimClock::new(1), runner: Runner::new(), broker: None };
    rig.open();
    rig
}

impl Embedded {
    fn open(&mut self) {
        let log =
            LogOptions { segment_bytes: 64 * 1024, pending_bytes_max: 1 << 20, ..LogOptions::default() };
        let options = BrokerOptions { log, ..BrokerOptions::default() };
        let opened = open(Arc::new(self.files.clone()), options, Arc::new(self.clock.clone())).unwrap();
        opened.work.into_iter().for_each(|work| self.runner.spawn(work));
        self.broker = Some(opened.broker);
    }

    fn embedded(&self) -> &Arc<EmbeddedBroker> {
        self.broker.as_ref().unwrap()
    }
}

impl Rig for Embedded {
    fn broker(&self) -> Arc<dyn Broker> {
        self.embedded().clone()
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        Some(self.embedded().clone())
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
        self.embedded().close();
        self.runner.join();
    }

    fn reopen(&mut self) {
        self.files = self.files.restart();
        self.open();
    }

    fn crash(&mut self) {
        // What the old process still tries reaches no disk any more.
        self.files = self.files.crash(self.clock.random());
        self.broker = None;
        self.runner.join();
        self.open();
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.broker = None;
        self.runner.join();
    }
}

forebay_contract::broker!(embedded);
