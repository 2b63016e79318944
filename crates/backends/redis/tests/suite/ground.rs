//! What every test stands on: a runtime, a clock, and the running of works.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::health::Health;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::Work;
use forebay_redis::broker::{self, RedisBroker};
use forebay_redis::bus::{self, Kept, RedisBus};
use forebay_redis::settings::Settings;
use forebay_redis::store::{self, RedisStore};
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

/// How long a server may take until it is of use.
pub(crate) const READY_MAX: Duration = Duration::from_secs(30);
/// No call of a test takes longer.
const CALL_MAX: Duration = Duration::from_secs(60);

/// A process, as far as servers can tell.
pub(crate) struct Ground {
    runtime: Runtime,
    pub(crate) clock: Arc<TokioClock>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock = runtime.block_on(async { Arc::new(TokioClock::new()) });
        Self { runtime, clock }
    }

    pub(crate) fn spawn(&self, works: Vec<Work>) {
        Tasks::new(self.runtime.handle().clone(), Arc::new(Health::default())).spawn_all(works);
    }

    pub(crate) fn store(&self, url: &str) -> Arc<RedisStore> {
        let (store, work) = store::open(Settings::parse(url).unwrap(), self.clock.clone());
        self.spawn(vec![work]);
        self.run(store.ready(READY_MAX)).unwrap();
        store
    }

    pub(crate) fn broker(&self, url: &str) -> Arc<RedisBroker> {
        let (broker, works) = broker::open(Settings::parse(url).unwrap(), self.clock.clone()).unwrap();
        self.spawn(works);
        self.run(broker.ready(READY_MAX)).unwrap();
        broker
    }

    pub(crate) fn bus(&self, url: &str, kept: Kept) -> Arc<RedisBus> {
        let (bus, works) = bus::open(Settings::parse(url).unwrap(), kept, self.clock.clone());
        self.spawn(works);
        self.run(bus.ready(READY_MAX)).unwrap();
        bus
    }

    /// Runs a future to its end.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(CALL_MAX, future).await }).expect("a call does not end")
    }

    /// Runs it until so long nothing came and nothing is on its way, however busy the machine is, and says whether it ended.
    pub(crate) fn run_until_quiet(
        &self,
        quiet: Duration,
        broker: &RedisBroker,
        future: impl Future<Output = ()>,
    ) -> bool {
        let quiet = async {
            sleep(quiet).await;
            // Answers come in the order of what was asked; who is closed answers at once.
            for _ in 0..2 {
                let _ = broker.queues().await;
            }
        };
        self.run(async {
            tokio::select! {
                biased;
                () = future => true,
                () = quiet => false,
            }
        })
    }

    pub(crate) fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime.handle()
    }
}
