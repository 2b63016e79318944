//! The suite of the port `RemoteStore` on one Redis, also where a sentinel names it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::remote::Rig;
use forebay_contract::servers::{Pauses, Restarts};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_redis::store::RedisStore;

use crate::ground::Ground;
use forebay_contract::servers::redis::sentinel::watch;
use forebay_contract::servers::redis::{Keeps, Redis};

const TIME_OUT: Duration = Duration::from_millis(500);

struct One {
    redis: Redis,
    _sentinel: Option<Redis>,
    ground: Ground,
    store: Arc<RedisStore>,
    other: Arc<RedisStore>,
    began: Instant,
}

fn one_at(redis: Redis, sentinel: Option<Redis>, url: &str) -> One {
    let (ground, url) = (Ground::new(), format!("{url}?timeout_ms={}", TIME_OUT.as_millis()));
    let (store, other) = (ground.store(&url), ground.store(&url));
    One { redis, _sentinel: sentinel, ground, store, other, began: Instant::now() }
}

impl Rig for One {
    fn store(&self) -> Arc<dyn RemoteStore> {
        self.store.clone()
    }

    fn other(&self) -> Arc<dyn RemoteStore> {
        self.other.clone()
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
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

mod on_a_master_that_a_sentinel_names_and_that_forgets {
    fn one() -> super::One {
        let redis = super::Redis::start(super::Keeps::Nothing, &[]);
        let sentinel = super::watch(redis.address.port());
        let url = format!("redis+sentinel://{}/main", sentinel.address);
        super::one_at(redis, Some(sentinel), &url)
    }

    forebay_contract::remote!(one);
}

mod on_a_server_that_keeps {
    fn one() -> super::One {
        let redis = super::Redis::start(super::Keeps::Everything, &[]);
        let url = format!("redis://{}", redis.address);
        super::one_at(redis, None, &url)
    }

    forebay_contract::remote!(one);
}
