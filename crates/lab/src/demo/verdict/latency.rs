//! How long page views took.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use hdrhistogram::Histogram;

/// Longest time that is told apart, in microseconds.
const LONGEST_US: u64 = 60_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Page views that the cache answered, and those it did not. Every reader keeps its own; they are added up at the end.
#[derive(Clone, Debug)]
pub(in crate::demo) struct Latencies {
    hits: Histogram<u64>,
    misses: Histogram<u64>,
}

/// A median and the time that one view in a hundred exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) struct Percentiles {
    /// Half took longer.
    pub(in crate::demo) p50: Duration,
    /// One in a hundred took longer.
    pub(in crate::demo) p99: Duration,
}

impl Latencies {
    /// No view yet.
    pub(in crate::demo) fn new() -> Result<Self> {
        let empty = Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS)
            .map_err(|error| Error::new(Kind::Invalid, "measure latency", "of page views").because(error))?;
        Ok(Self { hits: empty.clone(), misses: empty })
    }

    /// Notes a view answered by the cache.
    pub(in crate::demo) fn hit(&mut self, took: Duration) {
        self.hits.saturating_record(micros(took));
    }

    /// Notes a view answered by the database.
    pub(in crate::demo) fn miss(&mut self, took: Duration) {
        self.misses.saturating_record(micros(took));
    }

    /// Adds another reader's views.
    pub(in crate::demo) fn add(&mut self, other: &Self) {
        // Histograms of equal bounds always fit into each other.
        let _ = self.hits.add(&other.hits);
        let _ = self.misses.add(&other.misses);
    }

    /// Of views answered by the cache.
    pub(in crate::demo) fn of_hits(&self) -> Percentiles {
        percentiles(&self.hits)
    }

    /// Of views answered by the database.
    pub(in crate::demo) fn of_misses(&self) -> Percentiles {
        percentiles(&self.misses)
    }

    /// Of all views.
    pub(in crate::demo) fn overall(&self) -> Percentiles {
        let mut all = self.hits.clone();
        let _ = all.add(&self.misses);
        percentiles(&all)
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    Percentiles { p50: at(0.50), p99: at(0.99) }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_told_apart_for_hits_and_misses_of_all_readers() {
        let (mut one, mut other) = (Latencies::new().unwrap(), Latencies::new().unwrap());
        for micros in 1..=100 {
            one.hit(Duration::from_micros(micros));
            other.miss(Duration::from_micros(micros * 10));
        }
        one.add(&other);
        assert_eq!(one.of_hits().p50, Duration::from_micros(50));
        assert_eq!(one.of_misses().p99, Duration::from_micros(990));
        assert_eq!(one.overall().p50, Duration::from_micros(91));
    }
}
