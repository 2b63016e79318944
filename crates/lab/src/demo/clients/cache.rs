//! A small memcached client: meta commands over one connection, one command at a time.

use forebay_core::error::{Error, Kind, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use crate::demo::daemon::Addresses;
use crate::demo::limits;

/// The right to fill a key that was missing, good until the key is touched by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) struct Lease(u64);

/// What the cache knows of a key.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::demo) enum Lookup {
    /// Its value.
    Hit(Vec<u8>),
    /// Nothing, and we are the one to fill it.
    Won(Lease),
    /// Nothing, and somebody else is filling it.
    Taken,
}

/// A client of the daemon's memcached socket.
#[derive(Debug)]
pub(in crate::demo) struct CacheClient {
    addresses: watch::Receiver<Addresses>,
    connection: Option<BufReader<TcpStream>>,
    backoff: Backoff,
    request: Vec<u8>,
    /// Stands before every key.
    prefix: String,
}

/// One answer: its first line, and the value if it carries one.
struct Reply {
    line: String,
    value: Vec<u8>,
}

impl CacheClient {
    /// A client that connects when it is first used.
    pub(in crate::demo) fn new(addresses: watch::Receiver<Addresses>) -> Self {
        Self {
            addresses,
            connection: None,
            backoff: Backoff::new(),
            request: Vec::new(),
            prefix: String::new(),
        }
    }

    /// The same for the keys of one run: a shared store may have those of others.
    pub(in crate::demo) fn of_run(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Looks `key` up; for a missing key, one caller among all wins the lease to fill it.
    pub(in crate::demo) async fn look_up(&mut self, key: &str) -> Result<Lookup> {
        let vivify = limits::LEASE_TTL.as_secs();
        let reply = self.exchange(&[format!("mg {}{key} v c N{vivify}\r\n", self.prefix).as_bytes()]).await?;
        self.understood("look up key", key, read_lookup(reply))
    }

    /// Stores `value` if `lease` is still good. `false`: it was not, and nothing was stored.
    pub(in crate::demo) async fn fill(&mut self, key: &str, lease: Lease, value: &[u8]) -> Result<bool> {
        let ttl = limits::PAGE_TTL.as_secs();
        let head = format!("ms {}{key} {} C{} T{ttl}\r\n", self.prefix, value.len(), lease.0);
        let reply = self.exchange(&[head.as_bytes(), value, b"\r\n"]).await?;
        let stored = match reply.line.split(' ').next() {
            Some("HD") => Some(true),
            Some("EX" | "NF" | "NS") => Some(false),
            _ => None,
        };
        self.understood("fill key", key, stored)
    }

    /// Invalidates `key`. `Ok`: from now on nobody gets the value it had, and no lease given before can bring it back.
    pub(in crate::demo) async fn delete(&mut self, key: &str) -> Result<()> {
        let reply = self.exchange(&[format!("md {}{key}\r\n", self.prefix).as_bytes()]).await?;
        self.understood("invalidate key", key, matches!(reply.line.as_str(), "HD" | "NF").then_some(()))
    }

    /// Asks for a sign of life.
    pub(in crate::demo) async fn ping(&mut self) -> Result<()> {
        let reply = self.exchange(&[b"mn\r\n"]).await?;
        self.understood("ask", "cache", (reply.line == "MN").then_some(()))
    }

    /// Waits until the daemon may be tried again after a failed call.
    pub(in crate::demo) async fn rest(&self) {
        self.backoff.rest().await;
    }

    /// Sends one command and reads its answer. After an error the connection is gone: what it would say next could
    /// belong to the command that failed.
    async fn exchange(&mut self, request: &[&[u8]]) -> Result<Reply> {
        if self.backoff.lasts(Instant::now()) {
            return Err(away("left alone for a moment"));
        }
        self.request.clear();
        request.iter().for_each(|part| self.request.extend_from_slice(part));
        let (mut connection, address) = (self.connection.take(), self.addresses.borrow().memcached);
        let answered = timeout(limits::CACHE_ANSWER_MAX, async {
            let stream = match &mut connection {
                Some(stream) => stream,
                none => none.insert(BufReader::new(connect(address).await?)),
            };
            stream.get_mut().write_all(&self.request).await?;
            read_reply(stream).await
        });
        match answered.await {
            // Of a shared store that is slow or away; the connection stands.
            Ok(Ok(reply)) if reply.line.starts_with("SERVER_ERROR") => {
                self.connection = connection;
                self.backoff.failed(Instant::now());
                Err(away(&reply.line))
            }
            Ok(Ok(reply)) => {
                self.connection = connection;
                self.backoff.succeeded();
                Ok(reply)
            }
            Ok(Err(error)) => {
                self.backoff.failed(Instant::now());
                Err(away("").because(error))
            }
            Err(late) => {
                self.backoff.failed(Instant::now());
                Err(away("").because(late))
            }
        }
    }

    /// What was read from an answer, or, if it made no sense, an error and a new connection next time.
    fn understood<T>(&mut self, operation: &'static str, context: &str, read: Option<T>) -> Result<T> {
        if read.is_none() {
            self.connection = None;
        }
        read.ok_or_else(|| Error::new(Kind::Damaged, operation, format!("{context}: unexpected answer")))
    }
}

async fn connect(address: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn read_reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<Reply> {
    let mut line = Vec::new();
    let most = limits::CACHE_LINE_BYTES_MAX as u64;
    (&mut *stream).take(most).read_until(b'\n', &mut line).await?;
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    let line = String::from_utf8_lossy(text).into_owned();
    let mut value = Vec::new();
    if let Some(rest) = line.strip_prefix("VA ") {
        let bytes = rest.split(' ').next().and_then(|bytes| bytes.parse::<usize>().ok());
        let bytes = bytes.filter(|bytes| *bytes <= limits::CACHE_VALUE_BYTES_MAX);
        value.resize(bytes.ok_or(std::io::ErrorKind::InvalidData)? + 2, 0);
        stream.read_exact(&mut value).await?;
        value.truncate(value.len() - 2);
    }
    Ok(Reply { line, value })
}

fn read_lookup(reply: Reply) -> Option<Lookup> {
    let mut words = reply.line.split(' ');
    if words.next() != Some("VA") {
        return None;
    }
    let (mut cas, mut won, mut taken) = (None, false, false);
    for word in words.skip(1) {
        match word.split_at_checked(1) {
            Some(("c", number)) => cas = number.parse().ok(),
            Some(("W", "")) => won = true,
            Some(("Z", "")) => taken = true,
            _ => {}
        }
    }
    match (won, taken) {
        (true, _) => cas.map(|cas| Lookup::Won(Lease(cas))),
        (false, true) => Some(Lookup::Taken),
        (false, false) => Some(Lookup::Hit(reply.value)),
    }
}

fn away(how: &str) -> Error {
    Error::new(Kind::Unavailable, "ask cache", how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clients::scripted;

    async fn client(script: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> CacheClient {
        CacheClient::new(scripted::cache(script).await)
    }

    #[tokio::test]
    async fn a_lookup_is_a_hit_a_lease_or_taken() {
        let mut cache = client(|line| {
            Some(match line {
                "mg hit v c N30" => "VA 4 c7\r\npage\r\n".into(),
                "mg missing v c N30" => "VA 0 c12 W\r\n\r\n".into(),
                "mg filling v c N30" => "VA 0 c12 Z\r\n\r\n".into(),
                _ => "ERROR\r\n".into(),
            })
        })
        .await;
        assert_eq!(cache.look_up("hit").await.unwrap(), Lookup::Hit(b"page".to_vec()));
        assert_eq!(cache.look_up("missing").await.unwrap(), Lookup::Won(Lease(12)));
        assert_eq!(cache.look_up("filling").await.unwrap(), Lookup::Taken);
    }

    #[tokio::test]
    async fn a_fill_says_whether_its_lease_was_still_good() {
        let mut cache = client(|line| {
            Some(match line {
                "ms good 4 C12 T3600" => "HD\r\n".into(),
                "ms invalidated 4 C12 T3600" => "EX\r\n".into(),
                "ms deleted 4 C12 T3600" => "NF\r\n".into(),
                _ => "ERROR\r\n".into(),
            })
        })
        .await;
        assert!(cache.fill("good", Lease(12), b"page").await.unwrap());
        assert!(!cache.fill("invalidated", Lease(12), b"page").await.unwrap());
        assert!(!cache.fill("deleted", Lease(12), b"page").await.unwrap());
    }

    #[tokio::test]
    async fn an_invalidation_has_returned_only_with_an_answer_that_says_so() {
        let mut cache = client(|line| {
            Some(match line {
                "md there" => "HD\r\n".into(),
                "md absent" => "NF\r\n".into(),
                "md away" => "SERVER_ERROR the store is away\r\n".into(),
                _ => "EX\r\n".into(),
            })
        })
        .await;
        cache.delete("there").await.unwrap();
        cache.delete("absent").await.unwrap();
        let error = cache.delete("other").await.unwrap_err();
        assert_eq!(error.to_string(), "invalidate key other: unexpected answer: damaged");
        assert_eq!(cache.delete("away").await.unwrap_err().kind(), Kind::Unavailable, "to be tried again");
        cache.rest().await;
        cache.delete("there").await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_over_its_limits_is_refused() {
        let long = "x".repeat(limits::CACHE_LINE_BYTES_MAX);
        let mut cache = client(move |line| {
            Some(if line == "mn" { long.clone() + "\r\n" } else { "VA 999999 c1\r\n".into() })
        })
        .await;
        assert_eq!(cache.ping().await.unwrap_err().kind(), Kind::Unavailable);
        cache.rest().await;
        assert_eq!(cache.look_up("key").await.unwrap_err().kind(), Kind::Unavailable);
    }

    #[tokio::test]
    async fn a_cache_that_is_away_is_left_alone_for_a_moment_and_then_tried_again() {
        let mut cache = CacheClient::new(scripted::nobody().await);
        assert!(cache.ping().await.is_err());
        let error = cache.ping().await.unwrap_err();
        assert!(error.to_string().contains("left alone"), "{error}");
        cache.rest().await;
        let error = cache.ping().await.unwrap_err();
        assert!(!error.to_string().contains("left alone"), "{error}");
    }
}
