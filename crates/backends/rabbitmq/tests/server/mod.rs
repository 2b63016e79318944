//! A RabbitMQ of its own, that can be stopped, paused, killed and started again on the same port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// The server itself; the one on the path changes to a user of its own.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(120);
/// Where its ports are looked for: below those that systems give to outgoing connections.
const PORTS: Range<u16> = 12_000..32_000;
/// Ends the server and Erlang's names service, and removes their files, when this process has ended, however it has.
const GUARD: &str =
    "cat >/dev/null; kill -9 -\"$(cat \"$0/group\")\"; kill -9 \"$1\"; sleep 1; rm -rf \"$0\"";

/// A running RabbitMQ. It ends with this value or with this process.
pub(crate) struct RabbitMq {
    server: Mutex<Child>,
    names: Child,
    folder: TempDir,
    ports: [u16; 3],
    guard: Option<(Child, ChildStdin)>,
    address: SocketAddr,
}

impl RabbitMq {
    /// Starts Debian's RabbitMQ on free ports, with all its files in a folder of its own.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("forebay-rabbitmq").tempdir().expect("a scratch folder");
        fs::write(folder.path().join("plugins"), "[].").expect("the list of its plugins");
        let ports = free_ports();
        let names = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &ports[1].to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rabbitmq-server is needed for this test: apt-get install rabbitmq-server");
        let server = launch(&folder, ports);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(folder.path())
            .arg(names.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let stdin = guard.stdin.take().expect("its input");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
        let (server, guard) = (Mutex::new(server), Some((guard, stdin)));
        let server = Self { server, names, folder, ports, guard, address };
        server.await_answer();
        server
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("amqp://{}/%2f", self.address)
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        let _ = self.server.lock().unwrap().wait();
        // What its script has started ends a little after it.
        while TcpStream::connect(self.address).is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it in good order.
    pub(crate) fn stop(&self) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while self.server.lock().unwrap().try_wait().expect("it is our child").is_none() {
            assert!(begun.elapsed() < START_MAX, "rabbitmq does not end");
            thread::sleep(Duration::from_millis(50));
        }
        self.kill();
    }

    /// Starts it again with the files that it left.
    pub(crate) fn start_again(&self) {
        *self.server.lock().unwrap() = launch(&self.folder, self.ports);
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

    fn await_answer(&self) {
        let begun = Instant::now();
        while !answers(self.address) {
            let ended = self.server.lock().unwrap().try_wait().expect("rabbitmq is our child");
            assert!(ended.is_none(), "rabbitmq ended at once: {ended:?}");
            assert!(begun.elapsed() < START_MAX, "rabbitmq does not listen");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if let Some((mut guard, stdin)) = self.guard.take() {
            drop(stdin);
            let _ = guard.wait();
        }
        let _ = self.server.lock().unwrap().wait();
        let _ = self.names.wait();
    }
}

/// Whether it speaks: while it starts it may take connections and end them.
fn answers(address: SocketAddr) -> bool {
    let greet = || -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(START_MAX))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        stream.read_exact(&mut [0; 8])
    };
    greet().is_ok()
}

fn launch(folder: &TempDir, [port, names_port, nodes_port]: [u16; 3]) -> Child {
    let path = |name: &str| folder.path().join(name);
    let server = Command::new(SERVER)
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
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("rabbitmq-server is needed for this test: apt-get install rabbitmq-server");
    fs::write(path("group"), server.id().to_string()).expect("a scratch folder");
    server
}

/// Ports that were free a moment ago: the server cannot be asked to find one and say which.
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
