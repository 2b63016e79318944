//! The bounds of the cache as programs use it: loads, tags and locks, and write-behind.

use std::time::Duration;

/// Keys that one cache loads at one time; beyond it a miss is refused as full.
pub const FLIGHTS_MAX: usize = 10_000;
/// Callers that wait for the load of one key; beyond it a miss is refused as full.
pub const WAITERS_MAX: usize = 100_000;
/// Keys that one batch get may ask for; beyond it the call is refused as too large.
pub const BATCH_KEYS_MAX: usize = 10_000;
/// Loads that one source is asked for at one time, unless configured otherwise.
pub const LOADS_CONCURRENT_DEFAULT: usize = 64;
/// Loads that wait for their turn at one source, unless configured otherwise; beyond it a load is refused as full.
pub const LOADS_WAITING_DEFAULT: usize = 1_000;
/// Most of either that can be configured.
pub const LOADS_CEILING: usize = 100_000;
/// How long one load may take, unless configured otherwise.
pub const LOAD_HARD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How often a caller begins the load of a key again that was cut off before it ended.
pub const LOAD_STARTS_MAX: u32 = 3;
/// How many absent keys one source's cache remembers within one negative time to live, unless configured otherwise; further
/// ones are not remembered, so that made-up keys cannot push out values.
pub const NEGATIVES_MAX_DEFAULT: u64 = 100_000;
/// Keys that a guard can be made for: at one in a hundred wrongly let through, 1.2 GB.
pub const GUARD_KEYS_MAX: usize = 1_000_000_000;
/// Places in which tags and namespaces note when they were made invalid; names that share one are made so together.
pub const TAG_STRIPES: usize = 16 * 1024;
/// Tags of one cached entry.
pub const ENTRY_TAGS_MAX: usize = 16;
/// Longest name of a namespace; the rest of a key is left to the keys in it.
pub const NAMESPACE_BYTES_MAX: usize = 100;
/// How often a change of a session is made anew because somebody else was faster.
pub const CHANGE_TRIES_MAX: usize = 1_000;
/// Longest lease of a lock.
pub const LOCK_LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Largest number that a rate limit can allow in its window.
pub const RATE_LIMIT_MAX: u64 = 1 << 40;
/// Longest window of a rate limit.
pub const RATE_WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Keys with a write that the source of a write-behind has not yet, unless configured otherwise; beyond it writes of other
/// keys are refused as full.
pub const WRITE_BEHIND_KEYS_DEFAULT: usize = 100_000;
/// Bytes of these writes, unless configured otherwise.
pub const WRITE_BEHIND_BYTES_DEFAULT: usize = 64 * 1024 * 1024;
/// What one of them counts beside its key and value.
pub const WRITE_BEHIND_ENTRY_BYTES: usize = 256;
/// Keys of one write-behind that are written to the source at one time, unless configured otherwise.
pub const WRITE_BEHIND_CONCURRENCY_DEFAULT: usize = 8;
/// How long a write-behind hears nothing of a write before it looks whether that is still in the queue.
pub const WRITE_BEHIND_CHECK_PAUSE: Duration = Duration::from_secs(60);
/// How long the queue of a write-behind retains what was written: the least that lets its messages be read without taking
/// them.
pub const WRITE_BEHIND_RETAIN: Duration = Duration::from_secs(1);
