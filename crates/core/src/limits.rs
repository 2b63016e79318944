//! Every bound in one table. A new list, queue, loop or wait brings its line here and a test at the limit.
//!
//! Names end in their unit. `_DEFAULT` can be configured, everything else is fixed.

use std::time::Duration;

/// Longest cache key, as memcached has it.
pub const KEY_BYTES_MAX: usize = 250;
/// Largest cached value unless configured otherwise.
pub const VALUE_BYTES_MAX_DEFAULT: usize = 1024 * 1024;
/// Largest value that can be configured: a value is one allocation and one reply.
pub const VALUE_BYTES_MAX_CEILING: usize = 128 * 1024 * 1024;
/// Memory for cached entries, keys and overhead included, unless configured otherwise.
pub const MEMORY_BYTES_DEFAULT: usize = 256 * 1024 * 1024;
/// Smallest memory budget: below it a shard could not hold one entry.
pub const MEMORY_BYTES_MIN: usize = 1024 * 1024;
/// Entries that one background sweep may look at before it lets go of a shard: those of one segment.
pub const SWEEP_ENTRIES_MAX: usize = 3_000;
/// Shards of the memory store.
pub const MEMORY_SHARDS_MAX: usize = 4096;
/// Smallest shard, unless the whole budget is smaller; a shard also has room for several of the largest values.
pub const MEMORY_SHARD_BYTES_MIN: usize = 1024 * 1024;
/// Smallest segment of a shard; there are up to 256 of them before they grow.
pub const MEMORY_SEGMENT_BYTES_MIN: usize = 4 * 1024;
/// Largest segment of a shard.
pub const MEMORY_SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Groups of keys in one shard that share what is known of removed versions.
pub const MEMORY_LEASE_STRIPES: usize = 256;
/// Entries that one write may spare while it makes room; then the oldest go, used or not.
pub const MEMORY_SPARED_MAX: usize = 1024;
/// Keys that one cache loads at one time; beyond it a miss is refused as full.
pub const CACHE_FLIGHTS_MAX: usize = 10_000;
/// Callers that wait for the load of one key; beyond it a miss is refused as full.
pub const CACHE_WAITERS_MAX: usize = 100_000;

/// Longest queue name, as AMQP's short string has it.
pub const QUEUE_NAME_BYTES_MAX: usize = 255;
/// Longest message id, ordering key or content type.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 255;
/// Encoded headers of one message.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Tables and lists inside each other in one message's headers.
pub const HEADERS_DEPTH_MAX: usize = 32;
/// One message: payload and headers. Larger payloads go by reference.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Messages in one publish call.
pub const PUBLISH_MESSAGES_MAX: usize = 1_000;
/// Deliveries handed out by one receive call.
pub const RECEIVE_DELIVERIES_MAX: usize = 1_000;
/// Entries in a dead letter's history; the oldest give way, the count of each goes on.
pub const HISTORY_ENTRIES_MAX: usize = 16;
/// Queues in one broker.
pub const QUEUES_MAX: usize = 100_000;
/// Ready, delayed and held messages of one queue unless its settings say otherwise.
pub const QUEUE_LENGTH_DEFAULT: u64 = 10_000_000;
/// Payload bytes that all queues keep in memory; the rest is read from the log when it is delivered.
pub const QUEUE_HOT_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// Attempts before a message is dead-lettered, unless the queue's settings say otherwise.
pub const ATTEMPTS_DEFAULT: u32 = 5;
/// Most attempts that can be asked for.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// How long a delivery is held for its consumer, unless asked otherwise.
pub const HOLD_DEFAULT: Duration = Duration::from_secs(30);
/// The longest hold.
pub const HOLD_MAX: Duration = Duration::from_secs(12 * 3600);
/// The longest delay of a message.
pub const DELAY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// The longest time a receive waits for a message.
pub const RECEIVE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Size of one log segment; also the bound of one record.
pub const SEGMENT_BYTES_DEFAULT: u32 = 16 * 1024 * 1024;
/// Records appended and not yet written; beyond it appends are refused as full.
pub const LOG_PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Disk for all segments unless configured otherwise; beyond it publishes are refused as full.
pub const LOG_DISK_BYTES_DEFAULT: u64 = 8 * 1024 * 1024 * 1024;
/// Retired segments kept for reuse.
pub const SEGMENTS_SPARE_MAX: usize = 4;

/// Client connections of one front.
pub const CONNECTIONS_DEFAULT: usize = 10_000;
/// Unsent reply bytes of one connection before it stops being read.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Body of one HTTP request.
pub const HTTP_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a stop waits for connections and workers to finish.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
