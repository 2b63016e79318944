//! The bounds of the memcached front.

use std::time::Duration;

/// A memcached command line whose end has not come.
pub const OPEN_LINE_BYTES_MAX: usize = 2048;
/// A memcached command line whose end has come: what memcached reads at once.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// A memcached `get` or `gets`, which may name thousands of keys.
pub const GET_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one connection that are read and answered before others have their turn.
pub const INPUT_BYTES: usize = 64 * 1024;
/// Half-read commands and half-sent answers of all memcached connections, unless configured otherwise. Beyond it a
/// value is refused, and a connection that does not take its answers ends.
pub const BUFFERS_BYTES_DEFAULT: usize = 128 * 1024 * 1024;
/// What a connection may have of either without its being counted.
pub const BUFFER_BYTES_FREE: usize = 64 * 1024;
/// Commands of a connection before it has said who it is; the next ends it.
pub const UNADMITTED_COMMANDS_MAX: usize = 64;
/// How long who has not said who it is, or is being seen off, may take nothing of what it is sent.
pub const TAKES_NOTHING_MAX: Duration = Duration::from_secs(10);
/// Users that may come in.
pub const USERS_MAX: usize = 1_000;
/// How often it is looked who has been silent for too long, at most.
pub const IDLE_LOOK_MIN: Duration = Duration::from_millis(10);
/// And at least.
pub const IDLE_LOOK_MAX: Duration = Duration::from_secs(1);
/// Connections that watch what happens, as with memcached.
pub const WATCHERS_MAX: usize = 20;
/// Events that one of them has not been sent: memcached's buffer for a watcher.
pub const WATCHER_BYTES_MAX: usize = 256 * 1024;
/// Keys of one memcached `get` that are answered before other connections have their turn.
pub const TURN_KEYS_MAX: usize = 1_000;
/// Connections that `stats conns` lists.
pub const CONNECTIONS_SHOWN_MAX: usize = 1_000;
