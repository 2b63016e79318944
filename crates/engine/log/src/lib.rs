//! The embedded commit log: one ordered, checksummed, group-committed record of everything that was confirmed.
//!
//! A map of the crate, from the outside in:
//! - [`log`]: the handle that callers hold; [`options`]: what can be set; [`durable`]: waiting for a record to be safe
//! - [`recover`]: opening, replaying, cutting a torn tail, refusing damage
//! - [`append`]: which records may use the last space, and waiting for some; the open batch
//! - `state`: where the next record goes; `read`: finding one again
//! - `writer`: the one place that writes and syncs; `prepare`: new segments ahead of need, recycled ones
//! - [`format`](mod@format): the bytes on disk; `segment`: the files; [`disk`]: the real directory

pub mod append;
pub mod disk;
pub mod durable;
pub mod format;
pub mod log;
pub mod options;
mod prepare;
mod read;
pub mod recover;
mod segment;
mod state;
mod writer;

pub use append::room::{Class, Room};
pub use disk::Disk;
pub use durable::Durable;
pub use log::{Log, Position, Record};
pub use options::{Damaged, LogOptions};
pub use recover::open::{Opened, Recovered, open};
pub use state::Beside;
