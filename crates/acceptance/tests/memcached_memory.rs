//! What connections cost while they do nothing: idle ones, half-sent commands, clients that do not read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay_acceptance::busy::{be_busy, wait_until};
use forebay_acceptance::front::Front;
use forebay_acceptance::random::Random;
use forebay_acceptance::raw::Raw;
use forebay_memcached::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1024 * 1024;

/// Ways to serve: tasks on a runtime, and two threads.
const THREADS: [usize; 2] = [0, 2];

fn front(threads: usize) -> Front {
    Front::start_with(Options { threads, ..Options::default() })
}

/// Memory is that of the whole process, so only one test may run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident memory of this process, which is the server and its clients.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn allow_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|maximum| maximum >= count), "this test needs {count} open files");
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).unwrap();
}

#[test]
fn thousands_of_idle_connections_cost_little_and_leave_busy_ones_alone() {
    let _alone = alone();
    allow_files(16_000);
    for threads in THREADS {
        let front = front(threads);
        be_busy(front.address, 50, 20);
        let before = resident_bytes();
        let idle: Vec<TcpStream> = (0..5_000).map(|_| TcpStream::connect(front.address).unwrap()).collect();
        wait_until("all are accepted", || front.connections.current() >= 5_000);
        be_busy(front.address, 50, 200);
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 5_000 * 4096, "{grown} bytes for 5,000 idle connections");
        // Idle does not mean gone.
        for mut stream in idle.iter().step_by(500) {
            stream.write_all(b"mn\r\n").unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"MN\r\n");
        }
        drop(idle);
        wait_until("all are seen off", || front.connections.current() == 0);
    }
}

#[test]
fn half_sent_commands_hold_what_was_sent_and_no_more() {
    let _alone = alone();
    allow_files(16_000);
    let front = front(2);
    be_busy(front.address, 4, 10);
    let before = resident_bytes();
    let halves: Vec<TcpStream> = (0..1_000)
        .map(|index| {
            let mut stream = TcpStream::connect(front.address).unwrap();
            let half = ["set half 0 0 1000000\r\nabc", "get some keys", "ms half 900000", "mg"][index % 4];
            stream.write_all(half.as_bytes()).unwrap();
            stream
        })
        .collect();
    wait_until("all are accepted", || front.connections.current() >= 1_000);
    be_busy(front.address, 50, 50);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 80 * MIB, "{grown} bytes for 1,000 half-sent commands that announced a gigabyte");
    drop(halves);
    wait_until("all are seen off", || front.connections.current() == 0);
    assert_eq!(Raw::connect(front.address).ask(b"get half\r\n"), b"END\r\n");
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let _alone = alone();
    for threads in THREADS {
        let front = front(threads);
        let mut other = Raw::connect(front.address);
        let value = "v".repeat(500_000);
        other.ask(format!("set big 0 0 {}\r\n{value}\r\n", value.len()).as_bytes());
        let before = resident_bytes();
        let mut slow = Raw::connect(front.address);
        slow.send(format!("get{}\r\nmn\r\n", " big".repeat(1_000)).as_bytes());
        be_busy(front.address, 8, 50);
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 50 * MIB, "{grown} bytes for a client that asked for 500 MB and reads nothing");
        // When it reads at last, everything is there.
        let piece = format!("VALUE big 0 {}\r\n{value}\r\n", value.len());
        for _ in 0..1_000 {
            assert!(slow.read_exactly(piece.len()) == piece.as_bytes());
        }
        assert_eq!(slow.read_exactly(9), b"END\r\nMN\r\n");
    }
}

#[test]
fn ten_times_the_budget_leaves_the_memory_within_it() {
    let _alone = alone();
    // What the front's store has, see `Front`.
    const BUDGET: u64 = 64 * MIB;
    // Buffers of the clients and the front, and what the allocator keeps for itself.
    const CONSTANT: u64 = 24 * MIB;
    let front = front(2);
    be_busy(front.address, 4, 10);
    let before = resident_bytes();
    let value = "v".repeat(512 * 1024);
    std::thread::scope(|scope| {
        for client in 0..2u64 {
            let (value, address) = (&value, front.address);
            scope.spawn(move || {
                let (mut raw, mut random) = (Raw::connect(address), Random::new(client));
                let mut written = 0;
                while written < 5 * BUDGET as usize {
                    let mut batch = String::new();
                    while batch.len() < 256 * 1024 {
                        let length = match random.below(1_000) {
                            0 => random.below(value.len()),
                            1..50 => random.below(20_000),
                            _ => random.below(400),
                        };
                        let key = random.below(1_000_000);
                        batch += &format!("set k{key} 0 0 {length} noreply\r\n{}\r\n", &value[..length]);
                    }
                    written += batch.len();
                    assert_eq!(raw.ask(batch.as_bytes()), b"");
                }
            });
        }
    });
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown <= BUDGET * 115 / 100 + CONSTANT, "{grown} bytes after ten times the budget of {BUDGET}");
    let stats = String::from_utf8(Raw::connect(front.address).ask(b"stats\r\n")).unwrap();
    let evictions = stats.lines().find_map(|line| line.strip_prefix("STAT evictions ")).unwrap();
    assert!(evictions.parse::<u64>().unwrap() > 10_000, "{evictions} were pushed out");
}
