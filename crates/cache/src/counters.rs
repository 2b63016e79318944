//! What the reads of a cache came to, counted as they happen.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use forebay_core::stats::ReadStats;

/// Threads that count beside each other without sharing a cache line.
const STRIPES: usize = 16;

/// A count that every hit touches.
#[derive(Default)]
pub(crate) struct Tally([Stripe; STRIPES]);

#[derive(Default)]
#[repr(align(64))]
struct Stripe(AtomicU64);

thread_local! {
    static STRIPE: Cell<usize> = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Cell::new(NEXT.fetch_add(1, Relaxed) % STRIPES)
    };
}

impl Tally {
    pub(crate) fn add(&self) {
        if let Some(stripe) = self.0.get(STRIPE.get()) {
            stripe.0.fetch_add(1, Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0.load(Relaxed)).sum()
    }
}

/// A count of what is not a hit.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// All counts of one cache.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) hits: Tally,
    pub(crate) misses: Tally,
    pub(crate) negative_hits: Count,
    pub(crate) stale_served: Count,
    pub(crate) load_timeouts: Count,
    pub(crate) refreshes: Count,
    pub(crate) refused_by_guard: Count,
    pub(crate) refused_by_breaker: Count,
    pub(crate) refused_by_budget: Count,
    pub(crate) negatives_dropped: Count,
    loads: Count,
    load_failures: Count,
    load_ms: AtomicU64,
    waiting: AtomicU64,
}

/// One who waits, for as long as this lives.
pub(crate) struct Waiting<'a>(&'a Counters);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Counters {
    /// The source is being asked.
    pub(crate) fn load_begun(&self) {
        self.loads.add();
    }

    /// The source has answered, or has been given up.
    pub(crate) fn load_ended(&self, took: Duration, failed: bool) {
        self.load_ms.fetch_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Relaxed);
        if failed {
            self.load_failures.add();
        }
    }

    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self)
    }

    pub(crate) fn stats(&self) -> ReadStats {
        ReadStats {
            hits: self.hits.sum(),
            misses: self.misses.sum(),
            negative_hits: self.negative_hits.get(),
            stale_served: self.stale_served.get(),
            loads: self.loads.get(),
            load_failures: self.load_failures.get(),
            load_timeouts: self.load_timeouts.get(),
            load_ms: self.load_ms.load(Relaxed),
            refreshes: self.refreshes.get(),
            refused_by_guard: self.refused_by_guard.get(),
            refused_by_breaker: self.refused_by_breaker.get(),
            refused_by_budget: self.refused_by_budget.get(),
            negatives_dropped: self.negatives_dropped.get(),
            waiting: self.waiting.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_many_threads_count() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1_000).for_each(|_| tally.add()));
            }
        });
        assert_eq!(tally.sum(), 20_000);
    }

    #[test]
    fn who_waits_is_counted_while_they_wait() {
        let counters = Counters::default();
        let (first, second) = (counters.wait(), counters.wait());
        assert_eq!(counters.stats().waiting, 2);
        drop((first, second));
        assert_eq!(counters.stats().waiting, 0);
    }
}
