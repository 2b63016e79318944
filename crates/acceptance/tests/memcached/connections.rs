//! Broken connections, greedy ones, and the ends of all: none of them harms another.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use forebay_acceptance::busy::{Raised, be_busy, wait_until};
use forebay_acceptance::front::Front;
use forebay_acceptance::random::Random;
use forebay_acceptance::raw::Raw;
use forebay_core::limits::memcached::GET_LINE_BYTES_MAX;
use forebay_memcached::Options;

/// How long a read or a write may take.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Ways to serve: tasks on a runtime, and two threads.
const THREADS: [usize; 2] = [0, 2];

fn front(threads: usize) -> Front {
    Front::start_with(Options { threads, ..Options::default() })
}

#[test]
fn a_large_value_may_come_in_any_pieces() {
    let front = front(2);
    let mut raw = Raw::connect(front.address);
    let mut random = Random::new(1);
    let value = random.bytes(1_000_000);
    for piece in [1_000_000, 70_000, 1_500, 333] {
        let stream = [b"set big 0 0 1000000\r\n", &value[..], b"\r\nmn\r\n"].concat();
        for part in stream.chunks(piece) {
            raw.send(part);
        }
        assert_eq!(raw.read_exactly(12), b"STORED\r\nMN\r\n");
        let answer = raw.ask(b"get big\r\n");
        assert!(answer == [b"VALUE big 0 1000000\r\n", &value[..], b"\r\nEND\r\n"].concat());
    }
}

#[test]
fn a_get_of_more_keys_than_a_line_may_hold_is_given_up() {
    let front = front(2);
    let keys = GET_LINE_BYTES_MAX / 2 - 2;
    let mut raw = Raw::connect(front.address);
    assert_eq!(raw.ask(format!("get{}\r\n", " k".repeat(keys)).as_bytes()), b"END\r\n");
    raw.send(format!("get{}\r\n", " k".repeat(keys + 2)).as_bytes());
    assert_eq!(raw.read(), b"");
}

#[test]
fn garbage_harms_nobody_else() {
    let front = front(2);
    thread::scope(|scope| {
        scope.spawn(|| be_busy(front.address, 4, 500));
        for seed in 0..4 {
            let address = front.address;
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for _ in 0..100 {
                    let mut raw = Raw::connect(address);
                    let count = random.below(20_000);
                    let mut garbage = random.bytes(count);
                    if random.once_in(2) {
                        garbage
                            .iter_mut()
                            .for_each(|byte| *byte = b" \r\n0get seg19mascdq"[*byte as usize % 19]);
                    }
                    raw.send(&garbage);
                    if random.once_in(2) {
                        raw.finish();
                    }
                }
            });
        }
    });
    assert_eq!(Raw::connect(front.address).ask(b"mn\r\n"), b"MN\r\n");
    wait_until("all are seen off", || front.connections.current() == 0);
}

#[test]
fn a_connection_beyond_the_limit_is_told_so() {
    for threads in THREADS {
        let front = Front::start_with(Options { threads, connections_max: 3, ..Options::default() });
        let mut seated: Vec<Raw> = (0..3).map(|_| Raw::connect(front.address)).collect();
        for raw in &mut seated {
            assert_eq!(raw.ask(b"mn\r\n"), b"MN\r\n");
        }
        assert_eq!(Raw::connect(front.address).finish(), b"ERROR Too many open connections\r\n");
        assert_eq!(front.connections.refused(), 1);
        drop(seated.pop());
        wait_until("its seat is free", || front.connections.current() == 2);
        assert_eq!(Raw::connect(front.address).ask(b"mn\r\n"), b"MN\r\n");
    }
}

#[test]
fn a_stop_answers_what_was_read_and_closes() {
    for threads in THREADS {
        let front = front(threads);
        let mut idle = Raw::connect(front.address);
        let mut half = Raw::connect(front.address);
        let mut busy = Raw::connect(front.address);
        assert_eq!(idle.ask(b"mn\r\n"), b"MN\r\n");
        half.ask(b"mn\r\n");
        half.send(b"set a 0 0 10\r\nabc");
        assert_eq!(busy.ask(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n");
        let address = front.address;
        front.stop();
        for raw in [idle, half, busy] {
            assert_eq!(raw.finish(), b"");
        }
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}

#[test]
fn a_client_that_floods_does_not_starve_others() {
    let front = front(1);
    let flood = b"get a b c d e f g h\r\n".repeat(5_000);
    let (address, over) = (front.address, AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut raw = TcpStream::connect(address).unwrap();
                raw.set_read_timeout(Some(WAIT_MAX)).unwrap();
                raw.set_write_timeout(Some(WAIT_MAX)).unwrap();
                let mut reader = raw.try_clone().unwrap();
                let drain = scope.spawn(move || reader.read_to_end(&mut Vec::new()).unwrap());
                let mut floods = 0;
                while !over.load(Relaxed) {
                    raw.write_all(&flood).unwrap();
                    floods += 1;
                }
                raw.shutdown(Shutdown::Write).unwrap();
                assert_eq!(drain.join().unwrap(), floods * 5_000 * b"END\r\n".len());
            });
        }
        let over = Raised(&over);
        // Each answer has to come in time while the others never pause.
        let mut raw = Raw::connect(address);
        for _ in 0..50 {
            assert_eq!(raw.ask(b"mn\r\n"), b"MN\r\n");
        }
        drop(over);
    });
}

fn ask_unix(path: &Path, command: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.write_all(command).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_unix_socket_serves_the_same_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    for threads in THREADS {
        let front = Front::start_with(Options { threads, unix: Some(path.clone()), ..Options::default() });
        assert_eq!(Raw::connect(front.address).ask(b"set a 0 0 1\r\nx\r\n"), b"STORED\r\n");
        for _ in 0..20 {
            assert_eq!(ask_unix(&path, b"get a\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n");
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        front.stop();
        assert!(!path.exists(), "the socket is taken away with the front");
    }
}

#[test]
fn a_socket_left_over_by_a_kill_is_replaced_and_one_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    let options = Options { unix: Some(path.clone()), threads: 1, ..Options::default() };
    let front = Front::start_with(options.clone());
    assert_eq!(ask_unix(&path, b"mn\r\n"), b"MN\r\n");
    let refused = Front::try_start_with(options.clone()).err().expect("the socket is in use");
    assert!(refused.to_string().starts_with("listen for memcached on"), "{refused}");
    drop(front);
    std::fs::write(&path, b"not a socket").unwrap();
    assert!(Front::try_start_with(options).is_err(), "a file is nobody's to remove");
    assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
}

#[test]
fn a_port_in_use_is_refused_although_threads_share_theirs() {
    let front = front(2);
    let options = Options { tcp: Some(front.address), threads: 2, ..Options::default() };
    let refused = Front::try_start_at(options).err().expect("the port is in use");
    assert!(refused.to_string().contains(&front.address.to_string()), "{refused}");
}
