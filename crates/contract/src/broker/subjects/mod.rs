//! The cases, one file per subject. Their names are the promises.

#![expect(missing_docs, reason = "the names are the promises")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod dead_letter;
pub mod delay;
pub mod deliver;
pub mod ensure;
pub mod expired;
pub mod expiry;
mod operator;
pub mod publish;
pub mod restart;
mod sequence;
pub mod settings;
pub mod settle;
pub mod wait;

pub use operator::{admin, find, pause};
pub use sequence::{dedup, order, priority};
pub use settings::{newest, retain};
