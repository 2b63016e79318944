//! What a reader waits while a full store is written over, while millions of entries end at once, and while all are flushed;
//! and what the server takes of memory. Beside memcached, in the same run.
//!
//! `cargo run --release --bin storms [MILLIONS]`: a client asks for one key after another, each time a millisecond after the last
//! answer, and notes how long each took. What it waits while nothing happens is the machine's own part. Markdown on stdout.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use forebay_benches::server::{Address, Server};
use hdrhistogram::Histogram;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const MEBIBYTE: usize = 1024 * 1024;
/// The budget that is written over ten times.
const SMALL_BUDGET: usize = 64;
/// The budget of millions of entries.
const LARGE_BUDGET: usize = 2048;
const QUIET: Duration = Duration::from_secs(5);
/// How long entries live that are to end together, from the first on: time to write them all.
const LIFE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(1);

fn main() -> Outcome<()> {
    let millions: usize = std::env::args().nth(1).map_or(Ok(10), |millions| millions.parse())?;
    println!("{millions} M entries, probe every millisecond; times in ms.\n");
    println!("| server | while | p50 | p99 | p99.9 | worst | resident / budget |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, start) in [("Forebay", ours as fn(usize) -> Server), ("memcached 1.6", memcached)] {
        overwritten(name, &start(SMALL_BUDGET))?;
        ended(name, &start(LARGE_BUDGET), millions * 1_000_000)?;
        flushed(name, &start(LARGE_BUDGET), millions * 1_000_000)?;
    }
    Ok(())
}

fn ours(mebibytes: usize) -> Server {
    let program =
        std::env::current_exe().expect("a program knows its path").with_file_name("memcached_server");
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("a free port is TCP") };
    Server::start(Command::new(program).args(["2", &tcp.to_string(), &mebibytes.to_string()]), address)
}

fn memcached(mebibytes: usize) -> Server {
    let address = Address::free();
    let Address::Tcp(tcp) = &address else { unreachable!("a free port is TCP") };
    let mut command = Command::new("memcached");
    command.args(["-t", "2", "-m", &mebibytes.to_string(), "-u", "root", "-l", "127.0.0.1", "-U", "0"]);
    Server::start(command.args(["-p", &tcp.port().to_string()]), address)
}

/// Ten times the budget in values of all sizes.
fn overwritten(name: &str, server: &Server) -> Outcome<()> {
    row(name, "nothing happens", server, SMALL_BUDGET, || {
        thread::sleep(QUIET);
        Ok(())
    })?;
    let bytes = 10 * SMALL_BUDGET * MEBIBYTE;
    row(name, "ten times the budget is written", server, SMALL_BUDGET, || {
        let value = vec![b'v'; 512 * 1024];
        let (mut state, mut written, mut number) = (7u64, 0, 0u64);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below) as usize
        };
        let mut stream = TcpStream::connect(server.tcp())?;
        while written < bytes {
            let mut batch = Vec::new();
            while batch.len() < MEBIBYTE / 4 {
                let length = match random(1_000) {
                    0 => random(value.len() as u64),
                    1..50 => random(20_000),
                    _ => random(400),
                };
                number += 1;
                write!(batch, "set w{number} 0 0 {length} noreply\r\n")?;
                batch.extend_from_slice(&value[..length]);
                batch.extend_from_slice(b"\r\n");
            }
            written += batch.len();
            send(&mut stream, &batch)?;
        }
        Ok(())
    })
}

/// Millions of entries whose time is over within a moment.
fn ended(name: &str, server: &Server, count: usize) -> Outcome<()> {
    let begun = Instant::now();
    let ends = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)? + LIFE;
    fill(server.tcp(), count, ends.as_secs())?;
    let left = LIFE.checked_sub(begun.elapsed()).ok_or("writing them took longer than they live")?;
    thread::sleep(left.saturating_sub(Duration::from_secs(1)));
    row(name, "they end at one time", server, LARGE_BUDGET, || {
        thread::sleep(QUIET);
        Ok(())
    })
}

/// Millions of entries that are flushed.
fn flushed(name: &str, server: &Server, count: usize) -> Outcome<()> {
    fill(server.tcp(), count, 0)?;
    row(name, "they are flushed", server, LARGE_BUDGET, || {
        thread::sleep(QUIET / 5);
        send(&mut TcpStream::connect(server.tcp())?, b"flush_all\r\n")?;
        thread::sleep(QUIET);
        Ok(())
    })
}

fn fill(address: SocketAddr, count: usize, exptime: u64) -> Outcome<()> {
    let mut stream = TcpStream::connect(address)?;
    for first in (0..count).step_by(5_000) {
        let batch: String = (first..count.min(first + 5_000))
            .map(|number| format!("set f{number} 0 {exptime} 10 noreply\r\n0123456789\r\n"))
            .collect();
        send(&mut stream, batch.as_bytes())?;
    }
    Ok(())
}

/// Sends, and waits until it was read.
fn send(stream: &mut TcpStream, batch: &[u8]) -> Outcome<()> {
    stream.write_all(batch)?;
    stream.write_all(b"mn\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"MN\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err("the server has gone".into());
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    Ok(())
}

/// Asks while something happens, and prints what that came to.
fn row(
    name: &str,
    what: &str,
    server: &Server,
    budget: usize,
    happens: impl FnOnce() -> Outcome<()>,
) -> Outcome<()> {
    let over = AtomicBool::new(false);
    let (waits, resident) = thread::scope(|scope| {
        let probe = scope.spawn(|| probe(server.tcp(), &over));
        let happened = happens();
        let resident = server.resident_bytes();
        over.store(true, Relaxed);
        let waits = probe.join().expect("the probe does not panic");
        happened.and(waits).map(|waits| (waits, resident))
    })?;
    let ms = |micros: u64| micros as f64 / 1000.0;
    println!(
        "| {name} | {what} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        ms(waits.value_at_quantile(0.5)),
        ms(waits.value_at_quantile(0.99)),
        ms(waits.value_at_quantile(0.999)),
        ms(waits.max()),
        resident as f64 / (budget * MEBIBYTE) as f64,
    );
    Ok(())
}

/// How long each of many gets took, in microseconds. Two connections: each thread of a server has one.
fn probe(address: SocketAddr, over: &AtomicBool) -> Outcome<Histogram<u64>> {
    let mut waits = Histogram::new(3)?;
    let mut streams = [TcpStream::connect(address)?, TcpStream::connect(address)?];
    for stream in &streams {
        stream.set_nodelay(true)?;
    }
    for number in 0u64.. {
        if over.load(Relaxed) {
            break;
        }
        let stream = &mut streams[number as usize % 2];
        let begun = Instant::now();
        stream.write_all(format!("get f{number}\r\n").as_bytes())?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 256]);
        while !answer.ends_with(b"END\r\n") {
            let count = stream.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..count]);
            if count == 0 {
                return Err("the server has gone".into());
            }
        }
        waits.record(u64::try_from(begun.elapsed().as_micros())?)?;
        thread::sleep(PAUSE);
    }
    Ok(waits)
}
