//! Three real memcacheds and two stores over them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
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
    /// Where the stores find them.
    addresses: Vec<SocketAddr>,
    pub(crate) store: MemcachedStore,
    pub(crate) other: MemcachedStore,
    pub(crate) runtime: Runtime,
    began: Instant,
}

impl Real {
    /// So many servers; `options` go into the URL.
    pub(crate) fn new(nodes: usize, options: &str) -> Self {
        Self::over(nodes, TIME_OUT, options, |server| server.address)
    }

    /// The same with something between stores and servers, and a time-out of its own.
    pub(crate) fn over(
        nodes: usize,
        time_out: Duration,
        options: &str,
        mut wire: impl FnMut(&Memcached) -> SocketAddr,
    ) -> Self {
        let servers: Vec<Memcached> =
            (0..nodes).map(|_| Memcached::start_with(&["-t", "2", "-m", "64", "-I", "4m"])).collect();
        let addresses: Vec<SocketAddr> = servers.iter().map(&mut wire).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let url = url(&addresses, time_out, options);
        let (store, other) = (open(&runtime, &url), open(&runtime, &url));
        Self { servers, addresses, store, other, runtime, began: Instant::now() }
    }
}

pub(crate) fn url(addresses: &[SocketAddr], time_out: Duration, options: &str) -> String {
    let nodes: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    format!("memcached://{}?timeout={}ms{options}", nodes.join(","), time_out.as_millis())
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
        self.addresses.iter().position(|address| address.to_string() == name).expect("one of them")
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
