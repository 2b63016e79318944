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
pub(crate) enum Keeps {
    /// Nothing: a restart empties it.
    Nothing,
    /// Every change before it answers.
    Everything,
}

/// Waits for the end of its input, which comes with the end of the test's process however that ends, and kills the server.
const WARDEN: &str =
    "redis-server \"$@\" </dev/null & server=$!; cat >/dev/null; kill -9 $server 2>/dev/null";

struct Running {
    warden: Child,
    server: Pid,
}

/// A running redis-server. It is killed when dropped.
pub(crate) struct Redis {
    running: Option<Running>,
    folder: TempDir,
    arguments: Vec<String>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Redis {
    pub(crate) fn start(keeps: Keeps, more: &[&str]) -> Self {
        let mut arguments = vec!["--save", ""];
        if matches!(keeps, Keeps::Everything) {
            arguments.extend(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        arguments.extend(more);
        Self::start_with("", &arguments)
    }

    /// A sentinel with this configuration, which it changes.
    pub(crate) fn start_sentinel(config: &str) -> Self {
        Self::start_with(config, &["--sentinel"])
    }

    fn start_with(config: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let (port, file) = (free_port(), folder.path().join("redis.conf"));
        fs::write(&file, config).expect("its configuration");
        let (port_text, folder_text) = (port.to_string(), folder.path().to_string_lossy().into_owned());
        let mut arguments = vec![file.to_string_lossy().into_owned()];
        let common = ["--port", &port_text, "--bind", "127.0.0.1", "--dir", &folder_text];
        arguments.extend(common.iter().chain(more).map(|&argument| argument.to_owned()));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut redis = Self { running: None, folder, arguments, address };
        redis.start_again();
        redis
    }

    /// Starts it where it was, with the files that it left, and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let warden = Command::new("sh")
            .args(["-c", WARDEN, "warden"])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let what = "redis-server answers; it is needed for this test: apt-get install redis-server";
        let mut server = None;
        within(START_MAX, what, || {
            let told = self.cli(&["INFO", "server"]);
            let id = told.lines().find_map(|line| line.trim_end().strip_prefix("process_id:"));
            server = id.and_then(|id| Pid::from_raw(id.parse().ok()?));
            server.is_some() && self.cli(&["PING"]) == "PONG"
        });
        self.running = server.map(|server| Running { warden, server });
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(Running { mut warden, server }) = self.running.take() {
            // It may have ended by itself: then there is nothing to kill.
            let _ = kill_process(server, Signal::KILL);
            drop(warden.stdin.take());
            let _ = warden.wait();
            within(START_MAX, "a killed server is gone", || TcpStream::connect(self.address).is_err());
        }
    }

    /// Lets it stand still: its connections stay open and nothing is answered.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill_process(running.server, signal).expect("it is ours");
    }

    /// What its own tool prints.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
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
pub(crate) fn within(most: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
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
