//! The suite of the ports `Broker` and `BrokerAdmin` on one Redis that writes everything to its disk.

mod servers;

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::broker::pace::Pace;
use forebay_core::health::Health;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use forebay_redis::broker::{self, RedisBroker};
use forebay_redis::settings::Settings;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use servers::{Keeps, Redis};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const READY_MAX: Duration = Duration::from_secs(20);

struct One {
    redis: Redis,
    clock: Arc<TokioClock>,
    runtime: Runtime,
    broker: Arc<RedisBroker>,
}

fn one() -> One {
    let redis = Redis::start(Keeps::Everything, &[]);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = runtime.block_on(async { Arc::new(TokioClock::new()) });
    let broker = open(&redis, &runtime, clock.clone());
    One { redis, clock, runtime, broker }
}

fn open(redis: &Redis, runtime: &Runtime, clock: Arc<TokioClock>) -> Arc<RedisBroker> {
    let settings = Settings::parse(&format!("redis://{}?durable=always", redis.address)).unwrap();
    let (broker, works) = broker::open(settings, clock).unwrap();
    Tasks::new(runtime.handle().clone(), Arc::new(Health::default())).spawn_all(works);
    runtime.block_on(broker.ready(READY_MAX)).unwrap();
    broker
}

impl Rig for One {
    fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        Some(self.broker.clone())
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn pace(&self) -> Pace {
        Pace::SERVER
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        let ended = self.runtime.block_on(async { timeout(Duration::from_secs(60), future).await });
        ended.expect("a call does not end");
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.runtime.block_on(async { timeout(self.pace().quiet, future).await }).is_ok()
    }

    fn close(&self) {
        self.broker.close();
    }

    fn reopen(&mut self) {
        self.broker = open(&self.redis, &self.runtime, self.clock.clone());
    }

    fn crash(&mut self) {
        self.redis.kill();
        self.redis.start_again();
        // Another process finds what the server has kept.
        self.reopen();
    }
}

forebay_contract::broker!(one);
