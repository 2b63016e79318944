//! Who gets which memory: pure, so that every step of the ladder can be tested without a byte being allocated.
//!
//! A message is worth more than any entry of the cache, but not one that is finished and only retained: those go before
//! anybody else gives way. What queues must keep comes first then; the cache gives way down to
//! its floor, then payloads that could be read from disk, and only when the entries alone leave no room are publishes
//! refused. Measures are taken at once, and taken back only when there is some slack, so that nothing swings.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::memory::{
    BYTES_MIN, CACHE_FLOOR_SHARE, GOVERNOR_CACHE_STEPS, GOVERNOR_SLACK_SHARE, QUEUE_ENTRIES_BYTES_DEFAULT,
};
use forebay_core::pressure::{QueueMemory, Rung};

/// What there is to share out, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    total: u64,
    /// Whether somebody has set it; else it follows from the other two.
    total_is_set: bool,
    cache_max: u64,
    cache_min: u64,
    bodies_max: u64,
}

impl Budget {
    /// A cache and payloads of queues that take so much while there is no pressure, within a total: the two of them and
    /// room for the entries of some ten million messages, where none was set. `Invalid`: the two do not fit into it.
    pub fn new(total: Option<u64>, cache_max: u64, bodies_max: u64) -> Result<Self> {
        let both = cache_max.saturating_add(bodies_max);
        let total_is_set = total.is_some();
        let total = total.unwrap_or(both.saturating_add(QUEUE_ENTRIES_BYTES_DEFAULT));
        if total < both {
            let context =
                format!("of {total} bytes, with {cache_max} for the cache and {bodies_max} for payloads");
            return Err(Error::new(Kind::Invalid, "share out a total", context));
        }
        let cache_min = (cache_max / CACHE_FLOOR_SHARE).max(BYTES_MIN as u64).min(cache_max);
        Ok(Self { total, total_is_set, cache_max, cache_min, bodies_max })
    }

    /// The same with another cache. A total that was set stays, and with it the room for all else. `Invalid`: the cache is
    /// larger than [`cache_ceiling`](Self::cache_ceiling).
    pub fn with_cache(&self, cache_max: u64) -> Result<Self> {
        Self::new(self.total_is_set.then_some(self.total), cache_max, self.bodies_max)
    }

    /// The largest cache that fits into the total, where that was set.
    pub fn cache_ceiling(&self) -> u64 {
        if self.total_is_set { self.total - self.bodies_max } else { u64::MAX }
    }

    /// For cache and queues together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What everybody has while there is no pressure.
    pub fn calm(&self) -> Shares {
        Shares { cache: self.cache_max, bodies: self.bodies_max }
    }

    /// What must be free beyond a measure's need before it is taken back. It never asks for more than empty queues leave.
    fn slack(&self) -> u64 {
        (self.total / GOVERNOR_SLACK_SHARE).min((self.total - self.cache_max) / 2)
    }

    /// How much queues must give up for everybody to have what a calm budget gives them, with the slack beyond it.
    pub(crate) fn over(&self, usage: QueueMemory) -> u64 {
        let QueueMemory { entries, bodies } = usage;
        let parts = [self.cache_max, entries, bodies.max(self.bodies_max), self.slack()];
        parts.into_iter().fold(0, u64::saturating_add).saturating_sub(self.total)
    }

    /// One step of the cache's budget.
    pub(crate) fn cache_step(&self) -> u64 {
        (self.cache_max / GOVERNOR_CACHE_STEPS).max(1)
    }
}

/// What cache and payloads may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// The cache's budget.
    pub cache: u64,
    /// Payloads that queues keep.
    pub bodies: u64,
}

/// The rung that this usage calls for, coming from another one.
pub fn ladder(usage: QueueMemory, budget: &Budget, from: Rung) -> Rung {
    let QueueMemory { entries, bodies } = usage;
    let over = |parts: [u64; 4]| parts.into_iter().fold(0, u64::saturating_add) > budget.total;
    let slack = budget.slack();
    // Bodies that were given up come back with the measure, so what they would take counts as well.
    let bodies_back = bodies.max(budget.bodies_max.min(budget.total - budget.cache_min - slack));
    let calls_for = |rung: Rung| match rung {
        Rung::Calm => true,
        Rung::CacheShrunk => over([budget.cache_max, entries, bodies, 0]),
        Rung::BodiesGivenUp => over([budget.cache_min, entries, bodies, 0]),
        Rung::PublishesRefused => over([budget.cache_min, entries, 0, 0]),
    };
    let keeps = |rung: Rung| match rung {
        Rung::Calm => true,
        Rung::CacheShrunk => over([budget.cache_max, entries, bodies, slack]),
        Rung::BodiesGivenUp => over([budget.cache_min, entries, bodies_back, slack]),
        Rung::PublishesRefused => over([budget.cache_min, entries, slack, 0]),
    };
    let holds = |rung: &Rung| calls_for(*rung) || (*rung <= from && keeps(*rung));
    Rung::ALL.into_iter().rev().find(holds).unwrap_or(Rung::Calm)
}

/// What everybody gets on that rung, coming from other shares.
pub fn shares(rung: Rung, usage: QueueMemory, budget: &Budget, from: Shares) -> Shares {
    if rung == Rung::Calm {
        return budget.calm();
    }
    let left = budget.total.saturating_sub(usage.entries);
    let bodies = left.saturating_sub(budget.cache_min).min(budget.bodies_max);
    if rung >= Rung::BodiesGivenUp {
        // What becomes free goes to those who have lost more.
        return Shares { cache: budget.cache_min, bodies };
    }
    let step = budget.cache_step();
    let wanted = left.saturating_sub(usage.bodies) / step * step;
    let wanted = wanted.clamp(budget.cache_min, budget.cache_max);
    let grows = wanted >= from.cache.saturating_add(2 * step);
    let cache = if wanted < from.cache || grows { wanted } else { from.cache };
    Shares { cache, bodies }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn budgets() -> impl Strategy<Value = Budget> {
        (0..4096 * MIB, MIB..8192 * MIB, 0..1024 * MIB).prop_map(|(entries, cache, bodies)| {
            Budget::new(Some(entries + cache + bodies), cache, bodies).unwrap()
        })
    }

    fn usages() -> impl Strategy<Value = QueueMemory> {
        (0..20_000 * MIB, 0..1024 * MIB).prop_map(|(entries, bodies)| QueueMemory { entries, bodies })
    }

    fn rungs() -> impl Strategy<Value = Rung> {
        (0..Rung::ALL.len()).prop_map(|place| Rung::ALL[place])
    }

    /// One look, as the governor takes it: bodies beyond their share are gone afterwards.
    fn look(usage: &mut QueueMemory, budget: &Budget, rung: Rung, from: Shares) -> (Rung, Shares) {
        let rung = ladder(*usage, budget, rung);
        let shares = shares(rung, *usage, budget, from);
        usage.bodies = usage.bodies.min(shares.bodies);
        (rung, shares)
    }

    proptest! {
        #[test]
        fn the_total_holds_unless_entries_alone_are_too_much(
            budget in budgets(), mut usage in usages(), rung in rungs(),
        ) {
            let (rung, shares) = look(&mut usage, &budget, rung, budget.calm());
            prop_assert!((budget.cache_min..=budget.cache_max).contains(&shares.cache));
            prop_assert!(shares.bodies <= budget.bodies_max);
            let taken = shares.cache + usage.entries + usage.bodies;
            prop_assert!(taken <= budget.total || rung == Rung::PublishesRefused);
        }

        #[test]
        fn no_body_is_given_up_before_the_cache_is_at_its_floor_and_no_publish_refused_before_all_are(
            budget in budgets(), usage in usages(),
        ) {
            let rung = ladder(usage, &budget, Rung::Calm);
            let shares = shares(rung, usage, &budget, budget.calm());
            if usage.bodies > shares.bodies && usage.bodies <= budget.bodies_max {
                prop_assert!(rung >= Rung::BodiesGivenUp);
                prop_assert_eq!(shares.cache, budget.cache_min);
            }
            if rung == Rung::PublishesRefused {
                prop_assert_eq!((shares.cache, shares.bodies), (budget.cache_min, 0));
            }
        }

        #[test]
        fn more_usage_never_calls_for_less(
            budget in budgets(), usage in usages(), rung in rungs(), more in 0..4096 * MIB,
        ) {
            let entries = QueueMemory { entries: usage.entries + more, ..usage };
            let bodies = QueueMemory { bodies: usage.bodies + more, ..usage };
            prop_assert!(ladder(entries, &budget, rung) >= ladder(usage, &budget, rung));
            prop_assert!(ladder(bodies, &budget, rung) >= ladder(usage, &budget, rung));
        }

        #[test]
        fn what_does_not_change_comes_to_rest_at_the_second_look(
            budget in budgets(), mut usage in usages(), rung in rungs(),
        ) {
            let first = look(&mut usage, &budget, rung, budget.calm());
            let second = look(&mut usage, &budget, first.0, first.1);
            let third = look(&mut usage, &budget, second.0, second.1);
            prop_assert_eq!(second, third);
        }

        #[test]
        fn with_no_more_than_what_is_over_given_up_all_is_calm(
            budget in budgets(), usage in usages(), rung in rungs(),
        ) {
            let over = budget.over(usage);
            let entries = usage.entries.saturating_sub(over);
            prop_assume!(usage.bodies <= budget.bodies_max && over <= usage.entries);
            prop_assert_eq!(ladder(QueueMemory { entries, ..usage }, &budget, rung), Rung::Calm);
        }

        #[test]
        fn usage_that_swings_by_less_than_the_slack_does_not_move_the_rung(
            budget in budgets(), mut usage in usages(), swing in 0u64..1 << 30,
        ) {
            usage.bodies = 0;
            let swing = swing % (budget.slack() + 1);
            let high = QueueMemory { entries: usage.entries + swing, ..usage };
            let top = ladder(high, &budget, Rung::Calm);
            for _ in 0..3 {
                prop_assert_eq!(ladder(usage, &budget, top), top);
                prop_assert_eq!(ladder(high, &budget, top), top);
            }
        }

        #[test]
        fn from_any_rung_empty_queues_give_everything_back(budget in budgets(), rung in rungs()) {
            let mut nothing = QueueMemory::default();
            let (rung, shares) = look(&mut nothing, &budget, rung, Shares { cache: 0, bodies: 0 });
            prop_assert_eq!((rung, shares), (Rung::Calm, budget.calm()));
        }
    }

    #[test]
    fn a_growing_queue_climbs_the_ladder_rung_by_rung_and_down_again() {
        let budget = Budget::new(Some(1024 * MIB), 256 * MIB, 64 * MIB).unwrap();
        let (mut rung, mut share) = (Rung::Calm, budget.calm());
        let mut at = |entries: u64, bodies: u64| {
            let mut usage = QueueMemory { entries: entries * MIB, bodies: bodies * MIB };
            (rung, share) = look(&mut usage, &budget, rung, share);
            (rung, share.cache / MIB, share.bodies / MIB)
        };
        assert_eq!(at(700, 64), (Rung::Calm, 256, 64));
        assert_eq!(at(800, 64), (Rung::CacheShrunk, 160, 64));
        assert_eq!(at(900, 64), (Rung::BodiesGivenUp, 64, 60));
        assert_eq!(at(959, 60), (Rung::BodiesGivenUp, 64, 1));
        assert_eq!(at(961, 1), (Rung::PublishesRefused, 64, 0));
        assert_eq!(at(940, 0), (Rung::PublishesRefused, 64, 20), "not yet, by the slack of 32");
        assert_eq!(at(920, 0), (Rung::BodiesGivenUp, 64, 40));
        assert_eq!(at(840, 0), (Rung::CacheShrunk, 184, 64));
        assert_eq!(at(740, 0), (Rung::CacheShrunk, 256, 64));
        assert_eq!(at(700, 0), (Rung::Calm, 256, 64));
    }

    #[test]
    fn another_cache_keeps_a_total_that_was_set_and_moves_one_that_was_not() {
        let set = Budget::new(Some(200), 60, 40).unwrap();
        assert_eq!(set.cache_ceiling(), 160);
        assert_eq!(set.with_cache(160).unwrap(), Budget::new(Some(200), 160, 40).unwrap());
        assert!(set.with_cache(161).is_err());
        let free = Budget::new(None, 60, 40).unwrap();
        assert_eq!(free.cache_ceiling(), u64::MAX);
        assert_eq!(free.with_cache(1_000).unwrap(), Budget::new(None, 1_000, 40).unwrap());
    }

    #[test]
    fn a_total_that_cannot_hold_what_was_given_out_is_refused() {
        assert!(Budget::new(Some(99), 60, 40).is_err());
        assert!(Budget::new(Some(100), 60, 40).is_ok());
        assert_eq!(Budget::new(None, 60, 40).unwrap().total(), 100 + QUEUE_ENTRIES_BYTES_DEFAULT);
    }
}
