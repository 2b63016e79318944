//! A master and a replica, each behind a wire, and a sentinel that has the replica take over when the master cannot be reached.

use std::time::Duration;

use super::{Keeps, Redis};
use crate::servers::wire::Wire;
use crate::servers::within;

/// How long servers may take to find each other, and to take over.
pub const FAIL_OVER_MAX: Duration = Duration::from_secs(60);
/// What sentinels call the master.
pub const NAME: &str = "main";

/// A sentinel that watches over the master at this port and calls it by [`NAME`].
pub fn watch(port: u16) -> Redis {
    let config = format!(
        "sentinel monitor {NAME} 127.0.0.1 {port} 1\n\
         sentinel down-after-milliseconds {NAME} 1500\n\
         sentinel failover-timeout {NAME} 3000\n"
    );
    Redis::start_with(&config, &["--sentinel"])
}

/// One of the two servers.
pub struct Node {
    /// The server itself.
    pub redis: Redis,
    /// The only way that others know to it.
    pub wire: Wire,
}

/// All three. Which of the two is the master changes.
pub struct Watched {
    /// The first one began as the master.
    pub nodes: [Node; 2],
    /// Who watches over them.
    pub sentinel: Redis,
}

impl Node {
    /// The server tells others to use the wire.
    fn start() -> Self {
        let redis = Redis::start(Keeps::Everything, &["--repl-diskless-sync-delay", "0"]);
        let wire = Wire::to(redis.address);
        let announced = redis.cli(&["CONFIG", "SET", "replica-announce-port", &port(&wire)]);
        assert_eq!(announced, "OK");
        // It is to say so when it is started again, too.
        assert_eq!(redis.cli(&["CONFIG", "REWRITE"]), "OK");
        Self { redis, wire }
    }

    fn is_master(&self) -> bool {
        self.redis.cli(&["INFO", "replication"]).contains("role:master")
    }

    fn has_caught_up(&self) -> bool {
        self.redis.cli(&["INFO", "replication"]).contains("master_link_status:up")
    }
}

fn port(wire: &Wire) -> String {
    wire.address.port().to_string()
}

impl Watched {
    /// Starts all of them, and waits until they know each other.
    pub fn start() -> Self {
        let (master, replica) = (Node::start(), Node::start());
        assert_eq!(replica.redis.cli(&["REPLICAOF", "127.0.0.1", &port(&master.wire)]), "OK");
        within(FAIL_OVER_MAX, "the replica has caught up", || replica.has_caught_up());
        let sentinel = watch(master.wire.address.port());
        let watched = Self { nodes: [master, replica], sentinel };
        watched.await_known(1);
        watched
    }

    fn await_known(&self, replica: usize) {
        within(FAIL_OVER_MAX, "the sentinel knows the replica", || {
            self.sentinel.cli(&["SENTINEL", "REPLICAS", NAME]).contains(&port(&self.nodes[replica].wire))
        });
    }

    /// Which one the sentinel calls the master.
    pub fn master(&self) -> usize {
        let named = self.sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        usize::from(named.contains(&port(&self.nodes[1].wire)))
    }

    /// Waits until this one has been made the master, and all who ask are told so.
    pub fn await_promoted(&self, node: usize) {
        within(FAIL_OVER_MAX, "the replica is promoted", || {
            self.master() == node && self.nodes[node].is_master()
        });
    }

    /// Waits until this one, which was the master, has become a replica that has all.
    pub fn await_demoted(&self, node: usize) {
        within(FAIL_OVER_MAX, "the former master is a replica", || self.nodes[node].has_caught_up());
        self.await_known(node);
    }

    /// What clients connect to, with these options.
    pub fn url(&self, options: &str) -> String {
        format!("redis+sentinel://{}/{NAME}?{options}", self.sentinel.address)
    }
}
