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
    /// Of those, how many found one whose time was over.
    pub misses_expired: u64,
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
    /// Of those, never read.
    pub expired_unread: u64,
    /// Entries dropped because everything was.
    pub flushed: u64,
    /// Entries taken out because somebody asked for it, or wrote what cannot be kept.
    pub removed: u64,
    /// Values that gave way to another one under the same key.
    pub replaced: u64,
    /// Fills refused because the lease was no longer good.
    pub fills_refused: u64,
}

/// What the reads of one cache came to. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Reads that found a fresh value.
    pub hits: u64,
    /// Reads that found neither a value that could be served nor a remembered absence.
    pub misses: u64,
    /// Reads that found it remembered that the source has no value.
    pub negative_hits: u64,
    /// Reads that were served a value past its fresh time.
    pub stale_served: u64,
    /// Times the source was asked; a batch counts once.
    pub loads: u64,
    /// Of those, how many failed, time-outs included.
    pub load_failures: u64,
    /// Loads given up at the hard time-out, those whose turn had not come included.
    pub load_timeouts: u64,
    /// Milliseconds that all finished loads took together.
    pub load_ms: u64,
    /// Loads begun in the background because a value was stale or about to be.
    pub refreshes: u64,
    /// Reads of keys that the guard knows the source not to have.
    pub refused_by_guard: u64,
    /// Loads that a circuit breaker refused.
    pub refused_by_breaker: u64,
    /// Loads refused because too many waited for their turn.
    pub refused_by_budget: u64,
    /// Absent keys not remembered because too many were.
    pub negatives_dropped: u64,
    /// Callers that wait for a load at this moment.
    pub waiting: u64,
}

impl ReadStats {
    /// The share of reads that needed no load, 0.0 to 1.0; 0.0 before the first read.
    ///
    /// ```
    /// use forebay_core::stats::ReadStats;
    ///
    /// let reads = ReadStats { hits: 3, misses: 1, ..ReadStats::default() };
    /// assert_eq!(reads.hit_ratio(), 0.75);
    /// ```
    pub fn hit_ratio(&self) -> f64 {
        let without_load = self.hits + self.negative_hits + self.stale_served;
        match without_load + self.misses {
            0 => 0.0,
            all => without_load as f64 / all as f64,
        }
    }
}

/// The state of a cache: its store, which others may share, and its own reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// The store.
    pub store: StoreStats,
    /// The reads.
    pub reads: ReadStats,
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
    /// Their bytes on disk, spare ones and files beside the log included.
    pub disk_bytes: u64,
    /// The budget for `disk_bytes`.
    pub disk_bytes_max: u64,
    /// True after a failed write or sync.
    pub poisoned: bool,
    /// True while appends are refused for want of space.
    pub full: bool,
    /// Damaged stretches found in segments in use, which keep these from being freed, and damaged files beside the log.
    pub damaged: u64,
}

/// The state of pinned results. Counts are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinnedStats {
    /// Results that are there, expired ones not yet swept included.
    pub items: u64,
    /// Bytes they take, keys and overhead included.
    pub bytes: u64,
    /// The budget for `bytes`.
    pub bytes_max: u64,
    /// Writes refused for want of room, in the budget or on the disk.
    pub refused: u64,
    /// Results dropped because their time was over.
    pub expired: u64,
    /// The log they are in.
    pub log: LogStats,
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
    /// Messages not taken again, because their dedup id was taken within the queue's window.
    pub repeated: u64,
    /// Dedup ids forgotten before the end of the window, because there were too many.
    pub dedup_forgotten: u64,
    /// Finished messages that are retained to be read again.
    pub retained: u64,
    /// Finished messages that were forgotten before their time, because new ones needed their space.
    pub retained_dropped: u64,
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
