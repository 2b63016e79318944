//! The suites on a cluster of three masters. Clusters are lent to one case after the other: to make one takes seconds.

mod reshard;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_contract::broker::pace::Pace;
use forebay_contract::outage::Outage;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::time::Instant as Moment;
use forebay_redis::broker::RedisBroker;
use forebay_redis::store::RedisStore;
use parking_lot::Mutex;

use crate::faults::{BOUNDS, queues};
use crate::ground::Ground;
use forebay_contract::servers::redis::Redis;
use forebay_contract::servers::redis::cluster::{Cluster, LAST_SLOTS, MASTERS};
use forebay_contract::servers::{Pauses, Restarts};

const TIME_OUT: Duration = Duration::from_millis(800);

/// Those that nobody has.
static FREE: Mutex<Vec<Cluster>> = Mutex::new(Vec::new());
static PREFIX: AtomicU64 = AtomicU64::new(0);

/// One that somebody may have used before.
fn lend() -> Cluster {
    let free = FREE.lock().pop();
    free.unwrap_or_else(Cluster::start)
}

/// Leaves it to the next one, as it was.
fn give_back(cluster: Cluster) {
    cluster.restore();
    FREE.lock().push(cluster);
}

/// A cluster that is given back when this is dropped.
pub(crate) struct Lent(Option<Cluster>);

impl Lent {
    pub(crate) fn lend() -> Self {
        Self(Some(lend()))
    }

    pub(crate) fn addresses(&self) -> String {
        self.0.iter().map(Cluster::addresses).collect()
    }

    /// Kills all of its servers, and starts them again.
    pub(crate) fn restart_all(&self) {
        if let Some(cluster) = &self.0 {
            cluster.masters.iter().for_each(Restarts::kill);
            cluster.masters.iter().for_each(Restarts::start_again);
            cluster.await_ok();
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(cluster) = self.0.take().filter(|_| !std::thread::panicking()) {
            give_back(cluster);
        }
    }
}

mod store {
    use super::*;

    struct Three {
        cluster: Option<Cluster>,
        ground: Ground,
        store: Arc<RedisStore>,
        other: Arc<RedisStore>,
        began: Instant,
    }

    fn three() -> Three {
        let (cluster, ground) = (lend(), Ground::new());
        let url = format!("redis-cluster://{}?timeout_ms={}", cluster.addresses(), TIME_OUT.as_millis());
        let (store, other) = (ground.store(&url), ground.store(&url));
        Three { cluster: Some(cluster), ground, store, other, began: Instant::now() }
    }

    impl Three {
        fn masters(&mut self) -> &mut [Redis] {
            &mut self.cluster.as_mut().unwrap().masters
        }
    }

    impl Drop for Three {
        fn drop(&mut self) {
            if let Some(cluster) = self.cluster.take().filter(|_| !std::thread::panicking()) {
                give_back(cluster);
            }
        }
    }

    impl forebay_contract::remote::Rig for Three {
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
            Duration::from_secs(30)
        }

        fn nodes(&self) -> usize {
            MASTERS
        }

        fn node_of(&self, key: &[u8]) -> usize {
            let slot = slot(&[b"forebay:e:", key].concat());
            LAST_SLOTS.iter().position(|last| usize::from(slot) <= *last).unwrap()
        }

        fn stop(&mut self, node: usize) {
            self.masters()[node].kill();
        }

        fn start(&mut self, node: usize) {
            self.masters()[node].start_again();
        }

        fn pause(&mut self, node: usize) {
            self.masters()[node].pause();
        }

        fn resume(&mut self, node: usize) {
            self.masters()[node].resume();
        }

        fn empty(&mut self, node: usize) {
            self.masters()[node].cli(&["FLUSHALL"]);
        }

        fn evict(&mut self, key: &[u8]) {
            let node = self.node_of(key);
            self.masters()[node].cli(&["DEL", &format!("forebay:e:{}", String::from_utf8_lossy(key))]);
        }

        fn close(&self) {
            self.store.close();
        }
    }

    /// As the cluster's specification has it, for keys without hash tags.
    fn slot(key: &[u8]) -> u16 {
        let crc = key.iter().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            })
        });
        crc % 16_384
    }

    forebay_contract::remote!(three);
}

#[test]
fn masters_that_are_killed_one_after_the_other_lose_nothing_they_confirmed_and_nobody_goes_deaf() {
    let (cluster, ground) = (lend(), Ground::new());
    let options = "durable=always&timeout_ms=500&patience_ms=2000&prefix=killed";
    let broker = ground.broker(&format!("redis-cluster://{}?{options}", cluster.addresses()));
    let mut load = Outage::begin(ground.handle(), broker.clone(), ground.clock.clone(), BOUNDS, queues());
    for master in &cluster.masters {
        master.kill();
        master.start_again();
        cluster.await_ok();
        load.goes_on("after a kill");
    }
    load.end("Redis Cluster", "SIGKILL of each of three masters, started again");
    broker.close();
    drop(ground);
    give_back(cluster);
}

mod broker {
    use super::*;

    struct Three {
        cluster: Option<Cluster>,
        ground: Ground,
        url: String,
        broker: Arc<RedisBroker>,
    }

    fn three() -> Three {
        let (cluster, ground) = (lend(), Ground::new());
        let prefix = PREFIX.fetch_add(1, SeqCst);
        let url = format!("redis-cluster://{}?durable=always&prefix=case{prefix}", cluster.addresses());
        let broker = ground.broker(&url);
        Three { cluster: Some(cluster), ground, url, broker }
    }

    impl Drop for Three {
        fn drop(&mut self) {
            if let Some(cluster) = self.cluster.take().filter(|_| !std::thread::panicking()) {
                give_back(cluster);
            }
        }
    }

    impl forebay_contract::broker::Rig for Three {
        fn broker(&self) -> Arc<dyn Broker> {
            self.broker.clone()
        }

        fn admin(&self) -> Option<Arc<dyn BrokerAdmin>> {
            Some(self.broker.clone())
        }

        fn now(&self) -> Moment {
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
            // A cluster's master that was restarted takes no writes for two seconds, which is longer than the cases wait: servers
            // are killed in the suite of one server.
            self.reopen();
        }
    }

    forebay_contract::broker!(three);
}
