//! The suites and faults on real servers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broker;
mod bus;
mod cluster;
mod edges;
mod faults;
mod ground;
mod histories;
mod processes;
mod sentinel;
mod store;
mod together;
