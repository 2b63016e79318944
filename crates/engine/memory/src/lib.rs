//! The embedded memory store: [`Memory`] fills the port `LocalStore` within a fixed budget of bytes.
//!
//! A key's hash picks a shard, and a shard is one lock over a table of positions, the records they point to, and what
//! is known of removed versions: `memory` (the port, the shards) → `verbs` (one file each) → `shard` (find, insert,
//! overwrite, remove) → `evict` (S3-FIFO) and `records` (where entries lie: segments in the order of two queues, so
//! that evicting is walking through memory). Room is made in steps, between which others have the shard; so does `resize`
//! change the budget. `floor` is what makes leases safe; `sweep` drops what has expired.
//! `snapshot` writes it all out and takes it in again; `insight` knows what there is, what is read
//! most and who watches what is pushed out.

mod bucket;
mod evict;
mod floor;
mod ghost;
mod insight;
pub mod memory;
mod records;
mod resize;
mod shard;
mod snapshot;
pub mod sweep;
mod table;
mod verbs;

pub use memory::{Memory, MemoryOptions};
pub use resize::MemoryBudget;
pub use sweep::sweeper;
pub use verbs::decimal;
