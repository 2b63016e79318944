//! The suite of the port `Bus` on one Redis.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::bus::Rig;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;
use forebay_redis::bus::{Kept, RedisBus};
use tokio::time::sleep;

use crate::ground::Ground;
use forebay_contract::servers::redis::{Keeps, Redis};

/// How long it takes to hand on what has come.
const QUIET: Duration = Duration::from_millis(5);
/// The same where the bus cannot be asked any more, three times over.
const QUIET_WHEN_CLOSED: Duration = Duration::from_millis(200);
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
        let quiet = async {
            // Answers come in the order of what was asked: behind these nothing of before is on its way.
            for _ in 0..3 {
                if self.bus.head().await.is_err() {
                    sleep(QUIET_WHEN_CLOSED).await;
                }
            }
            sleep(QUIET).await;
        };
        self.ground.run(async {
            tokio::select! {
                biased;
                () = future => true,
                () = quiet => false,
            }
        })
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
