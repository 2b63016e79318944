//! The daemon before other systems, named by URL: a near cache of a shared store, and its queues on a broker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod brokers;
mod desk;
mod faults;
mod journal;
mod memcached;
mod program;
mod redis;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use forebay_acceptance::daemon::Daemon;
use forebay_acceptance::programs::{python, session};

/// How long it may take until nothing confirmed is left, holds of a killed daemon included.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long a daemon may take to see that something is away, or back.
const NOTICE_MAX: Duration = Duration::from_secs(40);
const WAIT: Duration = Duration::from_millis(200);
const HOLD: Duration = Duration::from_secs(3);

fn near_caches(store: &str) {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let here = Daemon::start_with(one.path(), &["--store", store]);
    let there = Daemon::start_with(other.path(), &["--store", store]);
    session(
        python("memcached/pymemcache_near.py")
            .args([here.memcached.to_string(), there.memcached.to_string()]),
    );
    assert!(!here.panicked() && !there.panicked());
    assert!(here.stop() && there.stop(), "the daemons stop cleanly");
}

fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut response = agent.get(format!("http://{http}{path}")).call().expect("the daemon answers");
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// Sets a key and returns the line that is answered.
fn set(connection: &mut BufReader<TcpStream>) -> String {
    set_key(connection, "key")
}

fn set_key(connection: &mut BufReader<TcpStream>, key: &str) -> String {
    connection.get_ref().set_read_timeout(Some(DRAIN_MAX)).unwrap();
    connection.get_mut().write_all(format!("set {key} 0 0 1\r\nx\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    line
}
