//! The suite of the port, on both.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::{Alone, NearCache};
use forebay_contract::clock::SimClock;
use forebay_contract::remote::Rig;
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_contract::runner::Runner;
use forebay_core::entry::Delete;
use forebay_core::limits::near::NEAR_LIFE_MAX;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::time::Instant;

use crate::support::store;

const TIME_OUT: Duration = Duration::from_millis(500);

/// Simulated time, and what runs in it.
struct Ground {
    clock: SimClock,
    began: Instant,
    runner: Arc<Runner>,
}

impl Ground {
    fn new() -> Self {
        let clock = SimClock::new(1);
        Self { began: clock.now(), clock, runner: Runner::new() }
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
}

/// Two near caches over the same servers.
struct Nears {
    ground: Ground,
    servers: Arc<ModelServers>,
    shared: Arc<ModelStore>,
    store: Arc<NearCache>,
    other: Arc<NearCache>,
}

/// What becomes of a server is seen when the copies of what it had are over.
impl Rig for Nears {
    fn store(&self) -> Arc<dyn RemoteStore> {
        self.store.clone()
    }

    fn other(&self) -> Arc<dyn RemoteStore> {
        self.other.clone()
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
    }

    fn pass(&self, time: Duration) {
        self.ground.pass(time);
    }

    fn now(&self) -> Duration {
        self.ground.now()
    }

    fn time_out(&self) -> Duration {
        TIME_OUT
    }

    fn recovery(&self) -> Duration {
        TIME_OUT
    }

    fn age_max(&self) -> Duration {
        NEAR_LIFE_MAX
    }

    fn nodes(&self) -> usize {
        self.servers.nodes()
    }

    fn node_of(&self, key: &[u8]) -> usize {
        self.servers.node_of(key)
    }

    fn stop(&mut self, node: usize) {
        self.servers.stop(node);
        self.pass(NEAR_LIFE_MAX);
    }

    fn start(&mut self, node: usize) {
        self.servers.bring_back(node);
    }

    fn pause(&mut self, node: usize) {
        self.servers.pause(node);
        self.pass(NEAR_LIFE_MAX);
    }

    fn resume(&mut self, node: usize) {
        self.servers.bring_back(node);
    }

    fn empty(&mut self, node: usize) {
        self.servers.empty(node);
        self.pass(NEAR_LIFE_MAX);
    }

    fn evict(&mut self, key: &[u8]) {
        self.servers.evict(key);
        self.pass(NEAR_LIFE_MAX);
    }

    fn close(&self) {
        self.shared.close();
        self.pass(NEAR_LIFE_MAX);
    }
}

fn nears() -> Nears {
    let ground = Ground::new();
    let servers = ModelServers::new(ground.clock.clone(), 3);
    let open = || Arc::new(ModelStore::new(servers.clone(), TIME_OUT));
    let near = |shared| Arc::new(NearCache::new(store(), shared, Arc::new(ground.clock.clone())));
    let shared = open();
    let (here, other) = (near(shared.clone()), near(open()));
    Nears { ground, servers, shared, store: here, other }
}

/// One memory and no servers.
struct Lonely {
    ground: Ground,
    memory: Arc<dyn LocalStore>,
    store: Alone,
}

impl Rig for Lonely {
    fn store(&self) -> Arc<dyn RemoteStore> {
        Arc::new(self.store.clone())
    }

    /// Another handle: there is no other process.
    fn other(&self) -> Arc<dyn RemoteStore> {
        self.store()
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
    }

    fn pass(&self, time: Duration) {
        self.ground.pass(time);
    }

    fn now(&self) -> Duration {
        self.ground.now()
    }

    fn time_out(&self) -> Duration {
        Duration::ZERO
    }

    fn recovery(&self) -> Duration {
        Duration::ZERO
    }

    fn nodes(&self) -> usize {
        0
    }

    fn node_of(&self, _: &[u8]) -> usize {
        0
    }

    fn stop(&mut self, _: usize) {
        unreachable!("there is no server")
    }

    fn start(&mut self, _: usize) {
        unreachable!("there is no server")
    }

    fn pause(&mut self, _: usize) {
        unreachable!("there is no server")
    }

    fn resume(&mut self, _: usize) {
        unreachable!("there is no server")
    }

    fn empty(&mut self, _: usize) {
        unreachable!("there is no server")
    }

    fn evict(&mut self, key: &[u8]) {
        self.memory.delete(key, Delete::at(self.ground.clock.now()));
    }

    fn close(&self) {
        unreachable!("there is nothing to close")
    }
}

fn alone() -> Lonely {
    let (ground, memory) = (Ground::new(), store());
    let store = Alone::new(memory.clone(), Arc::new(ground.clock.clone()));
    Lonely { ground, memory, store }
}

mod near_over_a_model {
    use super::nears;

    forebay_contract::remote!(nears);
}

mod alone_over_the_memory {
    use super::alone;

    forebay_contract::remote!(alone);
}
