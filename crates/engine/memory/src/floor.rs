//! What has been removed and up to which version: the reason why a lease cannot revive an older value.

use forebay_core::limits::memory::LEASE_STRIPES;
use forebay_core::time::Instant;

/// The highest version known to be gone, by stripe of keys. A key shares its stripe with others, so a fill may be refused
/// without need; that costs a load, never a wrong value.
pub(crate) struct Floors {
    removed: Box<[u64]>,
    flushed: u64,
    flushes: Flushes,
}

/// The flushes that were asked for and are not carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flushes {
    /// One was due when another was asked for.
    due: bool,
    /// When the last one is due.
    pub(crate) at: Option<Instant>,
}

impl Floors {
    /// Nothing older than `first` was ever leased by this store.
    pub(crate) fn new(first: u64) -> Self {
        Self { removed: vec![first; LEASE_STRIPES].into(), flushed: 0, flushes: Flushes::default() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.removed.len() * size_of::<u64>()
    }

    /// The highest version known to be gone where this key lies.
    pub(crate) fn of(&self, hash: u64) -> u64 {
        self.removed.get(stripe(hash)).copied().unwrap_or(u64::MAX).max(self.flushed)
    }

    pub(crate) fn raise(&mut self, hash: u64, version: u64) {
        if let Some(floor) = self.removed.get_mut(stripe(hash)) {
            *floor = version.max(*floor);
        }
    }

    /// From `at` on, everything written until then is gone. It replaces a flush that is not due by now.
    pub(crate) fn flush_at(&mut self, at: Instant, now: Instant) {
        self.flushes = Flushes { due: self.is_due(now), at: Some(at) };
    }

    /// Whether everything is to be dropped now because of a flush.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.flushes.due || self.flushes.at.is_some_and(|at| at <= now)
    }

    pub(crate) fn flushes(&self) -> Flushes {
        self.flushes
    }

    /// What is due by now is carried out. It takes a version of its own, so that leases from before it are void.
    pub(crate) fn flush(&mut self, version: u64, now: Instant) {
        self.flushed = version;
        self.flushes = Flushes { due: false, at: self.flushes.at.filter(|at| *at > now) };
    }
}

/// Bits that neither the shard (upper half) nor the table's tags (top seven) use alone.
fn stripe(hash: u64) -> usize {
    (hash >> 16) as usize % LEASE_STRIPES
}
