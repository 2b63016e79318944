//! The suites that every store and broker must pass.

pub mod broker;
pub mod clock;
pub mod runner;
pub mod store;
