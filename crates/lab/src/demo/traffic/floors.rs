//! Which version of a product every read must show at least: the demo's own knowledge of what would be stale.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::demo::limits;

/// The versions that invalidations have put below every later read.
#[derive(Debug, Default)]
pub(in crate::demo) struct Floors {
    products: Mutex<HashMap<u32, Floor>>,
}

#[derive(Debug, Default)]
struct Floor {
    /// The greatest version whose invalidation returned more than a second ago.
    settled: Option<u64>,
    /// Younger ones, with the time at which they returned, oldest first.
    pending: VecDeque<(u64, Instant)>,
}

impl Floors {
    /// Notes that the invalidation of everything older than `version` has returned at `now`.
    pub(super) fn invalidated(&self, product: u32, version: u64, now: Instant) {
        let mut products = self.products.lock();
        let floor = products.entry(product).or_default();
        floor.settle(now);
        if floor.pending.len() == limits::FLOORS_PENDING_MAX {
            // The youngest two become one that holds from the later time: asks less of a read, never too much.
            if let Some((known, at)) = floor.pending.back_mut() {
                (*known, *at) = ((*known).max(version), now);
            }
        } else {
            floor.pending.push_back((version, now));
        }
    }

    /// The version that a read of `product` starting at `now` must show at least.
    pub(super) fn at(&self, product: u32, now: Instant) -> Option<u64> {
        let mut products = self.products.lock();
        let floor = products.get_mut(&product)?;
        floor.settle(now);
        floor.settled
    }
}

impl Floor {
    fn settle(&mut self, now: Instant) {
        while let Some((version, at)) = self.pending.front().copied() {
            if now.saturating_duration_since(at) <= limits::STALE_AFTER {
                break;
            }
            self.settled = self.settled.max(Some(version));
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_version_is_asked_for_more_than_a_second_after_its_invalidation_returned() {
        let (floors, start) = (Floors::default(), Instant::now());
        floors.invalidated(7, 2, start);
        assert_eq!(floors.at(7, start + limits::STALE_AFTER), None);
        assert_eq!(floors.at(7, start + limits::STALE_AFTER + MOMENT), Some(2));
        assert_eq!(floors.at(8, start + limits::STALE_AFTER + MOMENT), None);
    }

    #[test]
    fn a_product_that_is_invalidated_all_the_time_is_still_checked() {
        let (floors, start) = (Floors::default(), Instant::now());
        for version in 0..100 {
            let now = start + limits::STALE_AFTER * version / 10;
            floors.invalidated(7, u64::from(version), now);
        }
        let now = start + limits::STALE_AFTER * 99 / 10;
        assert_eq!(floors.at(7, now), Some(88), "the newest one that is more than a second old");
    }

    #[test]
    fn invalidations_that_return_out_of_order_never_lower_the_floor() {
        let (floors, start) = (Floors::default(), Instant::now());
        floors.invalidated(7, 5, start);
        floors.invalidated(7, 4, start + MOMENT);
        assert_eq!(floors.at(7, start + limits::STALE_AFTER * 2), Some(5));
    }

    #[test]
    fn at_the_bound_the_floor_asks_for_less_and_never_for_too_much() {
        let (floors, start) = (Floors::default(), Instant::now());
        for version in 0..=limits::FLOORS_PENDING_MAX as u64 {
            floors.invalidated(7, version, start + Duration::from_micros(version));
        }
        assert_eq!(floors.products.lock()[&7].pending.len(), limits::FLOORS_PENDING_MAX);
        let last_but_one = start + limits::STALE_AFTER + Duration::from_micros(63);
        assert_eq!(floors.at(7, last_but_one), Some(62));
        assert_eq!(floors.at(7, last_but_one + MOMENT), Some(64));
    }
}
