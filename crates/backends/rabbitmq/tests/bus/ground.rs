//! What every case stands on: one of two servers, lent to one case at a time because some restart it, and a bus of its own
//! there.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_core::ports::bus::tape::Kept;
use forebay_core::ports::clock::{Clock, Run};
use forebay_rabbitmq::bus::RabbitBus;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

/// What a listener may be behind.
pub(crate) const NOTICES: usize = 40;
/// How long a call of the bus takes at most.
pub(crate) const WAIT: Duration = Duration::from_secs(10);
/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(90);

pub(crate) struct Ground {
    pub(crate) bus: RabbitBus,
    pub(crate) runtime: Runtime,
    clock: Arc<dyn Clock>,
    prefix: u32,
    pub(crate) server: MutexGuard<'static, RabbitMq>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        static SERVERS: [OnceLock<Mutex<RabbitMq>>; 2] = [const { OnceLock::new() }; 2];
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = NEXT.fetch_add(1, Relaxed);
        let server = SERVERS[prefix as usize % SERVERS.len()].get_or_init(|| Mutex::new(RabbitMq::start()));
        let server = server.blocking_lock();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock: Arc<dyn Clock> = runtime.block_on(async { Arc::new(TokioClock::new()) });
        let bus = open(&runtime, &clock, &url(&server.address.to_string(), prefix, WAIT));
        Self { server, runtime, clock, prefix, bus }
    }

    /// Another bus of the same name, over a wire or with less patience.
    pub(crate) fn another(&self, address: &str, wait: Duration) -> RabbitBus {
        open(&self.runtime, &self.clock, &url(address, self.prefix, wait))
    }

    pub(crate) fn reopen(&mut self) {
        self.bus = self.another(&self.server.address.to_string(), WAIT);
    }

    /// What its stream is called on the server.
    pub(crate) fn stream(&self) -> String {
        format!("case{}.forebay.bus", self.prefix)
    }

    pub(crate) fn on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(CALL_MAX, future).await }).expect("it hangs")
    }
}

fn url(address: &str, prefix: u32, wait: Duration) -> String {
    format!("amqp://{address}/%2f?prefix=case{prefix}.&heartbeat_s=2&wait_ms={}", wait.as_millis())
}

fn open(runtime: &Runtime, clock: &Arc<dyn Clock>, url: &str) -> RabbitBus {
    let kept = Kept { notices: NOTICES, ..Kept::default() };
    let (bus, works) = RabbitBus::open(RabbitSettings::parse(url).unwrap(), kept, clock.clone());
    for work in works {
        if let Run::Task(task) = work.run {
            runtime.spawn(task);
        }
    }
    bus
}
