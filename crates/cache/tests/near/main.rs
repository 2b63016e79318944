//! Near caches and the store of a process that is alone, over models and the real memory, in simulated time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod ages;
mod contract;
mod copies;
mod step;
