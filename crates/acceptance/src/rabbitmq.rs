//! A RabbitMQ of its own, with which the AMQP front is compared.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::client::kill;
use crate::programs::run;

/// The server itself; the one on the path changes to a user of its own.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Its tool, likewise.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(100);
/// How often it is launched until it stays.
const LAUNCHES_MAX: usize = 3;
/// How long it may take to answer once it has taken a connection, and the killed one to be gone.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Where its ports are looked for.
const PORTS: Range<u16> = 12_000..32_000;

/// A running RabbitMQ. It is killed when dropped.
pub struct RabbitMq {
    server: Child,
    names: Child,
    folder: TempDir,
    ports: [u16; 3],
    /// Where it listens.
    pub address: SocketAddr,
}

impl RabbitMq {
    /// Starts Debian's RabbitMQ on free ports, with all its files in a folder of its own.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::write(folder.path().join("plugins"), "[].").expect("the list of its plugins");
        let ports = free_ports();
        let [port, names_port, _] = ports;
        // Erlang's names service: were it left to Erlang, it would outlive the test.
        let names = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &names_port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rabbitmq-server is needed for this test: apt-get install rabbitmq-server");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let server = launch(&folder, ports);
        let mut rabbitmq = Self { server, names, folder, ports, address };
        rabbitmq.await_listening();
        rabbitmq
    }

    /// Ends it with SIGKILL and starts it again with the files it left. It says that a queue is declared before its log of
    /// that has left its memory, so it is told to write that first: else it may have forgotten durable queues.
    pub fn kill_and_restart(&mut self) {
        self.control(&["eval", "ok = mnesia:sync_log()."]);
        self.kill();
        // What the script has started ends a little after it.
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_ok() {
            assert!(begun.elapsed() < ANSWER_MAX, "rabbitmq listens after it was killed");
            thread::sleep(Duration::from_millis(10));
        }
        self.server = launch(&self.folder, self.ports);
        self.await_listening();
    }

    /// Has its own tool do something.
    pub fn control(&self, arguments: &[&str]) {
        run(within(CONTROL, &self.folder, self.ports).args(arguments));
    }

    fn await_listening(&mut self) {
        let begun = Instant::now();
        let mut launches_left = LAUNCHES_MAX - 1;
        while !answers(self.address) {
            if let Some(ended) = self.server.try_wait().expect("rabbitmq is our child") {
                // The names service may not have noticed yet that the one before was killed: the name is taken.
                assert!(launches_left > 0, "rabbitmq ended at once: {ended}");
                launches_left -= 1;
                self.server = launch(&self.folder, self.ports);
            }
            assert!(begun.elapsed() < START_MAX, "rabbitmq does not listen");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill(&mut self) {
        // What has ended before cannot be killed.
        let _ = kill_process_group(Pid::from_child(&self.server), Signal::KILL);
        kill(&mut self.server, "rabbitmq");
    }
}

/// Whether it speaks: while it starts it may take connections and end them.
fn answers(address: SocketAddr) -> bool {
    let greet = || -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        stream.read_exact(&mut [0; 8])
    };
    greet().is_ok()
}

/// A program of RabbitMQ's with all its files in the folder.
fn within(program: &str, folder: &TempDir, [port, names_port, nodes_port]: [u16; 3]) -> Command {
    let path = |name: &str| folder.path().join(name);
    let mut command = Command::new(program);
    command
        .env("HOME", folder.path())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", names_port.to_string())
        .env("RABBITMQ_NODENAME", format!("forebay-{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        .env("RABBITMQ_DIST_PORT", nodes_port.to_string())
        .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_PID_FILE", path("pid"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
        .env("RABBITMQ_CONFIG_FILE", path("none"))
        .current_dir(folder.path())
        .stdin(Stdio::null());
    command
}

fn launch(folder: &TempDir, ports: [u16; 3]) -> Child {
    within(SERVER, folder, ports)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("rabbitmq-server is needed for this test: apt-get install rabbitmq-server")
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.kill();
        kill(&mut self.names, "the names service");
    }
}

/// Ports that were free a moment ago: the server cannot be asked to find one and say which. They lie below those that
/// systems give to outgoing connections: one of these could take the port meanwhile, and to ask at it whether the server
/// listens could even connect to itself.
fn free_ports() -> [u16; 3] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Another process begins elsewhere.
    let first = u16::try_from(std::process::id() % PORTS.len() as u32).expect("fewer than the ports are");
    let mut candidates = std::iter::repeat_with(|| {
        PORTS.start + (first + NEXT.fetch_add(1, Relaxed)) % (PORTS.end - PORTS.start)
    })
    .take(PORTS.len())
    .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    [(); 3].map(|()| candidates.next().expect("a free port"))
}
