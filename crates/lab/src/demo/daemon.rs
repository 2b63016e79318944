//! The daemon as a child process: started, killed with SIGKILL, started again on the same data.

use std::ffi::OsStr;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use forebay_core::error::{Error, Kind, Result};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::limits;

/// Where the daemon's clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Memcached protocol.
    pub(super) memcached: SocketAddr,
    /// AMQP 0-9-1.
    pub(super) amqp: SocketAddr,
    /// HTTP.
    pub(super) http: SocketAddr,
}

impl Addresses {
    /// Any free ports of this machine.
    const FREE: Self = Self {
        memcached: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        amqp: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        http: SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
    };
}

/// The child and what is needed to start it again. It is killed when dropped.
pub(super) struct Daemon {
    program: PathBuf,
    data: PathBuf,
    log: PathBuf,
    addresses: watch::Sender<Addresses>,
    running: Option<Running>,
    /// Settings as variables, which other users of the machine do not see: a URL may have a password.
    settings: Vec<(&'static str, String)>,
}

struct Running {
    child: Child,
    /// Kept open after the start, so that the daemon can go on printing.
    output: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    /// A daemon that is not started yet, with its data and its log in `folder`.
    pub(super) fn new(program: &Path, folder: &Path) -> Self {
        Self {
            program: program.to_path_buf(),
            data: folder.join("data"),
            log: folder.join("daemon.log"),
            addresses: watch::Sender::new(Addresses::FREE),
            running: None,
            settings: Vec::new(),
        }
    }

    /// The same before a shared store, on a broker, or both.
    pub(super) fn on(mut self, store: Option<&str>, broker: Option<&str>) -> Self {
        let named = [("FOREBAY_STORE", store), ("FOREBAY_BROKER", broker)];
        self.settings.extend(named.into_iter().filter_map(|(name, url)| Some((name, url?.to_owned()))));
        self
    }

    /// Starts it and returns once it said that it is ready. A daemon started before gets its addresses again, if they
    /// are still free.
    pub(super) async fn start(&mut self) -> Result<()> {
        let last = *self.addresses.borrow();
        let started = match self.start_at(last).await {
            Err(_) if last != Addresses::FREE => self.start_at(Addresses::FREE).await,
            outcome => outcome,
        };
        self.addresses.send_replace(started?);
        Ok(())
    }

    /// Where it listens, now and after each start.
    pub(super) fn addresses(&self) -> watch::Receiver<Addresses> {
        self.addresses.subscribe()
    }

    /// Its process id; 0 if it does not run.
    pub(super) fn id(&self) -> u32 {
        self.running.as_ref().and_then(|running| running.child.id()).unwrap_or(0)
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running
            .child
            .kill()
            .await
            .map_err(|error| Error::new(Kind::Io, "kill daemon", "child").because(error))
    }

    /// Runs `work` while watching the daemon: if it ends by itself, that is the error.
    pub(super) async fn watched<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(running) = &mut self.running else {
            return Err(Error::new(Kind::Unavailable, "watch daemon", "not started"));
        };
        let status = tokio::select! {
            outcome = work => return outcome,
            status = running.child.wait() => status,
        };
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(self.failed(&format!("ended by itself, {how}")))
    }

    async fn start_at(&mut self, addresses: Addresses) -> Result<Addresses> {
        let spawned = self.spawn(addresses);
        let failed =
            |error| Error::new(Kind::Io, "start daemon", self.program.display().to_string()).because(error);
        let running = self.running.insert(spawned.map_err(failed)?);
        let how = match timeout(limits::START_MAX, read_ready(&mut running.output)).await {
            Ok(Some(addresses)) => return Ok(addresses),
            Ok(None) => "ended before it was ready",
            Err(_) => "is not ready in time",
        };
        // The first failure is the one to tell.
        let _ = self.kill().await;
        Err(self.failed(how))
    }

    fn spawn(&self, addresses: Addresses) -> io::Result<Running> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().cloned());
        let mut child = command
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .args(["--memcached", &addresses.memcached.to_string()])
            .args(["--amqp", &addresses.amqp.to_string()])
            .args(["--http", &addresses.http.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&self.log)?)
            // Ctrl-C on a terminal is for the demo, which ends its child itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Running { child, output: BufReader::new(output).lines() })
    }

    fn failed(&self, how: &str) -> Error {
        let words = last_words(&self.log).ok().filter(|words| !words.is_empty());
        let words = words.unwrap_or_else(|| "it said nothing".to_string());
        Error::new(Kind::Unavailable, "run daemon", format!("{}, it {how}", self.program.display()))
            .because(words)
    }
}

/// True for an environment variable that would change the daemon's settings.
fn is_setting(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("FOREBAY_")
}

/// Reads the addresses until `ready`; `None` if the output ends or goes on without it.
async fn read_ready(output: &mut Lines<BufReader<ChildStdout>>) -> Option<Addresses> {
    let mut addresses = Addresses::FREE;
    for _ in 0..limits::START_LINES_MAX {
        let line = output.next_line().await.ok()??;
        match line.split_once(' ') {
            Some(("memcached", address)) => addresses.memcached = address.parse().ok()?,
            Some(("amqp", address)) => addresses.amqp = address.parse().ok()?,
            Some(("http", address)) => addresses.http = address.parse().ok()?,
            _ if line == "ready" => return Some(addresses),
            _ => {}
        }
    }
    None
}

fn last_words(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(limits::LAST_WORDS_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(limits::LAST_WORDS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script in the daemon's place. Another process writes it: if this one did, a program started by another
    /// test at that moment would hold the file open for writing, and it could not be run.
    fn daemon(folder: &Path, script: &str) -> Daemon {
        let program = folder.join("forebay");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod +x "$2""#;
        let mut shell = std::process::Command::new("sh");
        let written = shell.args(["-c", write, "sh", script]).arg(&program).status().unwrap();
        assert!(written.success());
        Daemon::new(&program, folder)
    }

    const READY: &str =
        "echo memcached 127.0.0.1:7; echo amqp 127.0.0.1:9; echo http 127.0.0.1:8; echo ready";

    #[tokio::test]
    async fn a_started_daemon_is_asked_for_its_old_addresses_when_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("echo \"$*\" >> {}/asked; {READY}; exec sleep 60", folder.path().display());
        let mut daemon = daemon(folder.path(), &script);
        daemon.start().await.unwrap();
        let first = daemon.id();
        daemon.kill().await.unwrap();
        assert_eq!(daemon.id(), 0);
        daemon.start().await.unwrap();
        assert!(daemon.id() != 0 && daemon.id() != first);
        let addresses = *daemon.addresses().borrow();
        assert_eq!((addresses.amqp.port(), addresses.http.port()), (9, 8));
        daemon.kill().await.unwrap();
        let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
        let asked: Vec<_> = asked.lines().map(|line| line.split(" --memcached ").nth(1).unwrap()).collect();
        assert_eq!(
            asked,
            [
                "127.0.0.1:0 --amqp 127.0.0.1:0 --http 127.0.0.1:0",
                "127.0.0.1:7 --amqp 127.0.0.1:9 --http 127.0.0.1:8"
            ]
        );
    }

    #[tokio::test]
    async fn ports_that_were_taken_meanwhile_are_given_up_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("case \"$*\" in *:7*) exit 1;; esac; {READY}; exec sleep 60");
        let mut daemon = daemon(folder.path(), &script);
        daemon.start().await.unwrap();
        daemon.kill().await.unwrap();
        daemon.start().await.unwrap();
        daemon.kill().await.unwrap();
    }

    #[tokio::test]
    async fn a_daemon_that_ends_before_it_is_ready_has_the_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = daemon(folder.path(), "echo no room left >&2; exit 3");
        let error = daemon.start().await.unwrap_err().to_string();
        assert!(error.contains("ended before it was ready") && error.ends_with("(no room left)"), "{error}");
    }

    #[tokio::test]
    async fn a_daemon_that_ends_by_itself_ends_the_work_that_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = daemon(folder.path(), &format!("{READY}; exit 3"));
        daemon.start().await.unwrap();
        let error = daemon.watched(std::future::pending::<Result<()>>()).await.unwrap_err().to_string();
        assert!(error.contains("ended by itself"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Daemon::new(Path::new("/no/such/forebay"), folder.path()).start().await.unwrap_err();
        assert!(error.to_string().starts_with("start daemon /no/such/forebay: failed"), "{error}");
    }
}
