//! Redis: the redis-server on the path, alone, as a [`cluster`], and watched over by a [`sentinel`].

pub mod cluster;
pub mod sentinel;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use tempfile::TempDir;

use super::process::Process;
use super::{Pauses, Restarts, port, within};

/// How long a server may take to start, the killed one to be gone, and its tool to end.
const START_MAX: Duration = Duration::from_secs(30);
/// A cluster's servers speak to each other at ports that lie so far above their own.
const CLUSTER_ABOVE: u16 = 10_000;
/// How often another port is tried because somebody was quicker.
const LAUNCHES_MAX: usize = 5;

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
    process: Process,
    folder: TempDir,
    arguments: Vec<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Redis {
    /// Starts one; `more` are arguments of its own.
    pub fn start(keeps: Keeps, more: &[&str]) -> Self {
        let mut arguments = vec!["--save", ""];
        if matches!(keeps, Keeps::Everything) {
            arguments.extend(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        arguments.extend(more);
        Self::start_with("", &arguments)
    }

    fn start_with(config: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::write(folder.path().join("redis.conf"), config).expect("its configuration");
        let arguments = more.iter().map(|&argument| argument.to_owned()).collect();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut redis = Self { process: Process::new("redis-server"), folder, arguments, address };
        let launched = (0..LAUNCHES_MAX).any(|_| {
            redis.address.set_port(port::free_with(CLUSTER_ABOVE));
            redis.launch()
        });
        assert!(launched, "redis-server ends at once");
        redis
    }

    fn launch(&self) -> bool {
        let mut command = Command::new("redis-server");
        command
            .arg(self.folder.path().join("redis.conf"))
            .args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1", "--dir"])
            .arg(self.folder.path())
            .args(&self.arguments)
            .current_dir(self.folder.path());
        self.process.launch(&mut command, self.folder.path());
        self.process.answers_within(START_MAX, || self.cli(&["PING"]) == "PONG")
    }

    /// Whether it was started and not killed since.
    pub fn runs(&self) -> bool {
        self.process.runs()
    }

    /// What its own tool prints. The tool is killed where it does not end: it waits for ever for a cluster that cannot be made.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.address.port().to_string();
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut tool =
            command.spawn().expect("redis-cli is needed for this test: apt-get install redis-tools");
        let mut prints = tool.stdout.take().expect("it is piped");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut printed = Vec::new();
            let _ = prints.read_to_end(&mut printed);
            let _ = tell.send(printed);
        });
        let printed = told.recv_timeout(START_MAX);
        if printed.is_err() {
            let _ = tool.kill();
        }
        tool.wait().expect("it is our child");
        let printed = printed.unwrap_or_else(|_| panic!("redis-cli {arguments:?} does not end"));
        String::from_utf8_lossy(&printed).trim_end().to_owned()
    }
}

impl Pauses for Redis {
    fn pause(&self) {
        self.process.pause();
    }

    fn resume(&self) {
        self.process.resume();
    }
}

impl Restarts for Redis {
    fn stop(&self) {
        self.process.stop();
        within(START_MAX, "a stopped server is gone", || TcpStream::connect(self.address).is_err());
    }

    fn kill(&self) {
        self.process.kill();
        within(START_MAX, "a killed server is gone", || TcpStream::connect(self.address).is_err());
    }

    fn start_again(&self) {
        assert!(self.launch(), "redis-server ends at once");
    }
}
