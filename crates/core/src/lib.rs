//! Forebay's model, ports, errors and limits: what every other crate agrees on.
//!
//! There is no socket, file, clock, thread or wire format here, and no foreign type in a public signature.

pub mod delivery;
pub mod entry;
pub mod error;
pub mod health;
pub mod limits;
pub mod message;
pub mod payload;
pub mod ports;
pub mod pressure;
pub mod queue;
pub mod stats;
pub mod time;
pub mod units;
