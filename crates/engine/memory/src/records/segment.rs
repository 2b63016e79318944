//! One segment: a block that records are appended to until it is full.

use super::queue::QueueName;
use super::region::BlockId;

/// A segment, without its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) block: BlockId,
    pub(crate) queue: QueueName,
    /// Where the next record goes.
    pub(crate) end: u32,
    /// Bytes of the records that are entries.
    pub(crate) live: u32,
    /// No entry in here ends before this, in milliseconds; it may be earlier than the first end.
    pub(crate) due_ms: u64,
}

impl Segment {
    pub(crate) fn new(queue: QueueName, block: BlockId) -> Self {
        Self { block, queue, end: 0, live: 0, due_ms: u64::MAX }
    }

    /// Forgets its records, all of them dead, and starts over.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.queue, self.block);
    }
}
