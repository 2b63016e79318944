//! A write-behind over the embedded engines, in simulated time, with a source that stalls and fails as the test says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ends;
mod model;
mod restart;
mod scene;
mod writes;
