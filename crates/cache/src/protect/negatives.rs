//! How many absent keys may be remembered, so that made-up keys do not push out values.

use std::time::Duration;

use forebay_core::time::Instant;

/// Counts what is remembered in stretches of one negative time to live. What was remembered before the last two stretches is
/// over, so that never more than twice the bound is alive.
#[derive(Debug)]
pub(crate) struct Negatives {
    count_max: u64,
    stretch: u64,
    count: u64,
}

impl Negatives {
    pub(crate) fn new(count_max: u64) -> Self {
        Self { count_max, stretch: 0, count: 0 }
    }

    /// Whether one more may be remembered, for so long.
    pub(crate) fn admit(&mut self, now: Instant, negative_for: Duration) -> bool {
        let stretch_ms = u64::try_from(negative_for.as_millis()).unwrap_or(u64::MAX).max(1);
        let stretch = now.as_ms() / stretch_ms;
        if stretch != self.stretch {
            (self.stretch, self.count) = (stretch, 0);
        }
        let admitted = self.count < self.count_max;
        self.count += u64::from(admitted);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_bound_in_one_stretch() {
        let mut negatives = Negatives::new(3);
        let mut admitted = |ms| {
            (0..10).filter(|_| negatives.admit(Instant::from_ms(ms), Duration::from_millis(100))).count()
        };
        assert_eq!(admitted(1_000), 3);
        assert_eq!(admitted(1_099), 0);
        assert_eq!(admitted(1_100), 3);
    }
}
