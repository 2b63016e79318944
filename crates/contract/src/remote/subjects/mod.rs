//! One file per subject.

#![expect(missing_docs, reason = "the names are the promises")]
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod arithmetic;
pub mod failover;
pub mod fence;
pub mod fill;
pub mod get;
pub mod lease;
pub mod life;
pub mod locks;
pub mod negative;
pub mod tags;
pub mod write;
