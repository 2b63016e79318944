//! The store of two daemons that are near caches of it, or the wire to it, suffers while clients of both read and change keys:
//! nobody reads anything older than a near copy may be, nobody waits longer than was stated, and all goes on afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::raw::Raw;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::near::Near;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::memcached::Memcached;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::Wire;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// No busy machine makes a server that is well miss it.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// A near copy is used for a second; what is stated beside it is for the steps of the clock that a cache looks at.
const OLDER_MAX: Duration = Duration::from_millis(1_100);
/// What is stated of calls under load: a busy machine is given the rest.
const BOUNDS: Bounds = Bounds {
    wait: TIMEOUT,
    slack: Duration::from_secs(2),
    consumers: 3,
    well: 60,
    pace: Duration::from_millis(2),
};
const DEAF_MAX: Duration = Duration::from_secs(60);
const KEYS: usize = 60;

/// Two daemons before a store, as two machines have them.
struct Pair {
    daemons: [Daemon; 2],
    runtime: Runtime,
    _data: [TempDir; 2],
}

impl Pair {
    fn before(store: &str) -> Self {
        let data = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let daemons = data.each_ref().map(|data| Daemon::start_with(data.path(), &["--store", store]));
        Self { daemons, runtime: Runtime::new().unwrap(), _data: data }
    }

    fn load(&self, keys: Vec<String>, elsewhere: Vec<String>) -> Outage {
        let fronts = self.daemons.each_ref().map(|daemon| daemon.memcached);
        let near = Near { fronts, keys, elsewhere, older_max: OLDER_MAX, deaf_max: DEAF_MAX };
        Outage::begin_on_near(self.runtime.handle(), &near, BOUNDS)
    }

    fn stop(self) {
        for daemon in self.daemons {
            assert!(!daemon.panicked());
            assert!(daemon.stop(), "the daemon stops cleanly");
        }
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..KEYS).map(|number| format!("load:{number}"))
}

fn has(node: SocketAddr, key: &str) -> bool {
    Raw::connect(node).ask(format!("mg {key}\r\n").as_bytes()).starts_with(b"HD")
}

mod one_memcached_of_three {
    use super::*;

    fn survives(fault: &Fault<Memcached>) {
        let nodes = [Memcached::start(), Memcached::start(), Memcached::start()];
        let wires = nodes.each_ref().map(|node| Wire::to(node.address));
        let hosts = wires.each_ref().map(|wire| wire.address.to_string());
        let pair =
            Pair::before(&format!("memcached://{}?timeout={}ms", hosts.join(","), TIMEOUT.as_millis()));
        let mut front = Raw::connect(pair.daemons[0].memcached);
        for name in names() {
            assert_eq!(front.ask(format!("ms {name} 1\r\n0\r\n").as_bytes()), b"HD\r\n");
        }
        let (keys, elsewhere) = names().partition(|name| has(nodes[1].address, name));
        let mut load = pair.load(keys, elsewhere);
        load.suffers(fault, "Near caches of memcached, one node of three", &nodes[1], &wires[1]);
        pair.stop();
    }

    forebay_contract::outage! { survives:
        a_restart_loses_nothing_and_leaves_nobody_deaf
        a_kill_loses_nothing_and_leaves_nobody_deaf
        a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
        a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
        answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
        a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
    }
}

mod redis {
    use super::*;

    fn survives(fault: &Fault<Redis>) {
        let redis = Redis::start(Keeps::Everything, &[]);
        let wire = Wire::to(redis.address);
        let pair = Pair::before(&format!("redis://{}?timeout_ms={}", wire.address, TIMEOUT.as_millis()));
        let mut load = pair.load(names().collect(), Vec::new());
        load.suffers(fault, "Near caches of Redis", &redis, &wire);
        pair.stop();
    }

    forebay_contract::outage! { survives:
        a_restart_loses_nothing_and_leaves_nobody_deaf
        a_kill_loses_nothing_and_leaves_nobody_deaf
        a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
        a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
        answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
        a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
    }
}
