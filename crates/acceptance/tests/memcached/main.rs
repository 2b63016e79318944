//! The memcached front, beside memcached.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod answers;
mod binary;
mod connections;
mod histories;
mod meta;
mod near;
mod stats;
mod streams;
mod watch;
