//! SQS keeps what every broker promises, on moto's server, which speaks as SQS does.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broker;
mod faults;
mod gate;
mod ground;
mod kept;
mod moto;
