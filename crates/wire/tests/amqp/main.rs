//! What the AMQP codec promises whatever a peer sends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod contents;
mod corpus;
mod golden;
mod mutations;
mod properties;
mod refusals;
mod samples;
mod stream;
mod tables;
mod walk;
