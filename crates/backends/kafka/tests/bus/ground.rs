//! What every case stands on: one of two servers, lent to one case at a time because some restart it, and a bus of its own
//! there.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::wire::Does;
use forebay_core::ports::bus::tape::Kept;
use forebay_core::ports::clock::{Clock, Run};
use forebay_kafka::bus::KafkaBus;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// What a listener may be behind.
pub(crate) const NOTICES: usize = 40;
/// How long a call of the bus takes at most: longer than a busy machine needs.
pub(crate) const WAIT: Duration = Duration::from_secs(60);
/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(120);

pub(crate) struct Ground {
    pub(crate) bus: KafkaBus,
    pub(crate) runtime: Runtime,
    clock: Arc<dyn Clock>,
    prefix: u32,
    pub(crate) server: MutexGuard<'static, Kafka>,
}

/// One of the servers, started by whoever needs it first; `None` where there are none.
fn server(number: usize) -> Option<&'static Mutex<Kafka>> {
    static SERVERS: [OnceLock<Option<Mutex<Kafka>>>; 2] = [const { OnceLock::new() }; 2];
    SERVERS[number % SERVERS.len()].get_or_init(|| Kafka::start().map(Mutex::new)).as_ref()
}

impl Ground {
    /// Whether there is a server; it is said if not.
    pub(crate) fn is_there() -> bool {
        server(0).is_some()
    }

    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = NEXT.fetch_add(1, Relaxed);
        let server = server(prefix as usize)?.blocking_lock();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock: Arc<dyn Clock> = runtime.block_on(async { Arc::new(TokioClock::new()) });
        // Whoever was lent it before may have failed.
        server.wire.cut(Does::Pass);
        let bus = open(&runtime, &clock, &options(&server.url(), prefix, WAIT), NOTICES);
        Some(Self { bus, runtime, clock, prefix, server })
    }

    /// Another bus of the same name, by this URL, with its own patience. Its listeners may be behind as far as there is anything:
    /// a gap is what the server has lost.
    pub(crate) fn another(&self, url: &str, wait: Duration) -> KafkaBus {
        open(&self.runtime, &self.clock, &options(url, self.prefix, wait), usize::MAX)
    }

    /// How the server is reached over its wire.
    pub(crate) fn over_wire(&self) -> String {
        format!("kafka://{}", self.server.wire.address)
    }

    pub(crate) fn reopen(&mut self) {
        let url = options(&self.server.url(), self.prefix, WAIT);
        self.bus = open(&self.runtime, &self.clock, &url, NOTICES);
    }

    /// What its topic is called on the server.
    pub(crate) fn topic(&self) -> String {
        format!("case{}.forebay_-bus", self.prefix)
    }

    pub(crate) fn on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(CALL_MAX, future).await }).expect("it hangs")
    }
}

fn options(url: &str, prefix: u32, wait: Duration) -> String {
    format!("{url}?prefix=case{prefix}.&wait_ms={}", wait.as_millis())
}

fn open(runtime: &Runtime, clock: &Arc<dyn Clock>, url: &str, notices: usize) -> KafkaBus {
    let kept = Kept { notices, ..Kept::default() };
    let (bus, works) = KafkaBus::open(KafkaSettings::parse(url).unwrap(), kept, clock.clone());
    for work in works {
        if let Run::Task(task) = work.run {
            runtime.spawn(task);
        }
    }
    bus
}
