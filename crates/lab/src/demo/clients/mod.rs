//! Our own small clients of the daemon, written as a user's program would be: its cache, its queue.
//!
//! Both keep one connection, make a new one when it broke, and leave a daemon that is away alone for a moment
//! instead of making every caller wait for it.

pub(super) mod backoff;
pub(super) mod cache;
pub(super) mod queue;
#[cfg(test)]
pub(super) mod scripted;
