//! A cluster of three masters, without replicas.

use std::time::Duration;

use super::{Keeps, Redis};
use crate::servers::{Pauses, Restarts, within};

/// Masters of a cluster.
pub const MASTERS: usize = 3;
/// The last slot of each, as the servers' own tool divides them.
pub const LAST_SLOTS: [usize; MASTERS] = [5_460, 10_922, 16_383];
/// How long they may take to agree.
const READY_MAX: Duration = Duration::from_secs(30);

/// Running masters that know each other.
pub struct Cluster {
    /// In the order of their slots.
    pub masters: Vec<Redis>,
}

impl Cluster {
    /// Starts one whose masters write down every change before they answer. A master that is away costs its own slots only.
    pub fn start() -> Self {
        let more = [
            "--cluster-enabled",
            "yes",
            "--cluster-require-full-coverage",
            "no",
            "--cluster-node-timeout",
            "2000",
        ];
        let masters: Vec<Redis> = (0..MASTERS).map(|_| Redis::start(Keeps::Everything, &more)).collect();
        let addresses: Vec<String> = masters.iter().map(|master| master.address.to_string()).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.push("--cluster-yes");
        masters[0].cli(&create);
        let cluster = Self { masters };
        cluster.await_ok();
        cluster
    }

    /// Waits until all agree on who serves what.
    pub fn await_ok(&self) {
        within(READY_MAX, "all masters agree", || {
            self.masters.iter().all(|master| {
                let info = master.cli(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
            })
        });
    }

    /// Where they listen, with commas between.
    pub fn addresses(&self) -> String {
        self.masters.iter().map(|master| master.address.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Has all of them run, and empty.
    pub fn restore(&self) {
        for master in &self.masters {
            if master.runs() {
                master.resume();
            } else {
                master.start_again();
            }
            master.cli(&["FLUSHALL"]);
        }
        self.await_ok();
    }
}
