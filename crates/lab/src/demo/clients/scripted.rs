//! A cache and a queue that answer from a script: for the tests of whoever speaks to the daemon.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::demo::daemon::Addresses;

/// Answers the first line of a command; `None` closes the connection instead.
pub(in crate::demo) type CacheScript = dyn Fn(&str) -> Option<String> + Send + Sync;
/// Answers `METHOD PATH` and a body with a status and a body; `None` closes the connection instead.
pub(in crate::demo) type QueueScript = dyn Fn(&str, &str) -> Option<(u16, String)> + Send + Sync;

/// Starts both; they end with the test's runtime.
pub(in crate::demo) async fn daemon(
    cache: Arc<CacheScript>,
    queue: Arc<QueueScript>,
) -> watch::Receiver<Addresses> {
    let (memcached, http) = (listen().await, listen().await);
    let addresses = Addresses { memcached: address(&memcached), http: address(&http) };
    tokio::spawn(async move {
        while let Ok((stream, _)) = memcached.accept().await {
            tokio::spawn(play_cache(stream, cache.clone()));
        }
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = http.accept().await {
            tokio::spawn(play_queue(stream, queue.clone()));
        }
    });
    watch::channel(addresses).1
}

/// Addresses at which nobody listens.
pub(in crate::demo) async fn nobody() -> watch::Receiver<Addresses> {
    let (memcached, http) = (listen().await, listen().await);
    watch::channel(Addresses { memcached: address(&memcached), http: address(&http) }).1
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

async fn play_cache(stream: TcpStream, script: Arc<CacheScript>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        if let Some(rest) = line.strip_prefix("ms ") {
            let bytes: usize = rest.split(' ').nth(1).unwrap().parse().unwrap();
            stream.read_exact(&mut vec![0; bytes + 2]).await.unwrap();
        }
        let Some(answer) = script(line.trim_end()) else { return };
        stream.write_all(answer.as_bytes()).await.unwrap();
        line.clear();
    }
}

async fn play_queue(stream: TcpStream, script: Arc<QueueScript>) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    while stream.read_line(&mut first).await.is_ok_and(|bytes| bytes > 0) {
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await.unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(bytes) = header.to_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let request = first.trim_end().trim_end_matches(" HTTP/1.1");
        let Some((status, answer)) = script(request, &String::from_utf8(body).unwrap()) else { return };
        let head = format!("HTTP/1.1 {status} .\r\ncontent-length: {}\r\n\r\n", answer.len());
        let head = if status == 204 { "HTTP/1.1 204 .\r\n\r\n".to_string() } else { head };
        stream.write_all((head + &answer).as_bytes()).await.unwrap();
        first.clear();
    }
}
