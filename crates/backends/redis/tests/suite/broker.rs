//! The suite of the ports `Broker` and `BrokerAdmin` on one Redis that writes everything to its disk.

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
use forebay_contract::servers::redis::{Keeps, Redis};

struct One {
    redis: Redis,
    ground: Ground,
    broker: Arc<RedisBroker>,
}

fn one() -> One {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let broker = ground.broker(&url(&redis));
    One { redis, ground, broker }
}

fn url(redis: &Redis) -> String {
    format!("redis://{}?durable=always", redis.address)
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
        self.broker = self.ground.broker(&url(&self.redis));
    }

    fn crash(&mut self) {
        self.redis.kill();
        self.redis.start_again();
        // Another process finds what the server has kept.
        self.reopen();
    }
}

forebay_contract::broker!(one);
