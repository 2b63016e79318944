//! The cache memory of this process.

use std::sync::Arc;

use crate::entry::{Arithmetic, Counted, Delete, Deleted, Lease, Read, View, Write, Written};
use crate::stats::{StoreDetail, StoreStats};
use crate::time::Instant;

/// Memory of this process: synchronous, never waits on anything but a short lock, and cannot fail.
///
/// Every operation on one key is atomic: readers see the state before or after it, never between.
/// An entry past its end of life is absent for every operation. The store may forget any entry at any time to stay
/// within its budget, but never serves an older state after a newer one was written or the key was invalidated.
/// Keys are 1 to 250 bytes; the caller has checked them.
pub trait LocalStore: Send + Sync {
    /// Shows the entry to `visit` under the store's lock and returns true, or returns false on a miss.
    /// With [`Read::lease`] a miss leaves a leased placeholder, which is shown to `visit` with [`Claim::Won`]; a later
    /// reader is shown the placeholder with [`Claim::Lost`] until it is filled, deleted or its life is over.
    /// `visit` must be short and must not call the store.
    ///
    /// [`Claim::Won`]: crate::entry::Claim::Won
    /// [`Claim::Lost`]: crate::entry::Claim::Lost
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool;

    /// Whether a writer may name the version of this key's entry. Where not, a name is passed over.
    fn takes_names(&self, key: &[u8]) -> bool {
        let _ = key;
        true
    }

    /// Writes by mode and condition. Whatever the answer, no reader sees a mixture of two writes.
    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written;

    /// Removes the entry, or marks it stale. Either way every lease taken before is void.
    fn delete(&self, key: &[u8], delete: Delete) -> Deleted;

    /// Adds to or subtracts from a decimal number in place. The new number is exact under any concurrency.
    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted;

    /// The right to fill `key` as of now; give it back in [`Condition::Lease`](crate::entry::Condition::Lease).
    fn lease(&self, key: &[u8]) -> Lease;

    /// Makes every entry written before this call absent from `at` on, and those written after it but before `at` too.
    /// With `at` not after `now` that is at once, and a write that follows in the same millisecond stays. A later
    /// call replaces one whose time has not come.
    fn flush(&self, at: Instant, now: Instant);

    /// Drops a bounded number of entries whose life is over, and returns how many. Called again and again from the
    /// background; correctness does not depend on it.
    fn sweep(&self, now: Instant) -> usize;

    /// Changes the memory budget: to a larger one at once, to a smaller one by evicting, in steps between which others are
    /// served, until it holds. A value that the new budget has no place for is `TooLarge` from then on. A store that
    /// shares its memory may have less than it was asked for while others need it. False where the store cannot or will
    /// not; then nothing has changed.
    fn resize(&self, bytes_max: u64) -> bool {
        let _ = bytes_max;
        false
    }

    /// Shows a bounded number of entries and returns where to go on, or `None` after the last. A walk begins with 0. What is
    /// there from its begin to its end is shown once, under the store's lock; what comes or goes meanwhile is shown or is not.
    /// It leaves no trace at the entries, and `visit` must be short and must not call the store. A store that cannot show what
    /// it has shows nothing.
    fn walk(&self, from: u64, now: Instant, visit: &mut dyn FnMut(&[u8], View<'_>)) -> Option<u64> {
        let _ = (from, now, visit);
        None
    }

    /// Tells `watcher` of every entry that is pushed out from now on. A store has one watcher: false where there is one, or where
    /// the store cannot tell.
    fn watch_evictions(&self, watcher: Arc<dyn EvictionWatcher>) -> bool {
        let _ = watcher;
        false
    }

    /// The state at this moment.
    fn stats(&self) -> StoreStats;

    /// What it is full of and what is read most; empty where the store does not know.
    fn detail(&self) -> StoreDetail {
        StoreDetail::default()
    }
}

/// Somebody who wants to know what is pushed out.
pub trait EvictionWatcher: Send + Sync {
    /// This entry makes room for others. It is called under the store's lock: it must be short and must not call the store.
    fn evicted(&self, key: &[u8], view: View<'_>, now: Instant);
}
