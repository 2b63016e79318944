//! What is known of one segment: a stretch of a shard's region that records are appended to until it is full.

use super::queue::QueueName;

/// A segment, without its bytes: those are where its number says.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// The queue it belongs to; `None` while it is free.
    pub(crate) queue: Option<QueueName>,
    /// Where the next record goes.
    pub(crate) end: u32,
    /// Bytes of the records that are entries.
    pub(crate) live: u32,
    /// No entry in here ends before this, in milliseconds; it may be earlier than the first end.
    pub(crate) due_ms: u64,
}

impl Segment {
    /// One that nobody uses.
    pub(crate) const FREE: Self = Self { queue: None, end: 0, live: 0, due_ms: u64::MAX };

    /// One that nothing has been written to.
    pub(crate) fn empty(queue: QueueName) -> Self {
        Self { queue: Some(queue), ..Self::FREE }
    }
}
