//! Bounds of what a program does with stores and brokers outside its process, whichever they are.

use std::time::Duration;

/// How long a start waits before it is first looked whether a backend is there.
pub const BACKEND_LOOK_FIRST: Duration = Duration::from_millis(500);
/// The pause between two looks.
pub const BACKEND_LOOK_PAUSE: Duration = Duration::from_secs(2);
/// How long a start waits for the first answer of a shared store; then it goes on without.
pub const BACKEND_CONTACT_MAX: Duration = Duration::from_secs(2);
/// The pause before it is asked again.
pub const BACKEND_CONTACT_PAUSE: Duration = Duration::from_millis(10);
/// Keys that a look at a shared store reads for each of its nodes: a node has none of them less than once in a hundred thousand
/// times.
pub const BACKEND_LOOK_KEYS_PER_NODE: usize = 12;
/// Keys that a look reads at most.
pub const BACKEND_LOOK_KEYS_MAX: usize = 1_200;
/// How long the lease lives under which a value for a shared store is loaded. A load that takes longer is not stored where
/// another one has begun.
pub const SHARED_LEASE: Duration = Duration::from_secs(5);
/// How long a reader waits for another process that loads the same key; then it loads too, and stores nothing.
pub const SHARED_BUSY_WAIT_MAX: Duration = Duration::from_secs(1);
/// The first pause before such a reader asks again; each one is twice the one before.
pub const SHARED_BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How often a change of a shared entry is made anew because somebody else was faster.
pub const SHARED_CHANGE_TRIES_MAX: usize = 16;
/// How long a shared store remembers that the source has no value.
pub const SHARED_NEGATIVE_LIFE: Duration = Duration::from_secs(2);
/// What goes with a message in a broker that knows nothing of it: no backend writes more, and more is not read.
pub const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;
