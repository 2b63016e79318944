//! The memcached front beside memcached and Redis: rate, latency, and the server's processor time for an operation.
//! `cargo run --release --bin memcached_front [ROUNDS [SECONDS [PART]]]`, after a release build of all bins: only the tables
//! whose name holds PART. Markdown on stdout.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use forebay_benches::load::{Batches, Effort, Outcome, run};
use forebay_benches::server::{Address, Server};

const CONNECTIONS: usize = 50;
const LOAD_THREADS: usize = 2;
const KEYS: u64 = 10_000;
/// The one that the others are compared with.
const REFERENCE: &str = "memcached -t 2";

/// One server in one way of running it.
struct Peer {
    name: &'static str,
    start: fn(Address) -> Server,
    request: fn(&Work, &mut dyn FnMut() -> u64) -> Vec<u8>,
    reply_bytes: fn(&Work) -> usize,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// So many commands for one key each, sent at once.
    Single(usize),
    /// One command for so many keys.
    Multi(usize),
    /// So many meta gets, sent at once.
    Meta(usize),
}

struct Work {
    name: &'static str,
    ask: Ask,
    value_bytes: usize,
}

const WORK: [Work; 5] = [
    Work { name: "get, pipeline 1", ask: Ask::Single(1), value_bytes: 100 },
    Work { name: "get of 1 KiB, pipeline 1", ask: Ask::Single(1), value_bytes: 1024 },
    Work { name: "get, pipeline 32", ask: Ask::Single(32), value_bytes: 100 },
    Work { name: "get of 32 keys", ask: Ask::Multi(32), value_bytes: 100 },
    Work { name: "mg v, pipeline 32", ask: Ask::Meta(32), value_bytes: 100 },
];

impl Work {
    fn operations(&self) -> usize {
        match self.ask {
            Ask::Single(count) | Ask::Multi(count) | Ask::Meta(count) => count,
        }
    }
}

fn key(number: u64) -> String {
    format!("key:{number:08}")
}

fn memcached_request(work: &Work, next: &mut dyn FnMut() -> u64) -> Vec<u8> {
    let mut keys = (0..work.operations()).map(|_| key(next()));
    match work.ask {
        Ask::Single(_) => keys.map(|key| format!("get {key}\r\n")).collect::<String>().into_bytes(),
        Ask::Meta(_) => keys.map(|key| format!("mg {key} v\r\n")).collect::<String>().into_bytes(),
        Ask::Multi(_) => {
            format!("get{}\r\n", keys.by_ref().map(|key| format!(" {key}")).collect::<String>()).into()
        }
    }
}

fn memcached_reply_bytes(work: &Work) -> usize {
    let bytes = work.value_bytes;
    let value = format!("VALUE key:00000000 0 {bytes}\r\n").len() + bytes + 2;
    match work.ask {
        Ask::Single(count) => count * (value + "END\r\n".len()),
        Ask::Multi(count) => count * value + "END\r\n".len(),
        Ask::Meta(count) => count * (format!("VA {bytes}\r\n").len() + bytes + 2),
    }
}

fn redis_request(work: &Work, next: &mut dyn FnMut() -> u64) -> Vec<u8> {
    let keys: Vec<String> = (0..work.operations()).map(|_| format!("$12\r\n{}\r\n", key(next()))).collect();
    match work.ask {
        Ask::Single(_) | Ask::Meta(_) => {
            keys.iter().map(|key| format!("*2\r\n$3\r\nGET\r\n{key}")).collect::<String>()
        }
        Ask::Multi(count) => format!("*{}\r\n$4\r\nMGET\r\n{}", count + 1, keys.concat()),
    }
    .into_bytes()
}

fn redis_reply_bytes(work: &Work) -> usize {
    let bytes = work.value_bytes;
    let value = format!("${bytes}\r\n").len() + bytes + 2;
    match work.ask {
        Ask::Single(count) | Ask::Meta(count) => count * value,
        Ask::Multi(count) => count * value + format!("*{count}\r\n").len(),
    }
}

/// The program built beside this one.
fn ours(threads: &str, address: Address) -> Server {
    let program =
        std::env::current_exe().expect("a program knows its path").with_file_name("memcached_server");
    let place = match &address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => path.display().to_string(),
    };
    Server::start(Command::new(program).args([threads, &place]), address)
}

fn memcached(address: Address) -> Server {
    let mut command = Command::new("memcached");
    command.args(["-t", "2", "-m", "256", "-u", "root", "-c", "1024"]);
    match &address {
        Address::Tcp(tcp) => command.args(["-l", "127.0.0.1", "-U", "0", "-p", &tcp.port().to_string()]),
        Address::Unix(path) => command.arg("-s").arg(path),
    };
    Server::start(&mut command, address)
}

fn redis(io_threads: &str, address: Address) -> Server {
    let mut command = Command::new("redis-server");
    command.args(["--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--io-threads", io_threads]);
    match &address {
        Address::Tcp(tcp) => command.args(["--bind", "127.0.0.1", "--port", &tcp.port().to_string()]),
        Address::Unix(path) => command.args(["--port", "0", "--unixsocket"]).arg(path),
    };
    Server::start(&mut command, address)
}

const PEERS: [Peer; 4] = [
    Peer {
        name: REFERENCE,
        start: memcached,
        request: memcached_request,
        reply_bytes: memcached_reply_bytes,
    },
    Peer {
        name: "forebay, tasks on 2 workers",
        start: |address| ours("0", address),
        request: memcached_request,
        reply_bytes: memcached_reply_bytes,
    },
    Peer {
        name: "forebay, 2 threads",
        start: |address| ours("2", address),
        request: memcached_request,
        reply_bytes: memcached_reply_bytes,
    },
    Peer {
        name: "redis-server",
        start: |address| redis("1", address),
        request: redis_request,
        reply_bytes: redis_reply_bytes,
    },
];

/// Sets every key.
fn fill(server: &Server, redis: bool, bytes: usize) {
    let value = "v".repeat(bytes);
    let mut requests = String::new();
    for number in 0..KEYS {
        let key = key(number);
        requests += &match redis {
            true => format!("*3\r\n$3\r\nSET\r\n$12\r\n{key}\r\n${bytes}\r\n{value}\r\n"),
            false => format!("set {key} 0 0 {bytes}\r\n{value}\r\n"),
        };
    }
    let answers = KEYS as usize * if redis { "+OK\r\n".len() } else { "STORED\r\n".len() };
    let mut buffer = vec![0; answers];
    let exchange = |stream: &mut dyn ReadWrite, mut other: Box<dyn Write + Send>| {
        let writer = std::thread::spawn(move || other.write_all(requests.as_bytes()));
        stream.read_exact(&mut buffer).expect("every key is stored");
        writer.join().expect("a writer").expect("the server reads");
    };
    match &server.address {
        Address::Tcp(address) => {
            let mut stream = TcpStream::connect(address).expect("it accepts");
            let other = Box::new(stream.try_clone().expect("a second handle"));
            exchange(&mut stream, other);
        }
        Address::Unix(path) => {
            let mut stream = UnixStream::connect(path).expect("it accepts");
            let other = Box::new(stream.try_clone().expect("a second handle"));
            exchange(&mut stream, other);
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

fn batches(peer: &Peer, work: &Work) -> Batches {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % KEYS
    };
    let requests = (0..1_000).map(|_| (peer.request)(work, &mut next)).collect();
    Batches {
        requests: Arc::new(requests),
        reply_bytes: (peer.reply_bytes)(work),
        operations: work.operations() as u64,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).map(|number| number.parse::<u64>().expect("a number"));
    let (rounds, seconds) = (number(0).unwrap_or(5), number(1).unwrap_or(2));
    let part = arguments.get(2).map_or("", String::as_str);
    let effort = Effort {
        threads: LOAD_THREADS,
        connections: CONNECTIONS,
        warm_up: Duration::from_millis(500),
        measured: Duration::from_secs(seconds),
    };
    let folder = tempfile::tempdir().expect("a scratch folder");
    println!(
        "{CONNECTIONS} connections, values of 100 B unless said otherwise, {KEYS} keys, {LOAD_THREADS} load threads on the same cores;"
    );
    println!("{rounds} rounds in turn of {seconds} s each: medians, and the range of processor time.\n");
    for unix in [false, true] {
        for work in &WORK {
            let name = format!("{}, {}", work.name, if unix { "unix socket" } else { "TCP" });
            if !name.contains(part) {
                continue;
            }
            let mut outcomes: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
            for _ in 0..rounds {
                for peer in &PEERS {
                    if matches!(work.ask, Ask::Meta(_)) && peer.name.starts_with("redis") {
                        continue;
                    }
                    let server = (peer.start)(address(unix, folder.path()));
                    fill(&server, peer.name.starts_with("redis"), work.value_bytes);
                    outcomes.entry(peer.name).or_default().push(run(&server, &batches(peer, work), effort));
                }
            }
            show(&name, &outcomes);
        }
    }
}

fn address(unix: bool, folder: &Path) -> Address {
    if !unix {
        return Address::free();
    }
    let path = folder.join("socket");
    // What the server before left behind.
    let _ = std::fs::remove_file(&path);
    Address::Unix(path)
}

fn median(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    let mut values: Vec<f64> = outcomes.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn show(name: &str, outcomes: &BTreeMap<&str, Vec<Outcome>>) {
    println!("### {name}\n");
    println!("| server | ops/s | × | CPU ns/op | × | range | p50 µs | p99 µs | × |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let reference = &outcomes[REFERENCE];
    for peer in PEERS.iter().filter_map(|peer| outcomes.get_key_value(peer.name)) {
        let (name, all) = peer;
        let ratio = |of: fn(&Outcome) -> f64| median(all, of) / median(reference, of);
        let least = all.iter().map(|outcome| outcome.processor_ns).fold(f64::MAX, f64::min);
        let most = all.iter().map(|outcome| outcome.processor_ns).fold(0.0, f64::max);
        println!(
            "| {name} | {:.0} | {:.2} | {:.0} | {:.2} | {least:.0}–{most:.0} | {:.0} | {:.0} | {:.2} |",
            median(all, |outcome| outcome.rate),
            ratio(|outcome| outcome.rate),
            median(all, |outcome| outcome.processor_ns),
            ratio(|outcome| outcome.processor_ns),
            median(all, |outcome| outcome.p50_us),
            median(all, |outcome| outcome.p99_us),
            ratio(|outcome| outcome.p99_us),
        );
    }
    println!();
}
