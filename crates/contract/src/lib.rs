//! The suites that every store and broker must pass.
