//! Hit ratio of servers that take the same memory: memcached, Redis by recency and by frequency, and our front, on recorded traces.
//!
//! `cargo run --release --bin hit_ratio_servers [-- TRACE[.xz]...]`, without one the demo's: what is missed is written, with a value
//! whose length follows from its key. A server is started anew with another limit until what it has resident is what it may take, so
//! that no system's overhead is a gift to it. Keys are asked for in batches of 16. Markdown on stdout.

use std::collections::HashSet;
use std::error::Error;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use forebay_benches::server::{Address, Server};
use forebay_benches::trace::{DEMO, load};

type Outcome<T> = Result<T, Box<dyn Error>>;

const MEBIBYTE: f64 = 1024.0 * 1024.0;
/// Values are so long that all of a trace's keys take so much.
const FOOTPRINT: usize = 400 * 1024 * 1024;
/// Shares of that, in %, that a server may have resident.
const SHARES: [u64; 3] = [5, 10, 30];
/// Of a longer trace only the beginning is taken.
const ACCESSES_MAX: usize = 2_000_000;
const BATCH: usize = 16;
/// What memcached says where no entry of the value's size class can make room: it is missed again.
const NO_ROOM: &str = "SERVER_ERROR out of memory storing object";
/// How near to what it may take a server's memory is to come, and how often that is tried.
const NEAR: f64 = 0.02;
const TRIES_MAX: usize = 5;

/// What asks one kind of server.
trait Client {
    /// Which of the keys are there.
    fn get(&mut self, keys: &[u32]) -> Outcome<Vec<bool>>;
    fn set(&mut self, keys: &[(u32, &[u8])]) -> Outcome<()>;
}

fn main() -> Outcome<()> {
    println!("| trace | may take, MiB | server | limit, MiB | resident, MiB | hits, % |");
    println!("| --- | ---: | --- | ---: | ---: | ---: |");
    let mut paths: Vec<_> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push(DEMO.into());
    }
    for path in paths {
        let mut trace = load(&path)?;
        trace.truncate(ACCESSES_MAX);
        let keys = trace.iter().collect::<HashSet<_>>().len();
        let name = path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or(&path);
        for share in SHARES {
            let target = FOOTPRINT as u64 * share / 100;
            for (system, start) in SYSTEMS {
                let (limit, resident, hits) = at_equal_memory(*start, &trace, FOOTPRINT / keys, target)?;
                let (target, resident) = (target as f64 / MEBIBYTE, resident as f64 / MEBIBYTE);
                println!("| {name} | {target:.0} | {system} | {limit} | {resident:.1} | {hits:.2} |");
            }
        }
    }
    Ok(())
}

type Start = fn(u64) -> Outcome<(Server, Box<dyn Client>)>;

const SYSTEMS: &[(&str, Start)] = &[
    ("Forebay", |limit| memcached(ours(limit))),
    ("memcached", |limit| memcached(theirs(limit))),
    ("Redis, allkeys-lru", |limit| redis(limit, "allkeys-lru")),
    ("Redis, allkeys-lfu", |limit| redis(limit, "allkeys-lfu")),
];

/// The limit in MiB with which a server came to have `target` bytes resident, what it had, and its hits in %.
fn at_equal_memory(start: Start, trace: &[u32], length: usize, target: u64) -> Outcome<(u64, u64, f64)> {
    let mut limit = target as f64 / MEBIBYTE;
    let mut best: Option<(u64, u64, f64)> = None;
    for _ in 0..TRIES_MAX {
        let mebibytes = (limit.round() as u64).max(1);
        if best.is_some_and(|(tried, ..)| tried == mebibytes) {
            break;
        }
        let (server, mut client) = start(mebibytes)?;
        let hits = replay(&mut *client, trace, length)?;
        let resident = server.resident_bytes();
        let is_nearer = best.is_none_or(|(_, other, _)| resident.abs_diff(target) < other.abs_diff(target));
        if is_nearer {
            best = Some((mebibytes, resident, hits));
        }
        let off = resident as f64 / target as f64;
        if (off - 1.0).abs() <= NEAR {
            break;
        }
        limit /= off;
    }
    best.ok_or_else(|| "nothing was tried".into())
}

/// Hits in %.
fn replay(client: &mut dyn Client, trace: &[u32], mean: usize) -> Outcome<f64> {
    let value = vec![b'v'; 2 * mean];
    let lengths = BuildHasherDefault::<DefaultHasher>::new();
    let mut hits = 0;
    for keys in trace.chunks(BATCH) {
        let there = client.get(keys)?;
        hits += there.iter().filter(|there| **there).count();
        let missed = keys.iter().zip(there).filter(|(_, there)| !there).map(|(key, _)| {
            // From a quarter of the mean to seven of them.
            let length = mean / 4 + lengths.hash_one(key) as usize % (mean * 3 / 2);
            (*key, &value[..length])
        });
        client.set(&missed.collect::<Vec<_>>())?;
    }
    Ok(100.0 * hits as f64 / trace.len() as f64)
}

fn ours(mebibytes: u64) -> Server {
    let program =
        std::env::current_exe().expect("a program knows its path").with_file_name("memcached_server");
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("a free port is TCP") };
    Server::start(Command::new(program).args(["2", &tcp.to_string(), &mebibytes.to_string()]), address)
}

fn theirs(mebibytes: u64) -> Server {
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("a free port is TCP") };
    let mut command = Command::new("memcached");
    command.args(["-t", "2", "-m", &mebibytes.to_string(), "-u", "root", "-l", "127.0.0.1", "-U", "0"]);
    Server::start(command.args(["-p", &tcp.port().to_string()]), address)
}

fn memcached(server: Server) -> Outcome<(Server, Box<dyn Client>)> {
    let client = Memcached { stream: connect(server.tcp())? };
    Ok((server, Box::new(client)))
}

fn redis(mebibytes: u64, policy: &str) -> Outcome<(Server, Box<dyn Client>)> {
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("a free port is TCP") };
    let mut command = Command::new("redis-server");
    command.args([
        "--bind",
        "127.0.0.1",
        "--port",
        &tcp.port().to_string(),
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    command.args(["--maxmemory", &format!("{mebibytes}mb"), "--maxmemory-policy", policy]);
    let server = Server::start(&mut command, address);
    let client = Redis { stream: connect(server.tcp())? };
    Ok((server, Box::new(client)))
}

fn connect(address: SocketAddr) -> Outcome<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::with_capacity(256 * 1024, stream))
}

fn line(stream: &mut BufReader<TcpStream>) -> Outcome<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Reads a value and the end of its line.
fn pass_over(stream: &mut BufReader<TcpStream>, length: u64) -> Outcome<()> {
    std::io::copy(&mut stream.take(length + 2), &mut std::io::sink())?;
    Ok(())
}

struct Memcached {
    stream: BufReader<TcpStream>,
}

impl Client for Memcached {
    fn get(&mut self, keys: &[u32]) -> Outcome<Vec<bool>> {
        let words: Vec<_> = keys.iter().map(|key| format!("key:{key}")).collect();
        self.stream.get_mut().write_all(format!("get {}\r\n", words.join(" ")).as_bytes())?;
        let mut found = HashSet::new();
        loop {
            let head = line(&mut self.stream)?;
            if head == "END" {
                break;
            }
            let words: Vec<_> = head.split(' ').collect();
            let ["VALUE", key, _, length] = words[..] else { return Err(head.into()) };
            found.insert(key.to_owned());
            pass_over(&mut self.stream, length.parse()?)?;
        }
        Ok(words.iter().map(|key| found.contains(key)).collect())
    }

    fn set(&mut self, keys: &[(u32, &[u8])]) -> Outcome<()> {
        let mut asked = Vec::new();
        for (key, value) in keys {
            write!(asked, "set key:{key} 0 0 {}\r\n", value.len())?;
            asked.extend_from_slice(value);
            asked.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&asked)?;
        for _ in keys {
            let answer = line(&mut self.stream)?;
            if answer != "STORED" && answer != NO_ROOM {
                return Err(answer.into());
            }
        }
        Ok(())
    }
}

struct Redis {
    stream: BufReader<TcpStream>,
}

impl Client for Redis {
    fn get(&mut self, keys: &[u32]) -> Outcome<Vec<bool>> {
        let mut asked = Vec::new();
        write!(asked, "*{}\r\n$4\r\nMGET\r\n", keys.len() + 1)?;
        for key in keys {
            let key = format!("key:{key}");
            write!(asked, "${}\r\n{key}\r\n", key.len())?;
        }
        self.stream.get_mut().write_all(&asked)?;
        let head = line(&mut self.stream)?;
        if head != format!("*{}", keys.len()) {
            return Err(head.into());
        }
        let mut there = Vec::new();
        for _ in keys {
            let head = line(&mut self.stream)?;
            let length: i64 = head.strip_prefix('$').ok_or(head.clone())?.parse()?;
            there.push(length >= 0);
            if let Ok(length) = u64::try_from(length) {
                pass_over(&mut self.stream, length)?;
            }
        }
        Ok(there)
    }

    fn set(&mut self, keys: &[(u32, &[u8])]) -> Outcome<()> {
        let mut asked = Vec::new();
        for (key, value) in keys {
            let key = format!("key:{key}");
            write!(asked, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n", key.len(), value.len())?;
            asked.extend_from_slice(value);
            asked.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&asked)?;
        for _ in keys {
            let answer = line(&mut self.stream)?;
            if answer != "+OK" {
                return Err(answer.into());
            }
        }
        Ok(())
    }
}
