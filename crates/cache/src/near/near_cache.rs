//! What callers hold: the copies, at once and without waiting, and what is kept of an answer.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Condition, Lease, Read, Version, Write, Written};
use forebay_core::limits::near::{CLOCK_RECENT_MAX, NEAR_LIFE_MAX};
use forebay_core::payload::Payload;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::remote_store::{RemoteStore, Shared};
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;

/// A copy begins with the version that the shared store gave the entry.
const VERSION_BYTES: usize = size_of::<u64>();

/// A shared store with copies in the memory of this process. It is itself a [`RemoteStore`]: what it has a copy of it answers
/// from that, everything else it asks the shared store.
///
/// What a reader may rely on:
/// - A read is never more than [`NEAR_LIFE_MAX`] older than the shared store: no copy is served for longer after the shared
///   store was asked for it, whoever has changed the entry since. What the shared store tells of an entry does not say when
///   its life is over, so a copy may outlive it by as much. Time in which the machine is suspended is not counted: what was
///   copied just before it may be read just after it.
/// - What this process has changed it sees at once: once a change has returned, no read that begins later is answered by
///   something older.
/// - A change is made in the shared store first. Where that has not taken it, or where nobody knows, there is no copy.
///   A call whose future is dropped half-way counts as one of those.
/// - While the shared store is away, copies are served until their time is over; then its error is.
///
/// What is changed by tag in another process follows the first of these. The memory is the near cache's own: nobody else
/// must read or write it.
pub struct NearCache {
    pub(super) memory: Arc<dyn LocalStore>,
    pub(super) shared: Arc<dyn RemoteStore>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A copy of an entry. It lives only as long as the visit.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    /// The bytes.
    pub value: &'a [u8],
    /// The client's own 32 bits.
    pub flags: u32,
    /// The shared store's, for conditions.
    pub version: Version,
}

/// The right to keep a copy of what the shared store is now asked for.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    /// Void as soon as anything else is kept or removed.
    lease: Lease,
    /// Nobody knows at which moment from then on the answer was true.
    at: Instant,
}

impl NearCache {
    /// A near cache before `shared`, with its copies in `memory`.
    pub fn new(memory: Arc<dyn LocalStore>, shared: Arc<dyn RemoteStore>, clock: Arc<dyn Clock>) -> Self {
        Self { memory, shared, clock }
    }

    /// Shows the copy to `visit`, if there is one; nothing is waited for, allocated or copied. `visit` runs under a lock of
    /// the memory: it must be short and must not use the near cache.
    pub fn local<R>(&self, key: &[u8], visit: impl FnOnce(Near<'_>) -> R) -> Option<R> {
        let (mut visit, mut shown) = (Some(visit), None);
        self.memory.read(key, Read::at(self.clock.recent()), &mut |view| {
            if let Some((version, value)) = view.value.split_first_chunk::<VERSION_BYTES>() {
                let version = Version(u64::from_le_bytes(*version));
                let near = Near { value, flags: view.flags, version };
                shown = visit.take().map(|visit| visit(near));
            }
        });
        shown
    }

    /// The state of the memory: what copies take, and how many reads they answered.
    pub fn stats(&self) -> StoreStats {
        self.memory.stats()
    }

    /// Gives copies more or less room, as [`LocalStore::resize`] does.
    pub fn resize(&self, bytes_max: u64) -> bool {
        self.memory.resize(bytes_max)
    }

    /// A copy of the copy, as the shared store would have answered.
    pub fn copy(&self, key: &[u8]) -> Option<Shared> {
        self.local(key, |near| Shared {
            value: Payload::from(near.value),
            flags: near.flags,
            version: near.version,
        })
    }

    /// To be called before the shared store is asked or told anything of which a copy is to be kept: what is changed in this
    /// process from now on voids it.
    pub(super) fn asking(&self, key: &[u8]) -> Asking {
        Asking { at: self.clock.now(), lease: self.memory.lease(key) }
    }

    /// Keeps a copy, unless something else was kept or removed since `asking`. False where there may be another one now.
    pub(super) fn keep(&self, key: &[u8], shared: Near<'_>, asking: Asking, life: Option<Duration>) -> bool {
        let life = life.unwrap_or(NEAR_LIFE_MAX).min(NEAR_LIFE_MAX);
        // Who reads may take a moment that has passed for the present.
        let ends = asking.at + life.saturating_sub(CLOCK_RECENT_MAX);
        let copy = [&shared.version.0.to_le_bytes(), shared.value].concat();
        let write = Write {
            flags: shared.flags,
            expires_at: Some(ends),
            condition: Condition::Lease(asking.lease),
            ..Write::at(self.clock.now())
        };
        matches!(self.memory.write(key, &copy, write), Written::Stored(_))
    }
}

impl<'a> From<&'a Shared> for Near<'a> {
    fn from(shared: &'a Shared) -> Self {
        Self { value: &shared.value, flags: shared.flags, version: shared.version }
    }
}
