//! A cache that answers from a script, and an HTTP front with one answer: for the tests of whoever speaks to the daemon.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::demo::daemon::Addresses;

/// An address at which there is nothing but the cache, if there is one.
const NOTHING: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Starts a cache that answers the first line of a command; `None` closes the connection instead. It ends with the
/// test's runtime.
pub(in crate::demo) async fn cache(
    script: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> watch::Receiver<Addresses> {
    let (memcached, script) = (listen().await, Arc::new(script));
    let addresses = Addresses { memcached: address(&memcached), amqp: NOTHING, http: NOTHING };
    tokio::spawn(async move {
        while let Ok((stream, _)) = memcached.accept().await {
            tokio::spawn(play_cache(stream, script.clone()));
        }
    });
    watch::channel(addresses).1
}

/// Starts an HTTP server that gives this answer to everything, once for each connection.
pub(in crate::demo) async fn http(status: u16, body: &'static str) -> SocketAddr {
    let listener = listen().await;
    let address = address(&listener);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > "\r\n".len()) {
                line.clear();
            }
            let answer = format!("HTTP/1.1 {status} .\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// Addresses at which nobody listens.
pub(in crate::demo) async fn nobody() -> watch::Receiver<Addresses> {
    let (memcached, amqp, http) = (listen().await, listen().await, listen().await);
    let addresses = Addresses { memcached: address(&memcached), amqp: address(&amqp), http: address(&http) };
    watch::channel(addresses).1
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

async fn play_cache<S: Fn(&str) -> Option<String>>(stream: TcpStream, script: Arc<S>) {
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
