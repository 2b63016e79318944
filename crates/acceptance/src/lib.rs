//! Real clients and servers for the tests in `tests/`: starting them, finding them, ending them.
//!
//! Everything here may panic: a test that cannot start its parts has failed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod amqp;
pub mod busy;
pub mod client;
pub mod daemon;
pub mod front;
pub mod memcached;
pub mod programs;
pub mod queue;
pub mod random;
pub mod raw;
