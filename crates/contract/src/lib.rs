//! The suites that every store and broker must pass.

pub mod store;
