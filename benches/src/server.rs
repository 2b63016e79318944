//! Servers as child processes, and how much processor time they have used.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

const START_MAX: Duration = Duration::from_secs(60);

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// A TCP port that was free a moment ago.
    pub fn free() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self::Tcp(listener.local_addr().expect("its address"))
    }

    fn accepts(&self) -> bool {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A running server. It is killed when dropped.
pub struct Server {
    child: Child,
    pub address: Address,
    /// With what arguments it was started.
    pub flags: String,
}

impl Server {
    /// Starts a program that will listen at `address`.
    pub fn start(command: &mut Command, address: Address) -> Self {
        // A group of its own: a server may be a script that starts others.
        let child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let word =
            |word: &OsStr| if word.is_empty() { "''".into() } else { word.to_string_lossy().into_owned() };
        let words: Vec<_> = command.get_args().map(word).collect();
        let flags = words.join(" ");
        let server = Self { child, address, flags };
        let begun = Instant::now();
        while !server.address.accepts() {
            assert!(begun.elapsed() < START_MAX, "{command:?} does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Where it listens, if that is TCP.
    ///
    /// # Panics
    /// When it is a Unix socket.
    pub fn tcp(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{} is not TCP", path.display()),
        }
    }

    /// What all its processes have in memory.
    pub fn resident_bytes(&self) -> u64 {
        let pages = processes(self.child.id()).filter_map(|process| {
            let statm = fs::read_to_string(process.join("statm")).ok()?;
            statm.split(' ').nth(1)?.parse::<u64>().ok()
        });
        pages.sum::<u64>() * rustix::param::page_size() as u64
    }

    /// Nanoseconds that the threads of all its processes have run.
    pub fn processor_ns(&self) -> u64 {
        processor_ns(self.child.id())
    }
}

/// Nanoseconds that the threads of all processes of a group have run, in user space and in the kernel for it.
pub fn processor_ns(group: u32) -> u64 {
    let tasks = processes(group).filter_map(|process| fs::read_dir(process.join("task")).ok());
    tasks.flatten().flatten().map(|task| run_ns(&task.path())).sum()
}

fn processes(within: u32) -> impl Iterator<Item = PathBuf> {
    let processes = fs::read_dir("/proc").expect("processes").flatten().map(|entry| entry.path());
    processes.filter(move |process| group(process) == Some(within))
}

/// The process group of a process in `/proc`: the third number behind the name, which stands in brackets.
fn group(process: &Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(2)?.parse().ok()
}

/// The first number in `schedstat`: time on a processor, to the nanosecond where `stat` has only ticks.
fn run_ns(task: &Path) -> u64 {
    let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    schedstat.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
