//! Lives as memcached counts them.

use std::time::Duration;

use forebay_core::time::Instant;

/// Up to here a number of seconds is one; above it is a date.
const RELATIVE_MAX_SECONDS: u64 = 30 * 24 * 3600;
/// The shortest lease: one of 1 s may be over at once, because memcached's clock ticks in seconds.
const LEASE_MIN_SECONDS: u64 = 2;

/// A life as the number that is sent: whole seconds, rounded up; 0 has no end, what is below it is over.
pub(crate) fn exptime(life: Option<Duration>, now: impl FnOnce() -> Instant) -> i64 {
    let Some(life) = life else { return 0 };
    let seconds = whole_seconds(life);
    match seconds {
        0 => -1,
        1..=RELATIVE_MAX_SECONDS => seconds as i64,
        _ => {
            let date = (now().as_ms() / 1_000).saturating_add(seconds);
            // What memcached cannot count to does not end.
            i32::try_from(date).map_or(0, i64::from)
        }
    }
}

/// A lease or hold in seconds.
pub(crate) fn lease(lease: Duration) -> u64 {
    whole_seconds(lease).clamp(LEASE_MIN_SECONDS, RELATIVE_MAX_SECONDS)
}

fn whole_seconds(life: Duration) -> u64 {
    life.as_secs().saturating_add(u64::from(life.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_700_000_000_900);

    #[test]
    fn a_life_is_rounded_up_and_never_without_end_by_mistake() {
        for (ms, sent) in [(0, -1), (1, 1), (1_000, 1), (1_001, 2), (30 * 86_400_000, 2_592_000)] {
            assert_eq!(exptime(Some(Duration::from_millis(ms)), || NOW), sent, "{ms} ms");
        }
        assert_eq!(exptime(None, || NOW), 0);
    }

    #[test]
    fn above_thirty_days_it_is_a_date_as_far_as_dates_go() {
        let days = |days: u64| exptime(Some(Duration::from_secs(days * 86_400)), || NOW);
        assert_eq!(days(31), 1_700_000_000 + 31 * 86_400);
        assert_eq!(days(20_000), 0);
        assert_eq!(exptime(Some(Duration::MAX), || NOW), 0);
    }

    #[test]
    fn a_lease_lives_two_seconds_at_least() {
        assert_eq!(lease(Duration::ZERO), 2);
        assert_eq!(lease(Duration::from_millis(2_001)), 3);
        assert_eq!(lease(Duration::MAX), RELATIVE_MAX_SECONDS);
    }
}
