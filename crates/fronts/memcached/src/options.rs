//! What can be chosen about the front.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use forebay_core::limits::memcached::BUFFERS_BYTES_DEFAULT;
use forebay_core::limits::{CONNECTIONS_DEFAULT, DRAIN_DEFAULT, VALUE_BYTES_MAX_DEFAULT};

use crate::access::users::Users;

/// More threads are had by asking for them.
const THREADS_DEFAULT_MAX: usize = 4;

/// Options of the front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to listen for TCP connections; port 0 takes a free one.
    pub tcp: Option<SocketAddr>,
    /// Where to make a unix socket.
    pub unix: Option<PathBuf>,
    /// 0 serves on the caller's runtime; any other number on as many threads of its own. The default is one for each core,
    /// and four at most (`docs/decisions/0003-server-loop.md`).
    pub threads: usize,
    /// Connections that may be open at once, of both kinds together.
    pub connections_max: usize,
    /// The largest item: key, value and memcached's overhead of some 60 bytes, as memcached's `-I`.
    pub value_bytes_max: usize,
    /// Memory for what all connections have half sent or half read. One value of the largest size always has room.
    pub buffers_bytes_max: usize,
    /// Who may come in, and with which password; `None` lets everybody in.
    pub users: Option<Arc<Users>>,
    /// How long a connection may say nothing before it is closed; `None` is for ever.
    pub idle: Option<Duration>,
    /// How long a stop waits for clients to take their answers.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tcp: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 11211))),
            unix: None,
            threads: thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_DEFAULT_MAX),
            connections_max: CONNECTIONS_DEFAULT,
            value_bytes_max: VALUE_BYTES_MAX_DEFAULT,
            buffers_bytes_max: BUFFERS_BYTES_DEFAULT,
            users: None,
            idle: None,
            drain: DRAIN_DEFAULT,
        }
    }
}
