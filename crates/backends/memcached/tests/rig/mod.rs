//! Three real memcacheds and two stores over them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::remote::Rig;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::{Run, Work};
use forebay_core::ports::remote_store::RemoteStore;
use forebay_memcached_store::settings::Settings;
use forebay_memcached_store::store::MemcachedStore;
use forebay_runtime::clock::TokioClock;
use tokio::runtime::Runtime;

use forebay_contract::servers::memcached::Memcached;

pub(crate) const TIME_OUT: Duration = Duration::from_millis(500);

pub(crate) struct Real {
    pub(crate) servers: Vec<Memcached>,
    pub(crate) store: MemcachedStore,
    pub(crate) other: MemcachedStore,
    pub(crate) runtime: Runtime,
    began: Instant,
}

impl Real {
    /// So many servers; `options` go into the URL.
    pub(crate) fn new(nodes: usize, options: &str) -> Self {
        let servers: Vec<Memcached> =
            (0..nodes).map(|_| Memcached::start_with(&["-t", "2", "-m", "64", "-I", "4m"])).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let url = url(&servers, options);
        let (store, other) = (open(&runtime, &url), open(&runtime, &url));
        Self { servers, store, other, runtime, began: Instant::now() }
    }
}

pub(crate) fn url(servers: &[Memcached], options: &str) -> String {
    let nodes: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
    format!("memcached://{}?timeout={}ms{options}", nodes.join(","), TIME_OUT.as_millis())
}

/// A store, with its works running.
pub(crate) fn open(runtime: &Runtime, url: &str) -> MemcachedStore {
    let settings: Settings = url.parse().expect("a good URL");
    let _inside = runtime.enter();
    let (store, works) = MemcachedStore::new(settings, Arc::new(TokioClock::new())).expect("good settings");
    start(runtime, works);
    store
}

pub(crate) fn start(runtime: &Runtime, works: Vec<Work>) {
    for work in works {
        match work.run {
            Run::Task(task) => drop(runtime.spawn(task)),
            Run::Thread(_) => unreachable!("it only waits for sockets"),
        }
    }
}

impl Rig for Real {
    fn store(&self) -> Arc<dyn RemoteStore> {
        Arc::new(self.store.clone())
    }

    fn other(&self) -> Arc<dyn RemoteStore> {
        Arc::new(self.other.clone())
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.runtime.block_on(future);
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn time_out(&self) -> Duration {
        TIME_OUT
    }

    fn recovery(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn nodes(&self) -> usize {
        self.servers.len()
    }

    fn node_of(&self, key: &[u8]) -> usize {
        let name = self.store.node_of(key).expect("there are nodes");
        self.servers.iter().position(|server| server.address.to_string() == name).expect("one of them")
    }

    fn stop(&mut self, node: usize) {
        self.servers[node].kill();
    }

    fn start(&mut self, node: usize) {
        self.servers[node].start_again();
    }

    fn pause(&mut self, node: usize) {
        self.servers[node].pause();
    }

    fn resume(&mut self, node: usize) {
        self.servers[node].resume();
    }

    fn empty(&mut self, node: usize) {
        assert_eq!(self.servers[node].say("flush_all"), "OK\r\n");
    }

    fn evict(&mut self, key: &[u8]) {
        let key = std::str::from_utf8(key).expect("keys of the suite are text");
        self.servers[self.node_of(key.as_bytes())].say(&format!("delete {key}"));
    }

    fn close(&self) {
        self.store.close();
    }
}
