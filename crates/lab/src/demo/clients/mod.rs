//! Our own small clients of the daemon, written as a user's program would be: its cache and its queue.
//!
//! `cache` speaks memcached; `outgoing` and `incoming` speak AMQP through `session`, and `orders` does the same over `http`:
//! `way` is which of them; `depth` asks how much is left. Each keeps one connection, makes a new one when it broke, and leaves a daemon that is away alone for a moment
//! instead of making every caller wait for it.

pub(super) mod backoff;
pub(super) mod cache;
mod depth;
#[cfg(test)]
mod front;
mod http;
mod incoming;
mod orders;
mod outgoing;
#[cfg(test)]
pub(super) mod scripted;
mod session;
pub(super) mod way;
