//! The suite of the port `Bus` on one Redis.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::bus::Rig;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;
use forebay_redis::bus::{Kept, RedisBus};

use crate::ground::Ground;
use crate::servers::{Keeps, Redis};

/// After it nothing more comes by itself.
const QUIET: Duration = Duration::from_millis(60);
const NOTICES: usize = 40;

struct One {
    redis: Redis,
    ground: Ground,
    bus: Arc<RedisBus>,
}

fn keeping(keeps: Keeps) -> One {
    let (redis, ground) = (Redis::start(keeps, &[]), Ground::new());
    let bus = open(&redis, &ground);
    One { redis, ground, bus }
}

fn open(redis: &Redis, ground: &Ground) -> Arc<RedisBus> {
    ground.bus(&format!("redis://{}", redis.address), Kept { notices: NOTICES, ..Kept::default() })
}

impl Rig for One {
    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn kept(&self) -> usize {
        NOTICES
    }

    fn run(&self, future: BoxFuture<'_, ()>) {
        self.ground.run(future);
    }

    fn poll(&self, future: &mut BoxFuture<'_, ()>) -> bool {
        self.ground.run_for(QUIET, future)
    }

    fn close(&self) {
        self.bus.close();
    }

    fn restart(&mut self) {
        self.redis.kill();
        self.redis.start_again();
        self.bus = open(&self.redis, &self.ground);
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
