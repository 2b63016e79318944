//! The store for callers that tell an answer by returning it: it returns only what is durable.

use std::sync::Arc;

use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Lease, Read, View, Write, Written};
use forebay_core::error::Result;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::pledges::Pledges;
use forebay_core::stats::{StoreDetail, StoreStats};
use forebay_core::time::Instant;

use super::progress::block_on;

/// Blocks the calling thread for the length of a sync where a pinned result has changed, and never for any other key.
///
/// The port's verbs cannot fail, so where the disk does, a write is answered with `NoRoom`, a counter and a deletion with
/// "there is none", and a read as if there were nothing.
pub struct Waiting<S>(Arc<S>);

impl<S: Pledges> Waiting<S> {
    /// Over this store.
    pub fn new(store: Arc<S>) -> Self {
        Self(store)
    }

    fn kept(&self, key: &[u8]) -> Result<()> {
        match self.0.pledge(key) {
            Some(pledge) => block_on(self.0.kept(pledge)),
            None => Ok(()),
        }
    }
}

impl<S: Pledges> LocalStore for Waiting<S> {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let hit = self.0.read(key, read, visit);
        self.kept(key).is_ok() && hit
    }

    fn takes_names(&self, key: &[u8]) -> bool {
        self.0.takes_names(key)
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        let written = self.0.write(key, value, write);
        self.kept(key).map_or(Written::NoRoom, |()| written)
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        let deleted = self.0.delete(key, delete);
        self.kept(key).map_or(Deleted::NotFound, |()| deleted)
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let counted = self.0.count(key, arithmetic);
        self.kept(key).map_or(Counted::NotFound, |()| counted)
    }

    fn lease(&self, key: &[u8]) -> Lease {
        self.0.lease(key)
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.0.flush(at, now);
    }

    fn sweep(&self, now: Instant) -> usize {
        self.0.sweep(now)
    }

    fn resize(&self, bytes_max: u64) -> bool {
        self.0.resize(bytes_max)
    }

    fn stats(&self) -> StoreStats {
        self.0.stats()
    }

    fn detail(&self) -> StoreDetail {
        self.0.detail()
    }
}
