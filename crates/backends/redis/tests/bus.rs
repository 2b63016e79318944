//! The suite of the port `Bus` on one Redis.

mod servers;

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::bus::Rig;
use forebay_core::health::Health;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;
use forebay_redis::bus::{self, Kept, RedisBus};
use forebay_redis::settings::Settings;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use servers::{Keeps, Redis};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const READY_MAX: Duration = Duration::from_secs(20);
/// After it nothing more comes by itself.
const QUIET: Duration = Duration::from_millis(60);
const NOTICES: usize = 40;

struct One {
    redis: Redis,
    runtime: Runtime,
    bus: Arc<RedisBus>,
}

fn keeping(keeps: Keeps) -> One {
    let redis = Redis::start(keeps, &[]);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let bus = open(&redis, &runtime);
    One { redis, runtime, bus }
}

fn open(redis: &Redis, runtime: &Runtime) -> Arc<RedisBus> {
    let settings = Settings::parse(&format!("redis://{}", redis.address)).unwrap();
    let kept = Kept { notices: NOTICES, ..Kept::default() };
    let (bus, works) = runtime.block_on(async { bus::open(settings, kept, Arc::new(TokioClock::new())) });
    Tasks::new(runtime.handle().clone(), Arc::new(Health::default())).spawn_all(works);
    runtime.block_on(bus.ready(READY_MAX)).unwrap();
    bus
}

impl Rig for One {
    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn kept(&self) -> usize {
        NOTICES
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        let ended = self.runtime.block_on(async { timeout(Duration::from_secs(60), future).await });
        ended.expect("a call does not end");
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.runtime.block_on(async { timeout(QUIET, future).await }).is_ok()
    }

    fn close(&self) {
        self.bus.close();
    }

    fn restart(&mut self) {
        self.redis.kill();
        self.redis.start_again();
        self.bus = open(&self.redis, &self.runtime);
    }
}

mod on_a_server_that_forgets {
    fn one() -> super::One {
        super::keeping(super::Keeps::Nothing)
    }

    forebay_contract::bus!(one);
}

mod on_a_server_that_keeps {
    fn one() -> super::One {
        super::keeping(super::Keeps::Everything)
    }

    forebay_contract::bus!(one);
}
