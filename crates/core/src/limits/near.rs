//! Bounds of near caches.

use std::time::Duration;

/// How much older than the shared store a read of a near cache can be: no copy is served longer after it was asked for.
pub const NEAR_LIFE_MAX: Duration = Duration::from_secs(1);
/// How long ago a moment may have been the present that a clock says at little cost.
pub const CLOCK_RECENT_MAX: Duration = Duration::from_millis(10);
/// The shortest lease and hold of a shared store.
pub const SHARED_LEASE_MIN: Duration = Duration::from_secs(2);
/// Keys for which a near cache asks its shared store at one time, for one connection.
pub const MEMCACHED_NEAR_KEYS_MAX: usize = 64;
/// How long a connection waits for memory for what it asks the shared store; then it asks for one key and takes its chance.
pub const MEMCACHED_NEAR_ROOM_WAIT: Duration = Duration::from_secs(1);
/// So much of the largest value's size is forgotten with every read: one part in this.
pub const MEMCACHED_NEAR_SIZE_FADE: usize = 1024;
/// Leases that clients of a near cache hold; beyond it older ones are forgotten, and who fills under them is refused.
pub const MEMCACHED_GRANTS_MAX: usize = 10_000;
/// A lease that a client asks for without an end.
pub const MEMCACHED_GRANT_ENDLESS: Duration = Duration::from_secs(24 * 3600);
