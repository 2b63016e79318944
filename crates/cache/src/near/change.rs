//! A change on its way to the shared store, and what it leaves of the copy.

use std::time::Duration;

use forebay_core::entry::Delete;

use super::near_cache::{Asking, Near, NearCache};

/// A change of keys that are not known here. Dropped, it removes all copies.
pub(super) struct ChangeOfMany<'a>(pub(super) &'a NearCache);

impl Drop for ChangeOfMany<'_> {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        self.0.memory.flush(now, now);
    }
}

/// A change of one key. Dropped, it removes the copy: the shared store has another entry now, or nobody knows which.
pub(super) struct Change<'a> {
    near: &'a NearCache,
    key: &'a [u8],
    asking: Asking,
    is_kept: bool,
}

impl<'a> Change<'a> {
    /// To be called before the shared store is told.
    pub(super) fn begin(near: &'a NearCache, key: &'a [u8]) -> Self {
        Self { near, key, asking: near.asking(key), is_kept: false }
    }

    /// The shared store has this value now. Of several changes at one time only the first to end has a lease that is still
    /// good: which of them the shared store took last is not known here.
    pub(super) fn keep(mut self, new: Near<'_>, life: Option<Duration>) {
        self.is_kept = self.near.keep(self.key, new, self.asking, life);
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.near.memory.delete(self.key, Delete::at(self.near.clock.now()));
        }
    }
}
