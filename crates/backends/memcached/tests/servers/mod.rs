//! Real memcacheds of a test's own, which it stops, starts again and lets stand still.
//!
//! They are the memcached on the path. Debian's numbers versions itself; with one of 1.6.27 or later before it on the path the
//! same tests go the other way, where the numbers are ours.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(10);
/// Where ports are looked for: below those that systems give to outgoing connections.
const PORTS: Range<u16> = 12_000..32_000;

/// A memcached on a port that stays its own while it is stopped. It is killed when dropped.
pub(crate) struct Memcached {
    pub(crate) address: SocketAddr,
    child: Option<Child>,
}

impl Memcached {
    pub(crate) fn start() -> Self {
        let mut memcached =
            Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), child: None };
        memcached.start_again();
        memcached
    }

    /// Starts it on its port and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let port = self.address.port().to_string();
        let child = Command::new("memcached")
            .args(["-l", "127.0.0.1", "-p", &port, "-U", "0", "-t", "2", "-m", "64", "-I", "4m"])
            // Where the tests run as root it refuses to do so too unless that is said.
            .args(["-u", "root"])
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("memcached is needed for this test: apt-get install memcached"));
        let begun = Instant::now();
        while self.try_say("version").is_none() {
            assert!(begun.elapsed() < START_MAX, "memcached does not answer");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended before: then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Returns when all of it stands still.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let child = self.child.as_ref().expect("it runs");
        let stopped = waitpid(Some(Pid::from_child(child)), WaitOptions::UNTRACED);
        assert!(
            stopped.expect("it is our child").is_some_and(|(_, status)| status.stopped()),
            "it has ended"
        );
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Has it do something that is answered in one line, over a connection apart.
    pub(crate) fn say(&self, line: &str) -> String {
        self.try_say(line).expect("memcached answers")
    }

    fn try_say(&self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(START_MAX)).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while !answer.ends_with(b"\n") {
            stream.read_exact(&mut byte).ok()?;
            answer.extend_from_slice(&byte);
        }
        String::from_utf8(answer).ok()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it is our child");
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process begins elsewhere.
    let first = u16::try_from(std::process::id().wrapping_mul(101) % PORTS.len() as u32)
        .expect("fewer than the ports are");
    std::iter::repeat_with(|| PORTS.start + (first + NEXT.fetch_add(1, Relaxed)) % (PORTS.end - PORTS.start))
        .take(PORTS.len())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}
