//! How many handlers may begin now.

use std::collections::VecDeque;

use forebay_core::time::Instant;

use super::options::Rate;

/// Remembers the latest beginnings, as many as the rate allows at a time: exact, and bounded by the rate's own count.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<Rate>,
    begun: VecDeque<Instant>,
}

/// What the pace says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// So many may begin, at least one.
    Now(usize),
    /// None before then.
    At(Instant),
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self { rate, begun: VecDeque::new() }
    }

    /// How many may begin.
    pub(super) fn allowed(&mut self, now: Instant) -> Allowed {
        let Some(Rate { count, per }) = self.rate else { return Allowed::Now(usize::MAX) };
        while self.begun.front().is_some_and(|begun| *begun + per <= now) {
            self.begun.pop_front();
        }
        match self.begun.front() {
            Some(first) if self.begun.len() >= count => Allowed::At(*first + per),
            _ => Allowed::Now(count - self.begun.len()),
        }
    }

    /// One has begun, as was allowed.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.rate.is_some() {
            self.begun.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_rate_nothing_is_remembered() {
        let mut pace = Pace::new(None);
        pace.begin(Instant::from_ms(1));
        assert_eq!(pace.allowed(Instant::from_ms(1)), Allowed::Now(usize::MAX));
        assert!(pace.begun.is_empty());
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_sees_more_than_the_rate_and_what_is_allowed_is_never_put_off(
            count in 1_usize..5, per in 1_u64..50, waits in prop::collection::vec(0_u64..20, 1..200),
        ) {
            let mut pace = Pace::new(Some(Rate { count, per: Duration::from_millis(per) }));
            let (mut now, mut all) = (1_000, Vec::new());
            for wait in waits {
                now += wait;
                let recent = all.iter().filter(|begun| **begun + per > now).count();
                match pace.allowed(Instant::from_ms(now)) {
                    Allowed::Now(free) => {
                        prop_assert_eq!(free, count - recent);
                        pace.begin(Instant::from_ms(now));
                        all.push(now);
                    }
                    Allowed::At(at) => {
                        prop_assert_eq!(recent, count);
                        prop_assert_eq!(at.as_ms(), all[all.len() - count] + per);
                    }
                }
            }
        }
    }
}
