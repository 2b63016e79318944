//! What is seen of keys that are changed and read all the time.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Instant;

use forebay_core::error::{Error, Result};

use super::load::{Calls, Load, Seen, only_unavailable};

/// Of keys that are all hurt or all not.
pub(super) struct Tally {
    /// Changes that were.
    pub(super) confirmed: AtomicU64,
    pub(super) calls: Calls,
    /// What each reader has read.
    hits: Vec<AtomicU64>,
    is_hurt: bool,
}

impl Tally {
    pub(super) fn new(readers: usize, is_hurt: bool) -> Self {
        let hits = (0..readers).map(|_| AtomicU64::new(0)).collect();
        Self { confirmed: AtomicU64::new(0), calls: Calls::default(), hits, is_hurt }
    }

    pub(super) fn readers(&self) -> Range<usize> {
        0..self.hits.len()
    }

    /// One of them has found a value.
    pub(super) fn hit(&self, reader: usize) {
        if let Some(hits) = self.hits.get(reader) {
            hits.fetch_add(1, SeqCst);
        }
    }

    /// Notes how long a call takes.
    pub(super) async fn timed<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let result = call.await;
        self.calls.took(begun.elapsed());
        result
    }

    /// Fails where this call may not.
    pub(super) fn may_fail(&self, key: &str, error: &Error) {
        assert!(self.is_hurt, "{key}: nothing was done to its server: {error}");
        only_unavailable(error);
    }

    fn hits(&self) -> impl Iterator<Item = u64> {
        self.hits.iter().map(|hits| hits.load(SeqCst))
    }
}

impl Load for Tally {
    fn name(&self) -> String {
        let whose = if self.is_hurt { "that is hurt" } else { "that is not" };
        format!("keys of the server {whose}")
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    fn is_hurt(&self) -> bool {
        self.is_hurt
    }

    /// Changed, read by all, and read by each.
    fn counts(&self, more: u64) -> Vec<u64> {
        let all = [self.confirmed.load(SeqCst), self.hits().sum()].map(|count| count + more);
        all.into_iter().chain(self.hits().map(|hits| hits + more.min(1))).collect()
    }

    /// Nothing is on its way to anybody.
    fn missing(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Readers have looked all the time.
    fn check(&self) -> Seen {
        Seen { confirmed: self.confirmed.load(SeqCst), again: self.hits().sum() }
    }
}
