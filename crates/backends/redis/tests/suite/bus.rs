//! The suite of the port `Bus` on one Redis, on one that a sentinel names, and on a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::bus::Rig;
use forebay_contract::outage::bus::Buses;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::Restarts;
use forebay_contract::servers::redis::sentinel::watch;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::Wire;
use forebay_core::limits::redis::LOOK_PAUSE;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::Bus;
use forebay_redis::bus::{Kept, RedisBus};
use tokio::time::sleep;

use crate::cluster::Lent;
use crate::faults::{DEAF_MAX, LATE, TIMEOUT};
use crate::ground::Ground;

/// How long it takes to hand on what has come.
const QUIET: Duration = Duration::from_millis(5);
/// The same where the bus cannot be asked any more, three times over.
const QUIET_WHEN_CLOSED: Duration = Duration::from_millis(200);
const NOTICES: usize = 40;

/// What a bus is on.
enum Servers {
    One(Redis),
    Watched { master: Redis, _sentinel: Redis },
    Cluster(Lent),
}

struct One {
    servers: Servers,
    url: String,
    ground: Ground,
    bus: Arc<RedisBus>,
}

fn on(servers: Servers, url: String) -> One {
    let ground = Ground::new();
    let bus = open(&url, &ground);
    One { servers, url, ground, bus }
}

fn open(url: &str, ground: &Ground) -> Arc<RedisBus> {
    ground.bus(url, Kept { notices: NOTICES, ..Kept::default() })
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
        match &self.servers {
            Servers::One(redis) | Servers::Watched { master: redis, .. } => {
                redis.kill();
                redis.start_again();
            }
            Servers::Cluster(cluster) => cluster.restart_all(),
        }
        self.bus = open(&self.url, &self.ground);
    }
}

mod on_a_master_that_a_sentinel_names_and_that_forgets {
    fn one() -> super::One {
        let master = super::Redis::start(super::Keeps::Nothing, &[]);
        let sentinel = super::watch(master.address.port());
        let url = format!("redis+sentinel://{}/main", sentinel.address);
        super::on(super::Servers::Watched { master, _sentinel: sentinel }, url)
    }

    forebay_contract::bus!(one);
}

mod on_a_cluster {
    fn three() -> super::One {
        let cluster = super::Lent::lend();
        let url = format!("redis-cluster://{}", cluster.addresses());
        super::on(super::Servers::Cluster(cluster), url)
    }

    forebay_contract::bus!(three);
}

mod on_a_server_that_keeps {
    fn one() -> super::One {
        let redis = super::Redis::start(super::Keeps::Everything, &[]);
        let url = format!("redis://{}", redis.address);
        super::on(super::Servers::One(redis), url)
    }

    forebay_contract::bus!(one);
}

/// What is stated of a bus's calls: none waits for a server that is away.
const BOUNDS: Bounds =
    Bounds { wait: TIMEOUT, slack: LATE, consumers: 1, well: 20, pace: Duration::from_millis(2) };

/// Loads two buses over a wire, does something to it or to the server, and looks whether all is well afterwards.
fn suffer(fault: &Fault<Redis>, keep_all: bool) {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let url = format!("redis://{}?timeout_ms={}", wire.address, TIMEOUT.as_millis());
    let bus = || ground.bus(&url, Kept::default()) as Arc<dyn Bus>;
    let buses = Buses { all: vec![bus(), bus()], keep_all, deaf_max: DEAF_MAX };
    let mut load = Outage::begin_on_buses(ground.handle(), &buses, BOUNDS);
    load.suffers(fault, "Redis' bus", &redis, &wire);
}

fn survives(fault: &Fault<Redis>) {
    suffer(fault, true);
}

/// A server that was started anew may have lost something, for all that can be known of it: everything from before is told as
/// a gap.
fn survives_with_a_gap(fault: &Fault<Redis>) {
    suffer(fault, false);
}

forebay_contract::outage! { survives_with_a_gap:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
}

forebay_contract::outage! { survives:
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

#[test]
fn what_one_process_publishes_wakes_a_listener_of_the_other() {
    let (redis, [ground, other_ground]) =
        (Redis::start(Keeps::Nothing, &[]), [(); 2].map(|()| Ground::new()));
    let url = format!("redis://{}", redis.address);
    let (bus, other) = (open(&url, &ground), open(&url, &other_ground));
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let mut listener = other_ground.run(other.listen(None)).unwrap();
        let heard = other_ground.handle().spawn(async move { listener.next().await.map(|_| ()) });
        // It looks once when it begins, and waits then.
        std::thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        ground.run(bus.publish(Payload::from("notice"))).unwrap();
        other_ground.run(heard).unwrap().unwrap();
        quickest = quickest.min(began.elapsed());
    }
    // Without the bell each takes most of the second after which it looks anyway.
    assert!(quickest < LOOK_PAUSE / 4, "the bell rings: {quickest:?}");
}
