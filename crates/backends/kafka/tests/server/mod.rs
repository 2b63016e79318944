//! A real Apache Kafka of its own, one node that is broker and controller, which can be stopped, paused, killed and started
//! again on the same ports.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// How long it may take to start or to stop.
const START_MAX: Duration = Duration::from_secs(120);
/// Where its ports are looked for: below those that systems give to outgoing connections.
const PORTS: Range<u16> = 12_000..32_000;
/// Ends the server, and removes its files, when this process has ended, however it has.
const GUARD: &str = "cat >/dev/null; kill -9 -\"$(cat \"$0/group\")\"; sleep 1; rm -rf \"$0\"";
/// A name of the cluster, as Kafka writes 128 bits.
const CLUSTER: &str = "Zm9yZWJheS1rYWZrYS10Zw";

/// A running Kafka. It ends with this value or with this process.
pub(crate) struct Kafka {
    server: Mutex<Child>,
    classes: String,
    folder: TempDir,
    guard: Option<(Child, ChildStdin)>,
    address: SocketAddr,
}

impl Kafka {
    /// Starts it on free ports, with all its files in a folder of its own. `None`, and a line that says so, where it was not
    /// fetched: `cargo xtask test` does that.
    pub(crate) fn start() -> Option<Self> {
        let jars = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../.tools/kafka");
        let there = fs::read_dir(&jars).is_ok_and(|mut files| files.next().is_some());
        if !there {
            // Past the test harness, which shows nothing of a test that passes.
            let line =
                "skipped: Apache Kafka is not in .tools/kafka; `cargo xtask test` fetches it with Maven\n";
            let _ = io::stderr().write_all(line.as_bytes());
            return None;
        }
        let classes = format!("{}/*", jars.display());
        let folder = tempfile::Builder::new().prefix("forebay-kafka").tempdir().expect("a scratch folder");
        let ports = free_ports();
        fs::write(folder.path().join("server.properties"), properties(&folder, ports)).expect("its settings");
        let formatted = java(&folder, &classes)
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "server.properties"])
            .status()
            .expect("Java is needed for this test: apt-get install default-jre-headless");
        assert!(formatted.success(), "kafka cannot format its storage");
        let server = launch(&folder, &classes);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let stdin = guard.stdin.take().expect("its input");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
        let server =
            Self { server: Mutex::new(server), classes, folder, guard: Some((guard, stdin)), address };
        server.await_answer();
        Some(server)
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("kafka://{}", self.address)
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        let _ = self.server.lock().unwrap().wait();
    }

    /// Ends it in good order.
    pub(crate) fn stop(&self) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while self.server.lock().unwrap().try_wait().expect("it is our child").is_none() {
            assert!(begun.elapsed() < START_MAX, "kafka does not end");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts it again with the files that it left.
    pub(crate) fn start_again(&self) {
        *self.server.lock().unwrap() = launch(&self.folder, &self.classes);
        self.await_answer();
    }

    /// Stops it where it stands.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // What has ended before cannot be signalled.
        let _ = kill_process_group(Pid::from_child(&self.server.lock().unwrap()), signal);
    }

    /// It listens once it serves.
    fn await_answer(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.server.lock().unwrap().try_wait().expect("kafka is our child");
            assert!(ended.is_none(), "kafka ended at once: {ended:?}");
            assert!(begun.elapsed() < START_MAX, "kafka does not listen");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some((mut guard, stdin)) = self.guard.take() {
            drop(stdin);
            let _ = guard.wait();
        }
        let _ = self.server.lock().unwrap().wait();
    }
}

fn properties(folder: &TempDir, [port, controller]: [u16; 2]) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}/data\n\
         num.network.threads=2\n\
         num.io.threads=4\n\
         background.threads=2\n\
         log.cleaner.threads=1\n\
         log.cleaner.dedupe.buffer.size=2097152\n\
         log.index.size.max.bytes=65536\n\
         offsets.topic.num.partitions=2\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.segment.bytes=1048576\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=500\n\
         group.coordinator.threads=1\n\
         share.coordinator.threads=1\n\
         controlled.shutdown.max.retries=1\n",
        folder.path().display()
    )
}

fn java(folder: &TempDir, classes: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classes])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    java
}

fn launch(folder: &TempDir, classes: &str) -> Child {
    let server = java(folder, classes)
        .args(["kafka.Kafka", "server.properties"])
        .process_group(0)
        .spawn()
        .expect("Java is needed for this test: apt-get install default-jre-headless");
    fs::write(folder.path().join("group"), server.id().to_string()).expect("a scratch folder");
    server
}

/// Ports that were free a moment ago: the server cannot be asked to find one and say which.
fn free_ports() -> [u16; 2] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process begins elsewhere.
    let first = u16::try_from(std::process::id() % PORTS.len() as u32).expect("fewer than the ports are");
    let mut candidates = std::iter::repeat_with(|| {
        PORTS.start + (first + NEXT.fetch_add(1, Relaxed)) % (PORTS.end - PORTS.start)
    })
    .take(PORTS.len())
    .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    [(); 2].map(|()| candidates.next().expect("a free port"))
}
