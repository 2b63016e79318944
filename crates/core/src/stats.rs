//! Counters as plain values: filled by engines and fronts, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The state of a store at one moment. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Entries that are there, expired ones not yet swept included.
    pub items: u64,
    /// Bytes they take, keys and overhead included.
    pub bytes: u64,
    /// The budget for `bytes`.
    pub bytes_max: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Writes that stored.
    pub writes: u64,
    /// Entries ever created.
    pub items_created: u64,
    /// Entries pushed out to make room, or because the budget became smaller.
    pub evicted: u64,
    /// Of those, for a smaller budget.
    pub evicted_by_resize: u64,
    /// Of those, never read.
    pub evicted_unread: u64,
    /// Entries dropped because their time was over.
    pub expired: u64,
    /// Entries dropped because everything was.
    pub flushed: u64,
    /// Entries taken out because somebody asked for it, or wrote what cannot be kept.
    pub removed: u64,
    /// Values that gave way to another one under the same key.
    pub replaced: u64,
    /// Fills refused because the lease was no longer good.
    pub fills_refused: u64,
}

/// What a store is full of, and what is read most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreDetail {
    /// Entries by size, the smallest first; classes without any are left out.
    pub classes: Vec<SizeClass>,
    /// The keys that were read most of late, from a sample; the first one most.
    pub top: Vec<TopKey>,
}

/// Entries whose key and value together are of about one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// The largest; the next smaller class has half of it.
    pub bytes_max: u64,
    /// How many there are.
    pub items: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// A key that is read often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopKey {
    /// The key.
    pub key: Vec<u8>,
    /// Reads that found it, as a sample has it. Older ones count less.
    pub reads: u64,
    /// So many of them may have been reads of other keys.
    pub reads_error: u64,
}

/// The state of the commit log. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Records appended.
    pub records: u64,
    /// Bytes appended.
    pub bytes: u64,
    /// Completed syncs.
    pub syncs: u64,
    /// Nanoseconds spent in them.
    pub sync_ns: u64,
    /// Bytes appended and not yet durable.
    pub pending_bytes: u64,
    /// Segments in use.
    pub segments: u64,
    /// Their bytes on disk, spare ones included.
    pub disk_bytes: u64,
    /// The budget for `disk_bytes`.
    pub disk_bytes_max: u64,
    /// True after a failed write or sync.
    pub poisoned: bool,
    /// True while appends are refused for want of space.
    pub full: bool,
    /// Damaged stretches found in segments in use, which keep these from being freed.
    pub damaged: u64,
}

/// The state of one queue. Counts are since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Waiting to be delivered.
    pub ready: u64,
    /// In consumers' hands.
    pub held: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Age of the oldest ready message in milliseconds.
    pub oldest_ms: u64,
    /// Messages taken in.
    pub published: u64,
    /// Deliveries handed out.
    pub delivered: u64,
    /// Deliveries acknowledged.
    pub acked: u64,
    /// Deliveries that failed or whose hold ran out, and were scheduled again.
    pub retried: u64,
    /// Messages that left as dead letters.
    pub dead_lettered: u64,
    /// Messages dropped by `drop_head`, or expired without a dead-letter queue.
    pub dropped: u64,
}

/// Connections of one front.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
}

impl ConnectionStats {
    /// One more is open.
    pub fn open(&self) {
        self.opened.fetch_add(1, Relaxed);
    }

    /// One less is open.
    pub fn close(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// One was turned away at the limit.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Open now.
    pub fn current(&self) -> u64 {
        self.opened.load(Relaxed).saturating_sub(self.closed.load(Relaxed))
    }

    /// Ever opened.
    pub fn total(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    /// Ever turned away.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}
