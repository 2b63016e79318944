//! What a client's end of life means.

use std::time::Duration;

use forebay_core::entry::Expiry;
use forebay_core::time::Instant;
use forebay_wire::memcached::words::Words;

/// Up to here a number is seconds from now, beyond it seconds since the epoch.
const RELATIVE_SECONDS_MAX: i64 = 30 * 24 * 3600;

/// 0 is no end, a negative number is an end that has passed, others count from now or from the epoch.
pub(crate) fn expiry(exptime: impl Into<i64>, now: Instant) -> Expiry {
    match exptime.into() {
        0 => None,
        ..0 => Some(Instant::from_ms(0)),
        relative @ 1..=RELATIVE_SECONDS_MAX => Some(now + seconds(relative)),
        absolute => Some(Instant::from_ms(0) + seconds(absolute)),
    }
}

/// How long from now an entry lives; `None` has no end.
pub(crate) fn life(exptime: impl Into<i64>, now: Instant) -> Option<Duration> {
    expiry(exptime, now).map(|at| at.since(now))
}

/// When a flush takes effect: a second before its delay is over, as in memcached, so that one of a second is one at once.
pub(crate) fn flush_at(delay: impl Into<i64>, now: Instant) -> Instant {
    match delay.into() {
        ..=0 => now,
        delay => expiry(delay, now).map_or(now, |at| now.max(at - seconds(1))),
    }
}

/// Below how many milliseconds of life a reader is asked to load anew: where fewer whole seconds are left, as `t` shows
/// them, than `exptime` says.
pub(crate) fn refresh_below_ms(exptime: i32, now: Instant) -> u64 {
    match expiry(exptime, now) {
        Some(at) => (at.since(now).as_millis() as u64).saturating_sub(999),
        None => 0,
    }
}

/// The seconds left, a started one counted as whole; -1 without an end.
pub(crate) fn seconds_left(expiry: Expiry, now: Instant) -> i64 {
    match expiry {
        Some(at) => at.since(now).as_millis().div_ceil(1000) as i64,
        None => -1,
    }
}

/// The ends of life that one meta command speaks of: that of a new entry (`N`), and a new one for what is there (`T`).
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) vivify: Option<Expiry>,
    pub(crate) touch: Option<Expiry>,
}

impl Ends {
    pub(crate) fn new(vivify: Option<i32>, touch: Option<i32>, now: Instant) -> Self {
        let end = |exptime| expiry(exptime, now);
        Self { vivify: vivify.map(end), touch: touch.map(end) }
    }

    /// The end of life of what is made. Flags take effect in the order in which they stand, so the last holds.
    pub(crate) fn created(&self, flags: Words<'_>) -> Option<Expiry> {
        let vivify = self.vivify?;
        let last = flags.filter(|word| matches!(word.first(), Some(b'N' | b'T'))).last();
        Some(self.touch.filter(|_| last.and_then(|word| word.first()) == Some(&b'T')).unwrap_or(vivify))
    }

    /// The end of life to show from a flag on, when `end` was the one before it.
    pub(crate) fn after(&self, letter: Option<&u8>, created: bool, end: Expiry) -> Expiry {
        match letter {
            Some(b'T') => self.touch.unwrap_or(end),
            Some(b'N') if created => self.vivify.unwrap_or(end),
            _ => end,
        }
    }
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(1_700_000_000_123);

    #[test]
    fn an_exptime_is_relative_up_to_thirty_days_and_absolute_beyond() {
        assert_eq!(expiry(0, NOW), None);
        assert_eq!(expiry(1, NOW), Some(Instant::from_ms(1_700_000_001_123)));
        assert_eq!(expiry(2_592_000, NOW), Some(NOW + Duration::from_secs(2_592_000)));
        assert_eq!(expiry(2_592_001, NOW), Some(Instant::from_ms(2_592_001_000)));
        assert_eq!(expiry(1_700_000_060, NOW), Some(Instant::from_ms(1_700_000_060_000)));
    }

    #[test]
    fn a_negative_exptime_has_passed() {
        assert!(expiry(-1, NOW) < Some(NOW));
        assert!(expiry(i32::MIN, NOW) < Some(NOW));
    }

    #[test]
    fn a_flush_without_a_delay_or_with_a_second_is_at_once() {
        assert_eq!(flush_at(0, NOW), NOW);
        assert_eq!(flush_at(-5, NOW), NOW);
        assert_eq!(flush_at(1, NOW), NOW);
        assert_eq!(flush_at(5, NOW), NOW + Duration::from_secs(4));
    }

    #[test]
    fn whole_seconds_decide_about_a_refresh() {
        let ends = Some(NOW + Duration::from_secs(100));
        let later = NOW + Duration::from_millis(5);
        assert_eq!(seconds_left(ends, later), 100);
        assert!(ends.is_some_and(|at| at.since(later).as_millis() as u64 >= refresh_below_ms(100, later)));
        assert!(ends.is_some_and(|at| (at.since(later).as_millis() as u64) < refresh_below_ms(101, later)));
        assert_eq!(refresh_below_ms(0, NOW), 0);
        assert_eq!(refresh_below_ms(-1, NOW), 0);
        assert_eq!(seconds_left(None, NOW), -1);
    }
}
