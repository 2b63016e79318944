//! A server that speaks as SQS does: moto's, in a process of its own. It keeps everything in memory: what ends it ends all
//! queues, so an outage is one in which it stands still or cannot be reached.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Where the programs of the tests' Python are, unless the environment says otherwise.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../.tools/venv/bin");
/// What it runs.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/server.py");
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(60);
/// The pause between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(20);
/// Where its port is looked for: below those that systems give to outgoing connections.
const PORTS: Range<u16> = 12_000..32_000;
/// Tells the id of the server, waits for the end of its input, which comes with the end of the test's process however that
/// ends, and kills it.
const WARDEN: &str =
    "\"$@\" </dev/null >/dev/null 2>&1 & server=$!; echo $server; cat >/dev/null; kill -9 $server";

/// A running server. It ends with this value or with this process.
pub(crate) struct Moto {
    warden: Child,
    server: Pid,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Moto {
    /// The one that all tests share which only need some queues of their own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub(crate) fn start() -> Self {
        let tools = std::env::var_os("FOREBAY_TOOLS").map_or_else(|| PathBuf::from(TOOLS), PathBuf::from);
        let python = tools.join("python");
        assert!(python.exists(), "{} is not installed: cargo xtask setup, or make test", python.display());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut warden = Command::new("sh")
            .args(["-c", WARDEN, "warden"])
            .arg(python)
            .args([SCRIPT, "-H", "127.0.0.1", "-p"])
            .arg(address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let told = BufReader::new(warden.stdout.take().expect("its output"));
        let id = told.lines().next().expect("a line").expect("a line");
        let server = id.trim().parse().ok().and_then(Pid::from_raw).expect("the server's id");
        within(START_MAX, "moto answers; it is needed for this test: pip install 'moto[server]'", || {
            assert!(test_kill_process(server).is_ok(), "moto has ended: pip install 'moto[server]'");
            answers(address).is_ok_and(|said| said.contains(" 200 "))
        });
        Self { warden, server, address }
    }

    /// Lets it stand still: its connections stay open and nothing is answered.
    pub(crate) fn pause(&self) {
        kill_process(self.server, Signal::STOP).expect("it runs");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        kill_process(self.server, Signal::CONT).expect("it runs");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let _ = self.warden.wait();
    }
}

/// Asks for its queues: the first question to it takes long, because only then it reads what SQS is like.
fn answers(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_MAX))?;
    stream.write_all(
        b"POST / HTTP/1.0\r\nX-Amz-Target: AmazonSQS.ListQueues\r\nContent-Type: application/x-amz-json-1.0\r\n\
          Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/eu-central-1/sqs/aws4_request\r\n\
          Content-Length: 2\r\n\r\n{}",
    )?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// The URL of queues of one's own on a server.
pub(crate) fn url(address: SocketAddr, options: &str) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let prefix = NEXT.fetch_add(1, Relaxed);
    format!(
        "sqs://key:secret@eu-central-1/123456789012?endpoint=http://{address}&prefix=case{prefix}-&{options}"
    )
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
    let length = PORTS.end - PORTS.start;
    // Another process begins elsewhere.
    let first = u16::try_from(std::process::id() % u32::from(length)).expect("fewer than the ports are");
    let ports = std::iter::repeat_with(|| {
        PORTS.start + first.wrapping_add(NEXT.fetch_add(1, Relaxed).wrapping_mul(7)) % length
    });
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.take(usize::from(length)).find(free).expect("a free port")
}
