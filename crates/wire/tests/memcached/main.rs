//! What the memcached parsers promise whatever the other side sends.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod answers;
mod corpus;
mod properties;
mod refusals;
mod replies;
mod stream;
