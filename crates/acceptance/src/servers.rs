//! Servers of other projects that ours are compared with.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::kill;

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(10);

/// A running memcached of its own. It is killed when dropped.
pub struct Memcached {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Memcached {
    /// Starts the memcached that is on the path, on a free port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let ports = folder.path().join("ports");
        let child = Command::new("memcached")
            // It finds a free port itself and tells it in a file: nobody can take it in between.
            .args(["-l", "127.0.0.1", "-p", "-1", "-U", "0"])
            // Where the tests run as root it refuses to do so too unless that is said.
            .args(["-u", "root"])
            .args(arguments)
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("memcached is needed for this test: apt-get install memcached");
        let begun = Instant::now();
        while !ports.exists() {
            assert!(child.try_wait().expect("memcached is our child").is_none(), "memcached ended at once");
            assert!(begun.elapsed() < START_MAX, "memcached does not say its port");
            thread::sleep(Duration::from_millis(2));
        }
        let ports = fs::read_to_string(ports).expect("its ports");
        let port = ports.lines().find_map(|line| line.strip_prefix("TCP INET: ")?.parse().ok());
        Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("a TCP port"))) }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// A server that stands still: its connections stay open and nothing is answered. It goes on when this is dropped.
pub struct Paused(Pid);

impl Paused {
    /// Lets it stand still.
    pub fn new(server: &Memcached) -> Self {
        let id = Pid::from_raw(i32::try_from(server.id()).expect("a process id")).expect("a process id");
        kill_process(id, Signal::STOP).expect("it is our child");
        Self(id)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        kill(&mut self.child, "memcached");
    }
}
