//! What the demo counts while it runs. Shown live and in the report; the musts are judged from elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A number that only grows.
#[derive(Debug, Default)]
pub(in crate::demo) struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub(in crate::demo) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// How many so far.
    pub(in crate::demo) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Events per second, second by second.
#[derive(Debug)]
pub(in crate::demo) struct Rate {
    start: Instant,
    seconds: Vec<Count>,
}

impl Rate {
    /// A rate from `start` on for at most `longest`; what comes later counts to the last second.
    pub(in crate::demo) fn new(start: Instant, longest: Duration) -> Self {
        let seconds = (0..=longest.as_secs()).map(|_| Count::default()).collect();
        Self { start, seconds }
    }

    /// Notes `n` events at `now`.
    pub(in crate::demo) fn note(&self, now: Instant, n: usize) {
        let second = now.saturating_duration_since(self.start).as_secs() as usize;
        if let Some(count) = self.seconds.get(second.min(self.seconds.len() - 1)) {
            count.add(n);
        }
    }

    /// The most in one second.
    pub(in crate::demo) fn peak(&self) -> u64 {
        self.seconds.iter().map(Count::get).max().unwrap_or(0)
    }

    /// The mean of the seconds in which there was something.
    pub(in crate::demo) fn mean_when_busy(&self) -> u64 {
        let busy: Vec<u64> = self.seconds.iter().map(Count::get).filter(|n| *n > 0).collect();
        busy.iter().sum::<u64>().checked_div(busy.len() as u64).unwrap_or(0)
    }
}

/// All counts of one run.
#[derive(Debug)]
pub(in crate::demo) struct Counts {
    /// Page views: what would have been database reads without a cache.
    pub(in crate::demo) views: Count,
    /// Of them, answered by the cache.
    pub(in crate::demo) hits: Count,
    /// Reads that the database had to answer.
    pub(in crate::demo) database_reads: Count,
    /// Of them, because the cache was away.
    pub(in crate::demo) database_reads_away: Count,
    /// Fills that the cache refused, because their lease was no longer good.
    pub(in crate::demo) fills_refused: Count,
    /// Hits whose product had been invalidated more than a second before.
    pub(in crate::demo) checked: Count,
    /// Of them, those that showed an older version.
    pub(in crate::demo) stale: Count,
    /// Hits that showed another product, or none.
    pub(in crate::demo) wrong_pages: Count,
    /// Customers turned away because there were too many open orders.
    pub(in crate::demo) turned_away: Count,
    /// Orders confirmed by the queue.
    pub(in crate::demo) confirmed: Count,
    /// Orders worked off for the first time.
    pub(in crate::demo) done: Count,
    /// Deliveries of orders that were already done.
    pub(in crate::demo) duplicates: Count,
    /// Orders confirmed per second.
    pub(in crate::demo) rate_in: Rate,
    /// Orders done per second.
    pub(in crate::demo) rate_out: Rate,
}

impl Counts {
    /// Nothing yet, for a run from `start` of at most `longest`.
    pub(in crate::demo) fn new(start: Instant, longest: Duration) -> Self {
        Self {
            views: Count::default(),
            hits: Count::default(),
            database_reads: Count::default(),
            database_reads_away: Count::default(),
            fills_refused: Count::default(),
            checked: Count::default(),
            stale: Count::default(),
            wrong_pages: Count::default(),
            turned_away: Count::default(),
            confirmed: Count::default(),
            done: Count::default(),
            duplicates: Count::default(),
            rate_in: Rate::new(start, longest),
            rate_out: Rate::new(start, longest),
        }
    }

    /// The share of page views that the cache answered, in percent.
    pub(in crate::demo) fn hit_percent(&self) -> f64 {
        match self.views.get() {
            0 => 0.0,
            views => self.hits.get() as f64 * 100.0 / views as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_knows_its_peak_and_its_mean_and_is_bounded() {
        let start = Instant::now();
        let rate = Rate::new(start, Duration::from_secs(3));
        rate.note(start, 10);
        rate.note(start + Duration::from_millis(2_500), 4);
        rate.note(start + Duration::from_millis(2_600), 2);
        rate.note(start + Duration::from_secs(500), 5);
        assert_eq!((rate.peak(), rate.mean_when_busy()), (10, 7));
    }
}
