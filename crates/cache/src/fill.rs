//! Storing what was loaded.

use std::time::Duration;

use forebay_core::entry::{Condition, Lease, Write, Written};
use forebay_core::time::Instant;

use crate::cache::Cache;

impl Cache {
    /// Stores a loaded value, unless the key was written or invalidated since the lease was taken, which was before the source
    /// was asked. A value that is too large for the store is served all the same.
    pub(crate) fn fill(&self, key: &[u8], value: &[u8], ttl: Option<Duration>, lease: Lease) -> Written {
        let write = Write {
            expires_at: self.end_of_life(ttl),
            condition: Condition::Lease(lease),
            ..Write::at(self.clock.now())
        };
        self.store.write(key, value, write)
    }
}

/// When an entry ends: after its time to live, less a random part of it.
pub(crate) fn end_of_life(now: Instant, ttl: Duration, jitter: f64, random: u64) -> Instant {
    let share = jitter * (random as f64 / u64::MAX as f64);
    let ms = ttl.as_millis().min(u128::from(u64::MAX)) as f64;
    now + Duration::from_millis((ms * (1.0 - share)).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_loses_up_to_its_jitter() {
        let end = |jitter, random| {
            end_of_life(Instant::from_ms(1_000), Duration::from_secs(10), jitter, random).as_ms()
        };
        assert_eq!(end(0.0, u64::MAX), 11_000);
        assert_eq!(end(0.2, 0), 11_000);
        assert_eq!(end(0.2, u64::MAX), 9_000);
        assert_eq!(end(0.2, u64::MAX / 2), 10_000);
        assert_eq!(end(1.0, u64::MAX), 1_000);
    }

    #[test]
    fn an_endless_time_to_live_does_not_overflow() {
        let end = end_of_life(Instant::from_ms(1_000), Duration::MAX, 0.0, 0);
        assert!(end > Instant::from_ms(u64::MAX / 2));
    }
}
