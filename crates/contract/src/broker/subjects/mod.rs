//! The cases, one file per subject. Their names are the promises.

#![expect(missing_docs, reason = "the names are the promises")]
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]

pub mod admin;
pub mod dead_letter;
pub mod dedup;
pub mod delay;
pub mod deliver;
pub mod ensure;
pub mod expired;
pub mod expiry;
pub mod find;
pub mod order;
pub mod pause;
pub mod priority;
pub mod publish;
pub mod restart;
pub mod settings;
pub mod settle;
pub mod wait;

pub use settings::{newest, retain};
