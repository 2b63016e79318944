//! The embedded memory store: [`Memory`] fills the port `LocalStore` within a fixed budget of bytes.
//!
//! A key's hash picks a shard, and a shard is one lock over a table, its entries and an eviction policy:
//! `memory` (the port, shards) → `shard` (find, insert, remove, make room) ← one file per verb (`read`, `write`,
//! `delete`, `count`, `sweep`). `slot` and `slots` are the layout, `floor` is what makes leases safe, `policy` chooses
//! what to push out.

mod count;
mod decimal;
mod delete;
mod floor;
pub mod memory;
pub mod policy;
mod read;
mod shard;
mod slot;
pub mod slots;
pub mod sweep;
mod write;

pub use memory::{Memory, MemoryOptions};
pub use sweep::sweeper;
