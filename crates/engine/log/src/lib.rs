//! The embedded commit log.
