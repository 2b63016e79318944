//! The suites that every store and broker must pass.

pub mod broker;
pub mod clock;
pub mod files;
pub mod files_suite;
pub mod random;
pub mod runner;
pub mod store;
