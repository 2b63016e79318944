//! The port `LocalStore` over a cache and pinned results: a key that begins with a prefix is a result, all others are the
//! cache's.

use std::sync::Arc;

use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Lease, Read, View, Write, Written};
use forebay_core::error::Result;
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::local_store::{EvictionWatcher, LocalStore};
use forebay_core::ports::pledges::{Pledge, Pledges};
use forebay_core::stats::{PinnedStats, StoreDetail, StoreStats};
use forebay_core::time::Instant;

use super::results::Results;

/// A cache and, where keys are pinned, the results beside it. One key is in one of them, so there is one truth of it.
///
/// Flushing, walks and another budget are for the cache alone: results live until their time is over or they are deleted by name.
/// What the store says of itself is the cache as well; [`pinned`](Pledges::pinned) is the rest.
pub struct Pinned<S> {
    cache: Arc<S>,
    results: Option<Results>,
}

impl<S> Pinned<S> {
    /// With `None` every key is the cache's.
    pub fn new(cache: Arc<S>, results: Option<Results>) -> Self {
        Self { cache, results }
    }

    /// The results, if the key is one of theirs.
    fn results(&self, key: &[u8]) -> Option<&Results> {
        self.results.as_ref().filter(|results| results.has(key) && key.len() <= KEY_BYTES_MAX)
    }
}

impl<S: LocalStore> LocalStore for Pinned<S> {
    fn read(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        match self.results(key) {
            Some(results) => results.act(|table| table.read(key, read, visit)),
            None => self.cache.read(key, read, visit),
        }
    }

    /// A result has the versions of its place in the log's order.
    fn takes_names(&self, key: &[u8]) -> bool {
        self.results(key).is_none() && self.cache.takes_names(key)
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Written {
        match self.results(key) {
            Some(results) => results.act(|table| table.write(key, value, write)),
            None => self.cache.write(key, value, write),
        }
    }

    fn delete(&self, key: &[u8], delete: Delete) -> Deleted {
        match self.results(key) {
            Some(results) => results.act(|table| table.delete(key, delete)),
            None => self.cache.delete(key, delete),
        }
    }

    fn count(&self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        match self.results(key) {
            Some(results) => results.act(|table| table.count(key, arithmetic)),
            None => self.cache.count(key, arithmetic),
        }
    }

    fn lease(&self, key: &[u8]) -> Lease {
        match self.results(key) {
            Some(results) => results.act(|table| table.lease()),
            None => self.cache.lease(key),
        }
    }

    fn flush(&self, at: Instant, now: Instant) {
        self.cache.flush(at, now);
    }

    fn sweep(&self, now: Instant) -> usize {
        let swept = self.results.as_ref().map_or(0, |results| results.act(|table| table.sweep(now)));
        swept + self.cache.sweep(now)
    }

    fn resize(&self, bytes_max: u64) -> bool {
        self.cache.resize(bytes_max)
    }

    fn walk(&self, from: u64, now: Instant, visit: &mut dyn FnMut(&[u8], View<'_>)) -> Option<u64> {
        self.cache.walk(from, now, visit)
    }

    fn watch_evictions(&self, watcher: Arc<dyn EvictionWatcher>) -> bool {
        self.cache.watch_evictions(watcher)
    }

    fn stats(&self) -> StoreStats {
        self.cache.stats()
    }

    fn detail(&self) -> StoreDetail {
        self.cache.detail()
    }
}

impl<S: LocalStore> Pledges for Pinned<S> {
    fn pledge(&self, key: &[u8]) -> Option<Pledge> {
        self.results(key)?.pledge(key)
    }

    fn kept(&self, pledge: Pledge) -> BoxFuture<'static, Result<()>> {
        match &self.results {
            Some(results) => results.kept(pledge),
            None => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn pinned(&self) -> Option<PinnedStats> {
        self.results.as_ref().filter(|results| results.has_any()).map(Results::stats)
    }
}
