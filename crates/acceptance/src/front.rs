//! The memcached front in this process, on the embedded store.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::ports::clock::{Clock, Run};
use forebay_core::stats::ConnectionStats;
use forebay_memcached::{Options, bind};
use forebay_memory::{Memory, MemoryOptions};
use forebay_runtime::clock::TokioClock;
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Memory of the store, as much as memcached takes by default.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long it may take to see all connections off.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running front. It stops, and is waited for, when dropped.
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its unix socket.
    pub unix: Option<PathBuf>,
    /// Counts of its connections.
    pub connections: Arc<ConnectionStats>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Front {
    /// A front as it is by default, on a free port.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// A front with options; the TCP address is replaced by a free one. Without threads of its own it is given a runtime
    /// with two workers.
    pub fn start_with(options: Options) -> Self {
        Self::try_start_with(options).expect("the front binds")
    }

    /// The same where it may be refused.
    pub fn try_start_with(options: Options) -> Result<Self> {
        Self::try_start_at(Options { tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), ..options })
    }

    /// The same at the address of the options.
    pub fn try_start_at(options: Options) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let store = Arc::new(Memory::new(MemoryOptions {
            bytes_max: BYTES_MAX,
            value_bytes_max: options.value_bytes_max,
            first_version: Version::first(clock.now()),
        }));
        let (stop, stopped) = watch::channel(false);
        let bound = bind(options, store, clock, stopped)?;
        let address = bound.addresses().tcp.expect("it listens on TCP");
        let (unix, connections) = (bound.addresses().unix.clone(), bound.connections());
        let threads = bound
            .work()
            .into_iter()
            .map(|work| match work.run {
                Run::Thread(run) => thread::spawn(run),
                Run::Task(task) => {
                    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
                    let runtime = runtime.expect("a runtime");
                    thread::spawn(move || runtime.block_on(async { drop(runtime.spawn(task).await) }))
                }
            })
            .collect();
        Ok(Self { address, unix, connections, stop, threads })
    }

    /// Tells it to stop and waits until every connection has been seen off.
    pub fn stop(mut self) {
        self.end();
    }

    /// Tells it to stop without waiting.
    pub fn begin_stop(&self) {
        self.stop.send_replace(true);
    }

    fn end(&mut self) {
        self.begin_stop();
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

impl Drop for Front {
    fn drop(&mut self) {
        self.end();
    }
}
