//! Resident memory per item of 16 bytes of key and 100 of value, beside quick_cache, moka, memcached and Redis.
//!
//! `cargo run --release --bin item_bytes`: every system gets a fresh process and a million items that it can hold; what
//! counts is how much resident memory grows. Servers that are not installed are left out, and said to be. A plot goes into
//! `report/item-bytes.svg`.

use std::env::{args, current_exe};
use std::error::Error;
use std::fs::read_to_string;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use forebay_benches::plot::{Bar, bars};
use forebay_core::entry::{Version, Write};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use forebay_memory::{Memory, MemoryOptions};

const ITEMS: usize = 1_000_000;
const VALUE: [u8; 100] = [b'7'; 100];
const BUDGET: usize = 1024 * 1024 * 1024;

type Outcome = Result<f64, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(system) = args().nth(1) {
        println!("{}", in_process(&system)?);
        return Ok(());
    }
    println!("| resident bytes per item | |\n|---|---|");
    let mut plotted = Vec::new();
    let mut row = |system: &str, grown: f64| {
        println!("| {system} | {grown:.0} |");
        plotted.push(Bar { name: system.into(), value: grown, range: None });
    };
    for system in ["Forebay", "quick_cache", "moka"] {
        let output = Command::new(current_exe()?).arg(system).output()?;
        let grown: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        row(system, grown);
    }
    let budget = (BUDGET / 1024 / 1024).to_string();
    let memcached = |port: &str| -> Vec<String> {
        ["-l", "127.0.0.1", "-p", port, "-U", "0", "-u", "nobody", "-m", &budget].map(String::from).into()
    };
    let redis = |port: &str| -> Vec<String> {
        ["--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"].map(String::from).into()
    };
    for (system, program, arguments, request) in [
        (
            "memcached",
            "memcached",
            &memcached as &dyn Fn(&str) -> Vec<String>,
            memcached_set as fn(&str) -> Vec<u8>,
        ),
        ("Redis", "redis-server", &redis, redis_set),
    ] {
        match server(program, arguments, request) {
            Ok(grown) => row(system, grown),
            Err(error) => println!("| {system} | not measured: {error} |"),
        }
    }
    bars(
        Path::new("report/item-bytes.svg"),
        "Resident memory of an item: 16 bytes of key, 100 of value",
        "bytes",
        &plotted,
    )?;
    Ok(())
}

fn key(number: usize) -> String {
    format!("key:{number:012}")
}

fn in_process(system: &str) -> Outcome {
    let first_version = Version(1);
    let options = MemoryOptions { bytes_max: BUDGET, value_bytes_max: 1024 * 1024, first_version };
    let before = resident("self")?;
    let grown = match system {
        "Forebay" => {
            let store = Memory::new(options);
            for number in 0..ITEMS {
                store.write(key(number).as_bytes(), &VALUE, Write::at(Instant::from_ms(1_700_000_000_000)));
            }
            let stats = store.stats();
            if stats.items != ITEMS as u64 {
                return Err(format!("only {} items are held", stats.items).into());
            }
            resident("self")? - before
        }
        "quick_cache" => {
            let cache: quick_cache::sync::Cache<Box<[u8]>, Arc<[u8]>> =
                quick_cache::sync::Cache::new(2 * ITEMS);
            (0..ITEMS)
                .for_each(|number| cache.insert(key(number).into_bytes().into(), Arc::from(&VALUE[..])));
            resident("self")? - before
        }
        "moka" => {
            let cache: moka::sync::Cache<Box<[u8]>, Arc<[u8]>> = moka::sync::Cache::new(2 * ITEMS as u64);
            (0..ITEMS)
                .for_each(|number| cache.insert(key(number).into_bytes().into(), Arc::from(&VALUE[..])));
            cache.run_pending_tasks();
            resident("self")? - before
        }
        other => return Err(format!("no such system: {other}").into()),
    };
    Ok(grown / ITEMS as f64)
}

fn memcached_set(key: &str) -> Vec<u8> {
    [b"set ", key.as_bytes(), b" 0 0 100\r\n", &VALUE[..], b"\r\n"].concat()
}

fn redis_set(key: &str) -> Vec<u8> {
    [b"*3\r\n$3\r\nSET\r\n$16\r\n", key.as_bytes(), b"\r\n$100\r\n", &VALUE[..], b"\r\n"].concat()
}

/// A child process that ends with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn server(program: &str, arguments: &dyn Fn(&str) -> Vec<String>, request: fn(&str) -> Vec<u8>) -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(program);
    command.args(arguments(&port.to_string())).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn()?);
    let socket = connect(port)?;
    let (mut replies, mut requests) = (BufReader::new(socket.try_clone()?), BufWriter::new(socket));
    let process = server.0.id().to_string();
    let before = resident(&process)?;
    let mut line = String::new();
    for first in (0..ITEMS).step_by(1_000) {
        for number in first..first + 1_000 {
            requests.write_all(&request(&key(number)))?;
        }
        requests.flush()?;
        for _ in 0..1_000 {
            line.clear();
            replies.read_line(&mut line)?;
            if !line.contains("STORED") && !line.contains("OK") {
                return Err(format!("answered {line}").into());
            }
        }
    }
    Ok((resident(&process)? - before) / ITEMS as f64)
}

fn connect(port: u16) -> Result<TcpStream, Box<dyn Error>> {
    for _ in 0..100 {
        if let Ok(socket) = TcpStream::connect(("127.0.0.1", port)) {
            return Ok(socket);
        }
        sleep(Duration::from_millis(50));
    }
    Err("the server does not listen".into())
}

/// Resident bytes of a process.
fn resident(process: &str) -> Outcome {
    let status = read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no resident memory")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kib * 1024.0)
}
