//! Redis servers of the tests' own: each has its folder and port, and ends with the test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(30);
/// The pause between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(10);
/// Where ports are looked for: a cluster's servers speak to each other 10,000 above, which is below the ports that systems
/// give to outgoing connections.
const PORTS: Range<u16> = 12_000..22_000;

/// What a server writes to its disk.
#[derive(Clone, Copy)]
pub enum Keeps {
    /// Nothing: a restart empties it.
    Nothing,
    /// Every change before it answers.
    Everything,
}

/// A running redis-server. It is killed when dropped.
pub struct Redis {
    child: Option<Child>,
    folder: TempDir,
    arguments: Vec<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Redis {
    pub fn start(keeps: Keeps, more: &[&str]) -> Self {
        Self::start_with(keeps, more, "")
    }

    /// A server with this configuration file, which it may change; a sentinel is one, too.
    pub fn start_with(keeps: Keeps, more: &[&str], config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let port = free_port();
        let file = folder.path().join("redis.conf");
        fs::write(&file, config).expect("its configuration");
        let text = |text: &str| text.to_owned();
        let mut arguments = vec![file.to_string_lossy().into_owned()];
        arguments.extend(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""].map(text));
        arguments.extend(["--dir", &folder.path().to_string_lossy()].map(text));
        if matches!(keeps, Keeps::Everything) {
            arguments.extend(["--appendonly", "yes", "--appendfsync", "always"].map(text));
        }
        arguments.extend(more.iter().map(|more| text(more)));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut redis = Self { child: None, folder, arguments, address };
        redis.start_again();
        redis
    }

    /// Starts it where it was, with the files that it left, and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is needed for this test: apt-get install redis-server"));
        within(START_MAX, "redis-server answers", || self.cli(&["PING"]) == "PONG");
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Lets it stand still: its connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it is our child");
    }

    /// What its own tool prints.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.address.port().to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(arguments).output();
        let output = output.expect("redis-cli is needed for this test: apt-get install redis-tools");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is so, and fails after that long.
pub fn within(most: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < most, "not within {most:?}: {what}");
        thread::sleep(LOOK);
    }
}

/// A port that was free a moment ago: the server cannot be asked to find one and say which.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process begins elsewhere.
    let first = u16::try_from(std::process::id() % PORTS.len() as u32).expect("fewer than the ports are");
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    std::iter::repeat_with(|| {
        let turn = NEXT.fetch_add(1, Relaxed).wrapping_mul(7);
        PORTS.start + (first + turn % PORTS.end.abs_diff(PORTS.start)) % PORTS.end.abs_diff(PORTS.start)
    })
    .take(PORTS.len())
    .find(|port| {
        free(*port) && free(*port + 10_000) && TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()
    })
    .expect("a free port")
}
