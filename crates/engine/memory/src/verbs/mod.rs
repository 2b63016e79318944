//! The verbs of the port, as one shard carries them out.

mod count;
pub mod decimal;
mod delete;
mod read;
mod walk;
mod write;
