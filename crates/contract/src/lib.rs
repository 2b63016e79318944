//! The suites that every store and broker must pass.

pub mod files;
pub mod files_suite;
pub mod random;
