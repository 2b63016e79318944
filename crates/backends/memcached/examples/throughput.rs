//! What the store costs beside the bare protocol, on one memcached of its own:
//! `cargo run --release -p forebay-memcached-store --example throughput`.
//!
//! As many readers as said read one small value each, over and over, over one connection. Bare is the least that the same work
//! can be: the commands of all readers are sent in one write and their replies counted, with nobody to wake and nothing to hand
//! out.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program for people")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_core::entry::Mode;
use forebay_core::ports::clock::Run;
use forebay_core::ports::remote_store::{Put, RemoteStore};
use forebay_memcached_store::store::MemcachedStore;
use forebay_runtime::clock::TokioClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const READERS: usize = 64;
const KEYS_OF_ONE_CALL: usize = 100;
const VALUE: [u8; 100] = [b'v'; 100];
const TIME: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn key(number: usize) -> String {
    format!("user:{number}:profile")
}

#[tokio::main]
async fn main() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|port| port.local_addr())
        .expect("a port")
        .port();
    let mut server = Command::new("memcached");
    server.args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-p", &port.to_string()]);
    let _server = Server(spawn(server));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let store = open(&format!("memcached://{address}?connections=1&timeout=5s"));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    for number in 0..READERS.max(KEYS_OF_ONE_CALL) {
        store.put(key(number).as_bytes(), &VALUE, put).await.expect("it is stored");
    }
    println!("| keys/s | 1 reader | {READERS} readers | {READERS} readers, {KEYS_OF_ONE_CALL} keys a call |");
    println!("| --- | ---: | ---: | ---: |");
    for _ in 0..ROUNDS {
        let (one, many, most) = (
            bare(address, 1).await,
            bare(address, READERS).await,
            bare(address, 10 * KEYS_OF_ONE_CALL).await,
        );
        println!("| bare | {one} | {many} | {most} |");
        let (one, many) = (read(&store, 1, 1).await, read(&store, READERS, 1).await);
        println!("| store | {one} | {many} | {} |", read(&store, READERS, KEYS_OF_ONE_CALL).await);
    }
}

fn spawn(mut server: Command) -> Child {
    server.spawn().expect("memcached is needed: apt-get install memcached")
}

fn open(url: &str) -> MemcachedStore {
    let settings = url.parse().expect("a good URL");
    let (store, works) = MemcachedStore::new(settings, Arc::new(TokioClock::new())).expect("good settings");
    for work in works {
        if let Run::Task(task) = work.run {
            tokio::spawn(task);
        }
    }
    store
}

/// Keys read in a second through the store.
async fn read(store: &MemcachedStore, readers: usize, keys: usize) -> u64 {
    let begun = Instant::now();
    let readers: Vec<_> = (0..readers)
        .map(|reader| {
            let store = store.clone();
            tokio::spawn(async move {
                let names: Vec<String> =
                    (0..keys).map(|number| key((reader + number) % READERS.max(keys))).collect();
                let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
                let mut read = 0;
                while begun.elapsed() < TIME {
                    let answers = store.get(&names).await;
                    assert!(answers.iter().all(|answer| matches!(answer, Ok(Some(_)))), "all are there");
                    read += answers.len();
                }
                read
            })
        })
        .collect();
    let mut read = 0;
    for reader in readers {
        read += reader.await.expect("it reads");
    }
    (read as f64 / begun.elapsed().as_secs_f64()) as u64
}

/// The same with so many commands in each write.
async fn bare(address: SocketAddr, commands: usize) -> u64 {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a connection");
    let text: String =
        (0..commands).map(|number| format!("mg {} v f c\r\n", key(number % READERS))).collect();
    let mut buffer = vec![0; 64 * 1024];
    let (begun, mut read) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        stream.write_all(text.as_bytes()).await.expect("it takes commands");
        // The value holds no line end, so a reply has two.
        let mut lines = 0;
        while lines < 2 * commands {
            let length = stream.read(&mut buffer).await.expect("it answers");
            assert!(length > 0, "it stays");
            lines += buffer.iter().take(length).filter(|byte| **byte == b'\n').count();
        }
        read += commands;
    }
    (read as f64 / begun.elapsed().as_secs_f64()) as u64
}
