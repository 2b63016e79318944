//! A server that speaks as SQS does: moto's, of the tests' Python. It keeps everything in memory: what ends it ends all queues,
//! so an outage is one in which it stands still or cannot be reached.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::process::Process;
use super::{Pauses, port};

/// Where the programs of the tests' Python are, unless the environment says otherwise.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/venv/bin");
/// What it runs.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/servers/moto_with_a_lock.py");
/// How long it may take to start.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is launched until it stays.
const LAUNCHES_MAX: usize = 3;

/// A running server. It is killed when dropped.
pub struct Moto {
    process: Process,
    folder: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Moto {
    /// The one that all tests of a process share which only need some queues of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts one.
    pub fn start() -> Self {
        let moto = (0..LAUNCHES_MAX).find_map(|_| Self::launch());
        moto.expect("moto ends at once; it is needed for this test: cargo xtask setup, or make test")
    }

    fn launch() -> Option<Self> {
        let tools = std::env::var_os("FOREBAY_TOOLS").map_or_else(|| PathBuf::from(TOOLS), PathBuf::from);
        let python = tools.join("python");
        assert!(python.exists(), "{} is not installed: cargo xtask setup, or make test", python.display());
        let folder = tempfile::tempdir().expect("a scratch folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let moto = Self { process: Process::new("moto[server]"), folder, address };
        let mut command = Command::new(python);
        command.args([SCRIPT, "-H", "127.0.0.1", "-p", &address.port().to_string()]);
        moto.process.launch(command.current_dir(moto.folder.path()), moto.folder.path());
        let answers = || answers(address).is_ok_and(|said| said.contains(" 200 "));
        moto.process.answers_within(START_MAX, answers).then_some(moto)
    }
}

impl Pauses for Moto {
    fn pause(&self) {
        self.process.pause();
    }

    fn resume(&self) {
        self.process.resume();
    }
}

/// Asks for its queues: the first question to it takes long, because only then it reads what SQS is like.
fn answers(address: SocketAddr) -> io::Result<String> {
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
