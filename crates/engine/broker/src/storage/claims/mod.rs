//! Payloads too large for the log: each in a file of its own, to which the log has a claim.
//!
//! - [`mod@file`]: the bytes on disk, written, read and removed
//! - [`ledger`]: which message has which claim, what the files take, and which are to go
//! - [`space`]: what they take of the log's disk
//! - [`desk`]: where callers wait while one thread writes and another reads
//! - [`sweep`]: opening: what is claimed must be there, and what nobody claims goes

pub(crate) mod desk;
pub(crate) mod file;
pub(crate) mod ledger;
pub(crate) mod space;
pub(crate) mod sweep;

#[cfg(test)]
mod tests;
