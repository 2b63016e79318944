//! Servers as child processes, and how much processor time they have used.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(10);

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// A TCP port that was free a moment ago.
    pub fn free() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self::Tcp(listener.local_addr().expect("its address"))
    }

    fn accepts(&self) -> bool {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A running server. It is killed when dropped.
pub struct Server {
    child: Child,
    pub address: Address,
}

impl Server {
    /// Starts a program that will listen at `address`.
    pub fn start(command: &mut Command, address: Address) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let server = Self { child, address };
        let begun = Instant::now();
        while !server.address.accepts() {
            assert!(begun.elapsed() < START_MAX, "{command:?} does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Nanoseconds that its threads have run, in user space and in the kernel for it.
    pub fn processor_ns(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it is running");
        tasks.map(|task| run_ns(&task.expect("a thread").path())).sum()
    }
}

/// The first number in `schedstat`: time on a processor, to the nanosecond where `stat` has only ticks.
fn run_ns(task: &Path) -> u64 {
    let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    schedstat.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
