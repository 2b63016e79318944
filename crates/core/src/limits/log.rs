//! The bounds of the commit log.

use std::time::Duration;

/// Size of one log segment; also the bound of one record.
pub const SEGMENT_BYTES_DEFAULT: u32 = 16 * 1024 * 1024;
/// Records appended and not yet written; beyond it appends are refused as full.
pub const PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Disk for all segments unless configured otherwise. Publishes are refused as full before it is used up.
pub const DISK_BYTES_DEFAULT: u64 = 8 * 1024 * 1024 * 1024;
/// The share of the log's disk, one in so many, that publishes leave to the records that empty queues: deliveries,
/// settles, and live messages carried out of old segments.
pub const RESERVE_SHARE: u64 = 8;
/// The same in segments, for a small disk: those made ready ahead, what is garbage before it is worth carrying live
/// messages out of its way, and the copies of these.
pub const RESERVE_SEGMENTS_MIN: u64 = 8;
/// Fewest segments in use before live messages are carried out of the oldest one.
pub const CARRY_SEGMENTS_MIN: u64 = 4;
/// Fewest segments that a broker's disk must have room for: with less, publishes would be refused for ever.
pub const BROKER_SEGMENTS_MIN: u64 = RESERVE_SEGMENTS_MIN + CARRY_SEGMENTS_MIN;
/// Smallest segment that can be configured.
pub const SEGMENT_BYTES_MIN: u32 = 512;
/// Largest segment that can be configured: recovery reads one at a time into memory.
pub const SEGMENT_BYTES_MAX: u32 = 1024 * 1024 * 1024;
/// Segments made ready before they are needed; more of them while a batch waits that needs more.
pub const SEGMENTS_AHEAD: usize = 4;
/// Of these, the last that records which bring something new leave to others.
pub const SEGMENTS_LEFT_BY_NEW: usize = 2;
/// The last that steps towards freeing space leave to what frees it.
pub const SEGMENTS_LEFT_BY_STEPS: usize = 1;
/// Segments made ready when retired ones can be reused for it; more are removed.
pub const SEGMENTS_SPARE_MAX: usize = 5;
/// Batches of one class that wait for room in the log; further ones are refused as full.
pub const WAITERS_MAX: usize = 10_000;
/// Finished segments whose files are kept open for reading.
pub const SEGMENT_HANDLES_MAX: usize = 64;
/// How often something is tried again that the log refused because it was not ready, each time after it was.
pub const TRIES_MAX: u32 = 8;
/// Missing segments in a row that recovery replaces when it sets damage aside.
pub const SEGMENTS_MISSING_MAX: u64 = 64;
/// How long the log waits before it tries again to find room on a full disk.
pub const FULL_RETRY: Duration = Duration::from_millis(500);
/// The longest that the log holds a batch open for callers whose records have just become durable.
pub const GATHER_MAX: Duration = Duration::from_micros(100);
/// A written batch's buffer is kept for the next one up to this size.
pub const BATCH_BUFFER_BYTES_KEPT: usize = 4 * 1024 * 1024;
