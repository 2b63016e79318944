//! The suites that every store, broker and file port must pass, and the saboteurs that stand in for a bad day.

pub mod broker;
pub mod bus;
pub mod clock;
pub mod files;
pub mod files_suite;
pub mod model_broker;
pub mod random;
pub mod runner;
pub mod saboteur;
pub mod store;
pub mod torture;
