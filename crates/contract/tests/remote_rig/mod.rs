//! The ground under the model of a shared store, in simulated time.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::remote::Rig;
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_contract::runner::Runner;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::time::Instant;

const TIME_OUT: Duration = Duration::from_millis(500);

/// Servers in memory with two stores over them, each wrapped in something.
pub(crate) struct Model<S> {
    clock: SimClock,
    began: Instant,
    runner: Arc<Runner>,
    servers: Arc<ModelServers>,
    store: Arc<S>,
    other: Arc<S>,
    close: Arc<ModelStore>,
}

impl<S> Model<S> {
    pub(crate) fn new(nodes: usize, wrap: impl Fn(Arc<ModelStore>) -> Arc<S>) -> Self {
        let clock = SimClock::new(1);
        let servers = ModelServers::new(clock.clone(), nodes);
        let open = || Arc::new(ModelStore::new(servers.clone(), TIME_OUT));
        let (store, other) = (open(), open());
        Self {
            began: clock.now(),
            clock,
            runner: Runner::new(),
            close: store.clone(),
            store: wrap(store),
            other: wrap(other),
            servers,
        }
    }
}

impl<S: RemoteStore + 'static> Rig for Model<S> {
    fn store(&self) -> Arc<dyn RemoteStore> {
        self.store.clone()
    }

    fn other(&self) -> Arc<dyn RemoteStore> {
        self.other.clone()
    }

    fn run(&self, mut future: BoxFuture<'_, ()>) {
        while self.runner.poll_once(&mut future).is_pending() {
            self.clock.set(self.clock.next_wake().expect("it waits for nothing"));
        }
    }

    fn pass(&self, time: Duration) {
        self.runner.pass(&self.clock, time);
    }

    fn now(&self) -> Duration {
        self.clock.now().since(self.began)
    }

    fn time_out(&self) -> Duration {
        TIME_OUT
    }

    fn recovery(&self) -> Duration {
        TIME_OUT
    }

    fn nodes(&self) -> usize {
        self.servers.nodes()
    }

    fn node_of(&self, key: &[u8]) -> usize {
        self.servers.node_of(key)
    }

    fn stop(&mut self, node: usize) {
        self.servers.stop(node);
    }

    fn start(&mut self, node: usize) {
        self.servers.bring_back(node);
    }

    fn pause(&mut self, node: usize) {
        self.servers.pause(node);
    }

    fn resume(&mut self, node: usize) {
        self.servers.bring_back(node);
    }

    fn empty(&mut self, node: usize) {
        self.servers.empty(node);
    }

    fn evict(&mut self, key: &[u8]) {
        self.servers.evict(key);
    }

    fn close(&self) {
        self.close.close();
    }
}
