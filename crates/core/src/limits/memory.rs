//! The bounds of memory in this process: the store, its snapshots, pinned results, and what each leaves to the others.

use std::time::Duration;

/// Memory for cached entries, keys and overhead included, unless configured otherwise.
pub const BYTES_DEFAULT: usize = 256 * 1024 * 1024;
/// Smallest memory budget: below it a shard could not hold one entry.
pub const BYTES_MIN: usize = 1024 * 1024;
/// Entries that one background sweep may look at before it rests; and those of one segment more, which it does not leave half
/// looked at.
pub const SWEEP_ENTRIES_MAX: usize = 3_000;
/// Entries that one background sweep drops before it rests, and those of one more hold of a shard.
pub const SWEEP_DROPPED_MAX: usize = 1_000;
/// Entries that a sweep drops before it lets others have the shard for a moment.
pub const SWEEP_HOLD_DROPPED_MAX: usize = 256;
/// Candidates for the keys that are read most.
pub const TOP_KEYS: usize = 128;
/// Of these, how many are shown.
pub const TOP_SHOWN_MAX: usize = 32;
/// Every so many reads of a shard one is looked at for that, once there were many.
pub const SAMPLE_READS: u64 = 512;
/// After such a time a read counts half as much for that.
pub const TOP_FADE: Duration = Duration::from_secs(60);
/// Bytes of a snapshot of the store that are put together before they are written; the last entry of them may be longer.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;
/// Shards of the memory store.
pub const SHARDS_MAX: usize = 1024;
/// Smallest shard, unless the whole budget is smaller; a shard also has room for several of the largest values.
pub const SHARD_BYTES_MIN: usize = 1024 * 1024;
/// Smallest segment of a shard; there are up to 256 of them before they grow.
pub const SEGMENT_BYTES_MIN: usize = 4 * 1024;
/// Largest segment of a shard.
pub const SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Groups of keys in one shard that share what is known of removed versions.
pub const LEASE_STRIPES: usize = 256;
/// Memory for pinned results, keys and overhead included, unless configured otherwise.
pub const PINNED_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
/// Prefixes whose keys are pinned results.
pub const PINNED_PREFIXES_MAX: usize = 64;
/// Groups of pinned keys that share what is known of removed versions.
pub const PINNED_LEASE_STRIPES: usize = 4_096;
/// Changes of pinned results that are written together, in bytes; one larger than that is written alone.
pub const PINNED_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The same in records.
pub const PINNED_BATCH_RECORDS_MAX: usize = 4_096;
/// Smallest file of the log of pinned results.
pub const PINNED_SEGMENT_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// Files that the log of pinned results has beyond twice what is in it, before old ones are emptied.
pub const PINNED_SEGMENTS_SLACK: u64 = 4;
/// Files that it may have beyond twice its memory: those, and what a log keeps ready and in reserve.
pub const PINNED_SEGMENTS_BEYOND: u64 = 32;
/// How long the log of pinned results rests after the disk had no room for it.
pub const PINNED_RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often pinned results whose time is over are looked for.
pub const PINNED_SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// Entries that one write may spare while it makes room; then the oldest go, used or not.
pub const SPARED_MAX: usize = 1024;
/// Entries that a write pushes out before it lets others have the shard for a moment, and goes on.
pub const EVICTED_MAX: usize = 4_096;
/// Bytes that a write moves about before it lets others have the shard for a moment, and goes on.
pub const MOVED_BYTES_MAX: usize = 256 * 1024;
/// How often a write takes the shard to make room, and how much more often for each mebibyte of it; then it is refused.
pub const HOLDS_MAX: usize = 256;
/// What a shard's budget shrinks by before others have the shard for a moment.
pub const SHRINK_STEP_BYTES: usize = 64 * 1024;
/// Memory for the entries of queues that is added to what cache and payloads were given, unless a total was set: room for
/// about ten million messages.
pub const QUEUE_ENTRIES_BYTES_DEFAULT: u64 = 704 * 1024 * 1024;
/// The share of its budget, one in so many, that pressure leaves to the cache.
pub const CACHE_FLOOR_SHARE: u64 = 4;
/// The share of the total, one in so many, that must be free again before the governor takes a measure back.
pub const GOVERNOR_SLACK_SHARE: u64 = 32;
/// The steps in which the governor moves the cache's budget.
pub const GOVERNOR_CACHE_STEPS: u64 = 32;
/// How many of these steps the cache shrinks by at a time.
pub const GOVERNOR_SHRINK_STEPS_MAX: u64 = 4;
/// The pause between two looks of the governor.
pub const GOVERNOR_PAUSE: Duration = Duration::from_millis(100);
/// The governor rests at least so many times as long as it has looked.
pub const GOVERNOR_REST_FACTOR: u32 = 20;
