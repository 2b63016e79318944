//! A real daemon on free ports and a data directory of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use forebay_contract::servers::port;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{await_end, kill};
use crate::programs;

/// How long it may take until it is ready: there may be a large log to read.
const START_MAX: Duration = Duration::from_secs(100);
/// How long it may take to stop.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running `forebay serve`. It is killed when dropped.
pub struct Daemon {
    child: Child,
    data: PathBuf,
    /// What it was started with beside its data and addresses.
    arguments: Vec<String>,
    /// Where memcached clients connect.
    pub memcached: SocketAddr,
    /// Where HTTP clients connect.
    pub http: SocketAddr,
    /// Where AMQP clients connect.
    pub amqp: SocketAddr,
    panicked: Arc<AtomicBool>,
}

impl Daemon {
    /// Starts on free ports; returns once the daemon said that it is ready.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with more arguments for `serve`.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(data, [free(), free(), free()], arguments)
    }

    fn start_at(data: &Path, mut addresses: [SocketAddr; 3], arguments: &[&str]) -> Self {
        let fronts = ["memcached", "http", "amqp"];
        let mut child = Command::new(programs::forebay())
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(
                fronts
                    .iter()
                    .zip(addresses)
                    .flat_map(|(front, address)| [format!("--{front}"), address.to_string()]),
            )
            .args(["--log", "warn"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let panicked = Arc::new(AtomicBool::new(false));
        listen(child.stderr.take().expect("its complaints are piped"), panicked.clone());
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        // It goes on when nobody listens any more, lest the daemon writes to a pipe that is closed or full.
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let begun = Instant::now();
        loop {
            let line =
                lines.recv_timeout(START_MAX.saturating_sub(begun.elapsed())).unwrap_or_else(|error| {
                    kill(&mut child, "the daemon");
                    panic!("the daemon does not say that it is ready: {error}")
                });
            if line == "ready" {
                break;
            }
            let (front, address) = line.split_once(' ').expect("a front and its address");
            if let Some(place) = fronts.iter().position(|known| *known == front) {
                addresses[place] = address.parse().expect("an address");
            }
        }
        let [memcached, http, amqp] = addresses;
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { child, data: data.to_path_buf(), arguments, memcached, http, amqp, panicked }
    }

    /// Whether any part of it has panicked: it may go on, as if only one connection had come to its end.
    pub fn panicked(&self) -> bool {
        self.panicked.load(Relaxed)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        kill(&mut self.child, "the daemon");
    }

    /// Starts a killed daemon again on the same addresses and data, with the same arguments.
    pub fn restart(&mut self) {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        *self = Self::start_at(&self.data, [self.memcached, self.http, self.amqp], &arguments);
    }

    /// Asks it to read its settings again; it does so later.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("the daemon can be signalled");
    }

    /// Asks it to stop and returns whether it ended cleanly.
    pub fn stop(mut self) -> bool {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the daemon can be signalled");
        await_end(&mut self.child, "the daemon that is to stop", STOP_MAX).success()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it is running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux tells VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("in KiB") * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        kill(&mut self.child, "the daemon");
    }
}

/// Passes on what the daemon complains of, and notes a panic.
fn listen(complaints: ChildStderr, panicked: Arc<AtomicBool>) {
    thread::spawn(move || {
        for line in BufReader::new(complaints).lines().map_while(Result::ok) {
            panicked.fetch_or(line.contains("panicked at"), Relaxed);
            eprintln!("{line}");
        }
    });
}

/// Where nobody else can come to listen while the daemon is down: a port that the system gives out could be another's by then.
fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port::free()))
}
