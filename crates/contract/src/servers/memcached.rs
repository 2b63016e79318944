//! Memcached: the one on the path, or the program that the environment variable `FOREBAY_MEMCACHED_PROGRAM` names. Debian's
//! numbers versions itself and one of 1.6.27 or later takes ours: a test that passes on both has gone both ways.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::{Pauses, Restarts, port};

const PROGRAM_VARIABLE: &str = "FOREBAY_MEMCACHED_PROGRAM";
/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(10);
/// How often another port is tried because somebody was quicker.
const LAUNCHES_MAX: usize = 5;

/// A memcached on a port that stays its own while it is stopped. It is killed when dropped.
pub struct Memcached {
    process: Process,
    arguments: Vec<String>,
    folder: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Memcached {
    /// Whether the program was named and is not the one on the path.
    pub fn is_chosen() -> bool {
        std::env::var_os(PROGRAM_VARIABLE).is_some()
    }

    /// Starts one.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let folder = tempfile::tempdir().expect("a scratch folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut memcached = Self { process: Process::new("memcached"), arguments, folder, address };
        let launched = (0..LAUNCHES_MAX).any(|_| {
            memcached.address.set_port(port::free());
            memcached.launch()
        });
        assert!(launched, "memcached ends at once");
        memcached
    }

    /// Starts it again on its port and waits until it answers.
    pub fn start_again(&self) {
        assert!(self.launch(), "memcached ends at once");
    }

    fn launch(&self) -> bool {
        let told = self.folder.path().join("ports");
        // It may have run before.
        let _ = fs::remove_file(&told);
        let mut command = program();
        command.args(["-l", "127.0.0.1", "-p", &self.address.port().to_string(), "-U", "0"]);
        command.args(&self.arguments).env("MEMCACHED_PORT_FILENAME", &told);
        self.process.launch(&mut command, self.folder.path());
        // It tells its ports when it listens: to ask it would be seen in its counts.
        self.process.answers_within(START_MAX, || told.exists())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Returns when all of it stands still.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Has it do something that is answered in one line, over a connection apart.
    pub fn say(&self, line: &str) -> String {
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(START_MAX))?;
            stream.write_all(format!("{line}\r\n").as_bytes())?;
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer)?;
            Ok(answer)
        };
        ask().expect("memcached answers")
    }
}

impl Pauses for Memcached {
    fn pause(&self) {
        Self::pause(self);
    }

    fn resume(&self) {
        Self::resume(self);
    }
}

/// It keeps nothing.
impl Restarts for Memcached {
    fn stop(&self) {
        self.process.stop();
    }

    fn kill(&self) {
        Self::kill(self);
    }

    fn start_again(&self) {
        Self::start_again(self);
    }
}

/// The program, ready to be told where to listen.
pub fn program() -> Command {
    let program = std::env::var_os(PROGRAM_VARIABLE).unwrap_or_else(|| "memcached".into());
    let mut command = Command::new(program);
    // Where the tests run as root it refuses to do so too unless that is said.
    command.args(["-u", "root"]);
    command
}
