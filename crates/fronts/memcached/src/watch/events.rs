//! What is told of: reads and writes of one connection, what is pushed out, who comes and goes.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use forebay_core::entry::{Condition, Expiry, Mode, View, Write as Change, Written};
use forebay_core::ports::local_store::EvictionWatcher;
use forebay_core::time::Instant;

use super::line::key as write_key;
use super::log::{Kind, Kinds, WatchLog};
use crate::expiry::seconds_left;
use crate::serve::peers::Origin;

/// The events of one turn of one connection.
#[derive(Clone, Copy)]
pub(crate) struct Events<'a> {
    log: &'a WatchLog,
    /// What was wanted when the turn began.
    wanted: Kinds,
    connection: u64,
}

/// An entry as it was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) bytes: usize,
    pub(crate) expires_at: Expiry,
}

impl<'a> Events<'a> {
    pub(crate) fn new(log: &'a WatchLog, connection: u64) -> Self {
        Self { log, wanted: log.wanted(), connection }
    }

    /// Whether nobody wants to know of reads and writes.
    pub(crate) fn is_unwatched(self) -> bool {
        !self.tells_reads() && !self.wanted.has(Kind::Mutation)
    }

    /// Whether somebody wants to know of reads.
    pub(crate) fn tells_reads(self) -> bool {
        self.wanted.has(Kind::Fetch)
    }

    /// A key was looked up.
    pub(crate) fn fetched(self, key: &[u8], seen: Option<Seen>, now: Instant) {
        self.log.tell(Kind::Fetch, now, |line| {
            line.extend_from_slice(b"type=item_get key=");
            write_key(line, key);
            let (status, class) = if seen.is_some() { ("found", 1) } else { ("not_found", 0) };
            let bytes = seen.map_or(0, |seen| seen.bytes);
            let _ = write!(line, " status={status} clsid={class} cfd={} size={bytes}", self.connection);
        });
    }

    /// A value was written, or was not.
    pub(crate) fn stored(
        self,
        key: &[u8],
        value: usize,
        change: Change,
        before: Option<Seen>,
        written: Written,
    ) {
        let extends = matches!(change.mode, Mode::Append | Mode::Prepend) && written_is(written);
        let (bytes, end) = match before {
            Some(before) if extends => (before.bytes + value, before.expires_at),
            _ => (value, change.expires_at),
        };
        self.mutated(key, (status(written), verb(change)), end, bytes, change.now);
    }

    /// A value was refused for its size.
    pub(crate) fn too_large(self, key: &[u8], now: Instant) {
        self.mutated(key, ("too_large", "set"), None, 0, now);
    }

    /// A counter was made.
    pub(crate) fn counter_made(self, key: &[u8], bytes: usize, end: Expiry, now: Instant) {
        self.mutated(key, ("stored", "add"), end, bytes, now);
    }

    fn mutated(self, key: &[u8], (status, verb): (&str, &str), end: Expiry, bytes: usize, now: Instant) {
        self.log.tell(Kind::Mutation, now, |line| {
            line.extend_from_slice(b"type=item_store key=");
            write_key(line, key);
            let ttl = if end.is_some() { seconds_left(end, now) } else { 0 };
            let connection = self.connection;
            let _ =
                write!(line, " status={status} cmd={verb} ttl={ttl} clsid=1 cfd={connection} size={bytes}");
        });
    }
}

fn written_is(written: Written) -> bool {
    matches!(written, Written::Stored(_))
}

fn status(written: Written) -> &'static str {
    match written {
        Written::Stored(_) => "stored",
        Written::NotStored => "not_stored",
        Written::Exists => "exists",
        Written::NotFound => "not_found",
        Written::TooLarge => "too_large",
        Written::NoRoom => "no_memory",
    }
}

fn verb(change: Change) -> &'static str {
    match (change.mode, change.condition) {
        (_, Condition::Version(_)) => "cas",
        (Mode::Set, _) => "set",
        (Mode::Add, _) => "add",
        (Mode::Replace, _) => "replace",
        (Mode::Append, _) => "append",
        (Mode::Prepend, _) => "prepend",
    }
}

/// Tells of what the store pushes out.
pub(crate) struct Evictions(pub(crate) Arc<WatchLog>);

impl EvictionWatcher for Evictions {
    fn evicted(&self, key: &[u8], view: View<'_>, now: Instant) {
        self.0.tell(Kind::Eviction, now, |line| {
            line.extend_from_slice(b"type=eviction key=");
            write_key(line, key);
            let fetched = if view.read_before { "yes" } else { "no" };
            let ttl = seconds_left(view.expires_at, now);
            let unused = now.since(view.accessed_at).as_secs();
            let bytes = view.value.len();
            let _ = write!(line, " fetch={fetched} ttl={ttl} la={unused} clsid=1 size={bytes}");
        });
    }
}

/// A connection has come, or has gone for a `reason`.
pub(crate) fn connection(log: &WatchLog, origin: Origin, id: u64, reason: Option<&str>, now: Instant) {
    log.tell(Kind::Connection, now, |line| {
        let kind = if reason.is_some() { "conn_close" } else { "conn_new" };
        let (address, port, transport) = match origin {
            Origin::Tcp { remote, .. } => (ip(remote), remote.port(), "tcp"),
            Origin::Unix => ("unix".to_owned(), 0, "local"),
        };
        let _ = write!(line, "type={kind} rip={address} rport={port} transport={transport}");
        if let Some(reason) = reason {
            let _ = write!(line, " reason={reason}");
        }
        let _ = write!(line, " cfd={id}");
    });
}

fn ip(address: SocketAddr) -> String {
    address.ip().to_string()
}
