//! The suite of the ports `Broker` and `BrokerAdmin` on one Redis that writes everything to its disk, also where a sentinel names
//! it.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_contract::broker::pace::Pace;
use forebay_contract::servers::Restarts;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
use forebay_redis::broker::RedisBroker;

use crate::ground::Ground;
use forebay_contract::servers::redis::sentinel::watch;
use forebay_contract::servers::redis::{Keeps, Redis};

struct One {
    redis: Redis,
    sentinel: Option<Redis>,
    ground: Ground,
    url: String,
    broker: Arc<RedisBroker>,
}

fn one() -> One {
    let redis = Redis::start(Keeps::Everything, &[]);
    let url = format!("redis://{}?durable=always", redis.address);
    one_at(redis, None, url)
}

fn one_at(redis: Redis, sentinel: Option<Redis>, url: String) -> One {
    let ground = Ground::new();
    let broker = ground.broker(&url);
    One { redis, sentinel, ground, url, broker }
}

impl Rig for One {
    fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
        Some(self.broker.clone())
    }

    fn now(&self) -> Instant {
        self.ground.clock.now()
    }

    fn pace(&self) -> Pace {
        Pace::SERVER
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.ground.run_until_quiet(self.pace().quiet, &self.broker, future)
    }

    fn close(&self) {
        self.broker.close();
    }

    fn reopen(&mut self) {
        self.broker = self.ground.broker(&self.url);
    }

    fn crash(&mut self) {
        // A sentinel takes a second to see that the master is back, which is longer than the cases wait: there it only is another
        // process.
        if self.sentinel.is_none() {
            self.redis.kill();
            self.redis.start_again();
        }
        // Another process finds what the server has kept.
        self.reopen();
    }
}

forebay_contract::broker!(one);

mod on_a_master_that_a_sentinel_names {
    fn one() -> super::One {
        let redis = super::Redis::start(super::Keeps::Everything, &[]);
        let sentinel = super::watch(redis.address.port());
        let url = format!("redis+sentinel://{}/main?durable=always", sentinel.address);
        super::one_at(redis, Some(sentinel), url)
    }

    forebay_contract::broker!(one);
}
