//! Apache Kafka: one node that is broker and controller, of the jars that `cargo xtask setup` fetches.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::wire::Wire;
use super::{Pauses, Restarts, port};

/// Where its jars are.
const JARS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/kafka");
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(120);
/// How often it is launched until it stays.
const LAUNCHES_MAX: usize = 3;
/// A name of the cluster, as Kafka writes 128 bits.
const CLUSTER: &str = "Zm9yZWJheS1rYWZrYS10Zw";

/// A running Kafka. It is killed when dropped.
pub struct Kafka {
    process: Process,
    folder: TempDir,
    address: SocketAddr,
    /// A wire to it. Whoever connects over it is sent on over it.
    pub wire: Wire,
}

impl Kafka {
    /// Whether it was fetched. A line says so once if not.
    pub fn is_there() -> bool {
        static IS_THERE: OnceLock<bool> = OnceLock::new();
        *IS_THERE.get_or_init(|| {
            let is_there = fs::read_dir(JARS).is_ok_and(|mut files| files.next().is_some());
            if !is_there {
                // Past the test harness, which shows nothing of a test that passes.
                let line =
                    "skipped: Apache Kafka is not in .tools/kafka; `cargo xtask setup` fetches it with Maven\n";
                let _ = io::stderr().write_all(line.as_bytes());
            }
            is_there
        })
    }

    /// Starts one, with all its files in a folder of its own. `None` where it was not fetched.
    pub fn start() -> Option<Self> {
        let start = || (0..LAUNCHES_MAX).find_map(|_| Self::launch_new()).expect("kafka ends at once");
        Self::is_there().then(start)
    }

    fn launch_new() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("forebay-kafka").tempdir().expect("a scratch folder");
        let [address, wired, controller] =
            [(); 3].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, port::free())));
        let wire = Wire::to(wired);
        let kafka = Self { process: Process::new("default-jre-headless"), folder, address, wire };
        let properties = kafka.properties(wired, controller);
        fs::write(kafka.folder.path().join("server.properties"), properties).expect("its settings");
        let formatted = kafka
            .java()
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "server.properties"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("Java is needed for this test: apt-get install default-jre-headless");
        assert!(formatted.success(), "kafka cannot format its storage");
        kafka.launch().then_some(kafka)
    }

    /// Where it listens, as a URL without options.
    pub fn url(&self) -> String {
        format!("kafka://{}", self.address)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn launch(&self) -> bool {
        self.process.launch(self.java().args(["kafka.Kafka", "server.properties"]), self.folder.path());
        // It listens once it serves.
        self.process.answers_within(START_MAX, || TcpStream::connect(self.address).is_ok())
    }

    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(PathBuf::from(JARS).join("*"))
            .current_dir(self.folder.path());
        java
    }

    fn properties(&self, wired: SocketAddr, controller: SocketAddr) -> String {
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@{controller}\n\
             listeners=PLAINTEXT://{address},WIRED://{wired},CONTROLLER://{controller}\n\
             advertised.listeners=PLAINTEXT://{address},WIRED://{wire}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,WIRED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={data}\n\
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
            address = self.address,
            wire = self.wire.address,
            data = self.folder.path().join("data").display()
        )
    }
}

impl Pauses for Kafka {
    fn pause(&self) {
        self.process.pause();
    }

    fn resume(&self) {
        self.process.resume();
    }
}

impl Restarts for Kafka {
    fn stop(&self) {
        self.process.stop();
    }

    fn kill(&self) {
        self.process.kill();
    }

    fn start_again(&self) {
        assert!(self.launch(), "kafka ends at once");
    }
}
