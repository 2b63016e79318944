//! The memcached front in this process before a shared memcached, as a near cache.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay_cache::NearCache;
use forebay_core::entry::Version;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::remote_store::RemoteStore;
use forebay_memcached::{Options, bind_near};
use forebay_memcached_store::settings::Settings;
use forebay_memcached_store::store::MemcachedStore;
use forebay_memory::{Memory, MemoryOptions};
use forebay_runtime::clock::TokioClock;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// How long the shared store is waited for.
pub const TIME_OUT: Duration = Duration::from_millis(500);
/// How long it may take to see all connections off.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running front. It stops, and is waited for, when dropped.
pub struct NearFront {
    /// Where it listens.
    pub address: SocketAddr,
    /// The shared store as another process has it.
    pub other: MemcachedStore,
    runtime: Arc<Runtime>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl NearFront {
    /// A front before these memcacheds, as it is by default.
    pub fn start(servers: &[SocketAddr]) -> Self {
        Self::start_with(servers, Options::default().threads)
    }

    /// The same with so many threads; without any it is given the runtime of the shared store's client.
    pub fn start_with(servers: &[SocketAddr], count: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = Arc::new(runtime.expect("a runtime"));
        let nodes: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        let url = format!("memcached://{}?timeout={}ms", nodes.join(","), TIME_OUT.as_millis());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let (shared, other) = (open(&runtime, &url, &clock), open(&runtime, &url, &clock));
        let options = Options {
            tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            threads: count,
            ..Options::default()
        };
        let memory = Memory::new(MemoryOptions {
            bytes_max: 64 * 1024 * 1024,
            value_bytes_max: options.value_bytes_max,
            first_version: Version::first(clock.now()),
        });
        let near = Arc::new(NearCache::new(Arc::new(memory), Arc::new(shared), Arc::clone(&clock)));
        let (stop, stopped) = watch::channel(false);
        let bound = bind_near(options, near, clock, stopped).expect("the front binds");
        let address = bound.addresses().tcp.expect("it listens on TCP");
        let run = |work: Work| match work.run {
            Run::Thread(run) => thread::spawn(run),
            Run::Task(task) => {
                let runtime = Arc::clone(&runtime);
                thread::spawn(move || runtime.block_on(async { drop(runtime.spawn(task).await) }))
            }
        };
        let threads = bound.work().into_iter().map(run).collect();
        let front = Self { address, other, runtime, stop, threads };
        front.wait(servers.len());
        front
    }

    /// Runs a call of the other process to its end.
    pub fn run<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// Until the other process has its connections, which says that the front can have its own.
    fn wait(&self, servers: usize) {
        for number in 0..20 * servers {
            let key = format!("wait{number}");
            let answers = self.run(self.other.get(&[key.as_bytes()]));
            assert!(answers.into_iter().all(|answer| answer.is_ok()), "the shared store answers");
        }
    }
}

fn open(runtime: &Runtime, url: &str, clock: &Arc<dyn Clock>) -> MemcachedStore {
    let settings: Settings = url.parse().expect("a good URL");
    let _inside = runtime.enter();
    let (store, works) = MemcachedStore::new(settings, Arc::clone(clock)).expect("good settings");
    for work in works {
        match work.run {
            Run::Task(task) => drop(runtime.spawn(task)),
            Run::Thread(_) => unreachable!("it only waits for sockets"),
        }
    }
    store
}

impl Drop for NearFront {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let begun = Instant::now();
        for thread in self.threads.drain(..) {
            while !thread.is_finished() {
                assert!(begun.elapsed() < STOP_MAX || thread::panicking(), "the front does not stop");
                thread::sleep(Duration::from_millis(1));
            }
            if thread.join().is_err() && !thread::panicking() {
                panic!("a thread of the front panicked");
            }
        }
    }
}
