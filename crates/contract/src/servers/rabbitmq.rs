//! RabbitMQ: Debian's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use tempfile::TempDir;

use super::process::Process;
use super::{Pauses, Restarts, port, within};

/// The server itself; the one on the path changes to a user of its own.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Its tool, likewise.
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(120);
/// How often it is launched until it stays.
const LAUNCHES_MAX: usize = 3;
/// How long it may take to answer once it has taken a connection, and the killed one to be gone.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// A running RabbitMQ. It is killed when dropped.
pub struct RabbitMq {
    server: Process,
    _names: Process,
    folder: TempDir,
    ports: [u16; 3],
    /// Where it listens.
    pub address: SocketAddr,
}

impl RabbitMq {
    /// Starts one, with all its files in a folder of its own.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("forebay-rabbitmq").tempdir().expect("a scratch folder");
        fs::write(folder.path().join("plugins"), "[].").expect("the list of its plugins");
        let ports = [port::free(), port::free(), port::free()];
        // Erlang's names service: were it left to Erlang, it would outlive the test.
        let names = Process::new("rabbitmq-server");
        let mut epmd = Command::new("epmd");
        names.launch(epmd.args(["-address", "127.0.0.1", "-port", &ports[1].to_string()]), folder.path());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
        let rabbitmq =
            Self { server: Process::new("rabbitmq-server"), _names: names, folder, ports, address };
        rabbitmq.start_again();
        rabbitmq
    }

    /// Where it listens, as a URL without options.
    pub fn url(&self) -> String {
        format!("amqp://{}/%2f", self.address)
    }

    /// Has it write what was declared. It says that a queue is declared before its log of that has left its memory, and the
    /// table in which it finds the replicas of quorum queues and streams: killed within seconds, it may have forgotten durable
    /// queues, or know of them and have none of their messages for ever.
    pub fn sync_log(&self) {
        self.control(&[
            "eval",
            "ok = mnesia:sync_log(), [ok = dets:sync(Table) || Table <- dets:all()], ok.",
        ]);
    }

    /// Has its own tool do something, and says what that prints.
    pub fn control(&self, arguments: &[&str]) -> String {
        let output = self.command(CONTROL).args(arguments).stdin(Stdio::null()).output().expect("its tool");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {said}{complaints}");
        said
    }

    /// A program of RabbitMQ's with all its files in the folder.
    fn command(&self, program: &str) -> Command {
        let path = |name: &str| self.folder.path().join(name);
        let [port, names_port, nodes_port] = self.ports;
        let mut command = Command::new(program);
        command
            .env("HOME", self.folder.path())
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
            .current_dir(self.folder.path());
        command
    }
}

impl Pauses for RabbitMq {
    fn pause(&self) {
        self.server.pause();
    }

    fn resume(&self) {
        self.server.resume();
    }
}

impl Restarts for RabbitMq {
    fn stop(&self) {
        self.server.stop();
        within(ANSWER_MAX, "a stopped server is gone", || TcpStream::connect(self.address).is_err());
    }

    fn kill(&self) {
        self.server.kill();
        // What its script has started ends a little after it.
        within(ANSWER_MAX, "a killed server is gone", || TcpStream::connect(self.address).is_err());
    }

    fn start_again(&self) {
        // The names service may not have noticed yet that the one before was killed: the name is taken.
        let launched = (0..LAUNCHES_MAX).any(|_| {
            self.server.launch(&mut self.command(SERVER), self.folder.path());
            self.server.answers_within(START_MAX, || answers(self.address))
        });
        assert!(launched, "rabbitmq ends at once");
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
