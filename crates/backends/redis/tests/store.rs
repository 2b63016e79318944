//! The suite of the port `RemoteStore` on one Redis.

mod servers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::remote::Rig;
use forebay_core::health::Health;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_redis::settings::Settings;
use forebay_redis::store::{self, RedisStore};
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use servers::{Keeps, Redis};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const TIME_OUT: Duration = Duration::from_millis(500);
const READY_MAX: Duration = Duration::from_secs(20);

struct One {
    redis: Redis,
    runtime: Runtime,
    store: Arc<RedisStore>,
    other: Arc<RedisStore>,
    began: Instant,
}

fn one() -> One {
    let redis = Redis::start(Keeps::Nothing, &[]);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tasks = Tasks::new(runtime.handle().clone(), Arc::new(Health::default()));
    let url = format!("redis://{}?timeout_ms={}", redis.address, TIME_OUT.as_millis());
    let open = || {
        let settings = Settings::parse(&url).unwrap();
        let (store, work) = runtime.block_on(async { store::open(settings, Arc::new(TokioClock::new())) });
        tasks.spawn_all(vec![work]);
        runtime.block_on(store.ready(READY_MAX)).unwrap();
        store
    };
    let (store, other) = (open(), open());
    One { redis, runtime, store, other, began: Instant::now() }
}

impl Rig for One {
    fn store(&self) -> Arc<dyn RemoteStore> {
        self.store.clone()
    }

    fn other(&self) -> Arc<dyn RemoteStore> {
        self.other.clone()
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        let ended = self.runtime.block_on(async { timeout(Duration::from_secs(60), future).await });
        ended.expect("a call does not end");
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
        Duration::from_secs(15)
    }

    fn nodes(&self) -> usize {
        1
    }

    fn node_of(&self, _: &[u8]) -> usize {
        0
    }

    fn stop(&mut self, _: usize) {
        self.redis.kill();
    }

    fn start(&mut self, _: usize) {
        self.redis.start_again();
    }

    fn pause(&mut self, _: usize) {
        self.redis.pause();
    }

    fn resume(&mut self, _: usize) {
        self.redis.resume();
    }

    fn empty(&mut self, _: usize) {
        assert_eq!(self.redis.cli(&["FLUSHALL"]), "OK");
    }

    fn evict(&mut self, key: &[u8]) {
        self.redis.cli(&["DEL", &format!("forebay:e:{}", String::from_utf8_lossy(key))]);
    }

    fn close(&self) {
        self.store.close();
    }
}

forebay_contract::remote!(one);
