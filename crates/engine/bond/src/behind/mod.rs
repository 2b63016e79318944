//! Writing behind: a write is confirmed when a queue has it, seen by readers at once, and brought to the source by a worker.
//!
//! - [`handle`]: what a program holds: put, delete, get
//! - [`options`]: how it works, and the settings of its queue
//! - `letter`: a write as a message of the queue
//! - `table`: the writes that the source has not yet, which readers are shown
//! - `deliver`: a write on its way from the queue to the source
//! - `check`: what the queue has: the table after a restart, and writes that have left unseen
//! - [`names`]: of one name there is one at a time

mod check;
mod deliver;
pub mod handle;
mod letter;
pub mod names;
pub mod options;
mod table;

pub use handle::{Joined, WriteBehind};
pub use letter::SourceWrite;
pub use names::Names;
pub use options::{WriteBehindOptions, WriteBehindStats};
