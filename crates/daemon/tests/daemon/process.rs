//! The program under test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any step should take; a step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// `forebay` with nothing of the tester's own settings.
pub(crate) fn forebay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FOREBAY_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// `forebay serve` on free ports.
pub(crate) fn serve(data: &Path) -> Command {
    let mut command = forebay();
    command.arg("serve").arg("--data").arg(data);
    command.args(["--memcached", "127.0.0.1:0", "--http", "127.0.0.1:0", "--amqp", "127.0.0.1:0"]);
    command.args(["--log", "error"]);
    command
}

/// What a command printed.
pub(crate) fn printed(output: &Output) -> (String, String) {
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// A daemon that is ready. It is killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    /// The lines it printed before `ready`.
    pub(crate) lines: Vec<String>,
    addresses: BTreeMap<String, String>,
}

impl Daemon {
    pub(crate) fn start(data: &Path) -> Self {
        Self::run(&mut serve(data))
    }

    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended before it was ready: {lines:?}");
            if line == "ready\n" {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let pairs = lines.iter().filter_map(|line| line.split_once(' '));
        let addresses = pairs.map(|(front, address)| (front.to_owned(), address.to_owned())).collect();
        Self { child, output, lines, addresses }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.addresses["http"].parse().unwrap()
    }

    pub(crate) fn amqp(&self) -> SocketAddr {
        self.addresses["amqp"].parse().unwrap()
    }

    pub(crate) fn memcached(&self) -> SocketAddr {
        self.addresses["memcached"].parse().unwrap()
    }

    /// One HTTP request on a connection of its own; the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str, json: &str) -> (u16, String) {
        answer(self.send(method, path, json))
    }

    /// Sends one HTTP request and returns the connection.
    pub(crate) fn send(&self, method: &str, path: &str, json: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.http()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        let about = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", json.len());
        stream.write_all(format!("{head}{about}{json}").as_bytes()).unwrap();
        stream
    }

    /// A `forebay` command that speaks to this daemon.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(arguments, b"")
    }

    /// The same with something on its standard input.
    pub(crate) fn command_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = forebay();
        command.args(arguments).env("FOREBAY_URL", format!("http://{}", self.http()));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The output of a command that must succeed.
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let (stdout, stderr) = printed(&output);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        stdout
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; also returns what it printed after `ready`.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }

    /// Asks it to stop and waits until it has, cleanly.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.end().0.code(), Some(0));
    }

    /// Ends it as a power cut would end the process.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().0.code(), None);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended before: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one HTTP answer to its end.
pub(crate) fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
