//! How many absent keys may be remembered, so that made-up keys do not push out values.

use std::time::Duration;

use forebay_core::time::Instant;

/// Counts what is remembered in stretches of the longest negative time to live there was. What was remembered before the last
/// two stretches is over, so that never more than twice the bound is alive.
#[derive(Debug)]
pub(crate) struct Negatives {
    count_max: u64,
    stretch: Duration,
    began_at: Instant,
    count: u64,
}

impl Negatives {
    pub(crate) fn new(count_max: u64) -> Self {
        Self { count_max, stretch: Duration::ZERO, began_at: Instant::default(), count: 0 }
    }

    /// Whether one more may be remembered, for so long.
    pub(crate) fn admit(&mut self, now: Instant, negative_for: Duration) -> bool {
        self.stretch = self.stretch.max(negative_for);
        if now.since(self.began_at) >= self.stretch {
            (self.began_at, self.count) = (now, 0);
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

    #[test]
    fn policies_of_several_times_to_live_share_the_bound() {
        let mut negatives = Negatives::new(3);
        let mut admitted = |ms| {
            let lives = [100, 70, 30].map(Duration::from_millis);
            lives.iter().cycle().take(12).filter(|life| negatives.admit(Instant::from_ms(ms), **life)).count()
        };
        assert_eq!(admitted(1_000), 3);
        assert_eq!(admitted(1_099), 0);
        assert_eq!(admitted(1_100), 3);
    }
}
