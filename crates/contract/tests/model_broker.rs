//! The model keeps what every broker promises.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::clock::SimClock;
use forebay_contract::model_broker::ModelBroker;
use forebay_contract::runner::Runner;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;

struct Model {
    clock: SimClock,
    runner: Arc<Runner>,
    broker: Arc<ModelBroker>,
}

fn model() -> Model {
    let clock = SimClock::new(1);
    let broker = ModelBroker::new(Arc::new(clock.clone()));
    Model { clock, runner: Runner::new(), broker }
}

impl Rig for Model {
    fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        None
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
        self.broker.close();
    }

    fn reopen(&mut self) {
        self.broker = self.broker.restarted();
    }

    /// Everything it was told is durable.
    fn crash(&mut self) {
        self.reopen();
    }
}

forebay_contract::broker!(model);
