//! Our own small clients of the daemon, written as a user's program would be: its cache and its queue.
//!
//! `cache` speaks memcached; `outgoing` and `incoming` speak AMQP through `session`; `depth` asks over HTTP how much is
//! left. Each keeps one connection, makes a new one when it broke, and leaves a daemon that is away alone for a moment
//! instead of making every caller wait for it.

pub(super) mod backoff;
pub(super) mod cache;
pub(super) mod depth;
#[cfg(test)]
mod front;
pub(super) mod incoming;
pub(super) mod outgoing;
#[cfg(test)]
pub(super) mod scripted;
pub(super) mod session;
