//! What to push out when the budget is reached: one file per policy tried.

mod ghost;
mod lru;
mod s3_fifo;
mod sieve;

pub use lru::Lru;
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;

use crate::slots::Slots;

/// Chooses the next entry to push out of a shard. It keeps its order through the entries' links and marks, so that it costs
/// no memory of its own per entry; weights are bytes.
pub trait Policy: Default + Send + 'static {
    /// A new entry is there.
    fn admitted(&mut self, slots: &mut Slots, index: u32, hash: u64);

    /// An entry was read or written.
    fn hit(&mut self, slots: &mut Slots, index: u32);

    /// An entry is about to go; `evicted` says that it was this policy's choice.
    fn removed(&mut self, slots: &mut Slots, index: u32, hash: u64, evicted: bool);

    /// The entry that had index `from` has index `to` now.
    fn moved(&mut self, slots: &mut Slots, from: u32, to: u32);

    /// An entry's weight has changed.
    fn reweighed(&mut self, slots: &Slots, index: u32, before: usize, after: usize);

    /// The entry that should go next; `None` only if there is none.
    fn victim(&mut self, slots: &mut Slots) -> Option<u32>;

    /// Bytes it has allocated.
    fn bytes(&self) -> usize;
}
