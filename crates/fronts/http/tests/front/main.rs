//! The front through real sockets, on the real engines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cache;
mod connections;
mod deliveries;
mod elsewhere;
mod messages;
mod process;
mod queues;
mod refusals;
mod served;
mod stalled;
