//! What a reader does with an entry: the one place that compares its age with the policy.

use forebay_core::time::Instant;

use crate::envelope::Opened;
use crate::through::policy::Policy;

/// How an entry stands to a policy at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Serve it.
    Fresh,
    /// Serve it, and load in the background: it ends soon.
    Ending,
    /// Serve it as stale, and load in the background.
    Stale,
    /// Serve it as stale: a load has failed a moment ago.
    Resting,
    /// Load; serve it only where that fails or takes long.
    Fallback,
    /// Load.
    Over,
}

impl Freshness {
    /// Good enough for whoever was about to load.
    pub(crate) fn needs_no_load(self) -> bool {
        matches!(self, Self::Fresh)
    }
}

pub(crate) fn judge(entry: &Opened<'_>, now: Instant, policy: &Policy) -> Freshness {
    let rests = now < entry.retry_at;
    if entry.is_fresh(now) {
        return if !rests && ends_soon(entry, now, policy) { Freshness::Ending } else { Freshness::Fresh };
    }
    if entry.value.is_none() {
        return Freshness::Over;
    }
    let age = now.since(entry.fresh_until);
    match (age < policy.stale_for, age < policy.stale_on_error) {
        (false, false) => Freshness::Over,
        _ if rests => Freshness::Resting,
        (true, _) => Freshness::Stale,
        (false, true) => Freshness::Fallback,
    }
}

fn ends_soon(entry: &Opened<'_>, now: Instant, policy: &Policy) -> bool {
    let Some(fresh_for) = policy.fresh_for.filter(|_| policy.refresh_ahead > 0.0) else { return false };
    let ahead = fresh_for.as_millis() as f64 * policy.refresh_ahead;
    // Remembered absence ends by itself; nobody is spared a wait by asking again early.
    entry.value.is_some() && entry.fresh_until.since(now).as_millis() as f64 <= ahead
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn entry(retry_at_ms: u64) -> Opened<'static> {
        let (fresh_until, retry_at) = (Instant::from_ms(10_000), Instant::from_ms(retry_at_ms));
        Opened { value: Some(b"value"), fresh_until, retry_at }
    }

    fn policy() -> Policy {
        Policy::fresh_for(10 * SECOND).stale_for(2 * SECOND).stale_on_error(5 * SECOND).refresh_ahead(0.2)
    }

    fn judged(retry_at_ms: u64, now_ms: u64) -> Freshness {
        judge(&entry(retry_at_ms), Instant::from_ms(now_ms), &policy())
    }

    #[test]
    fn an_entry_goes_through_all_its_ages() {
        let ages = [
            (0, Freshness::Fresh),
            (7_999, Freshness::Fresh),
            (8_000, Freshness::Ending),
            (9_999, Freshness::Ending),
            (10_000, Freshness::Stale),
            (11_999, Freshness::Stale),
            (12_000, Freshness::Fallback),
            (14_999, Freshness::Fallback),
            (15_000, Freshness::Over),
        ];
        for (now_ms, freshness) in ages {
            assert_eq!(judged(0, now_ms), freshness, "at {now_ms}");
        }
    }

    #[test]
    fn after_a_failed_load_it_rests_as_long_as_it_may_be_served() {
        assert_eq!(judged(20_000, 9_000), Freshness::Fresh);
        assert_eq!(judged(20_000, 11_000), Freshness::Resting);
        assert_eq!(judged(20_000, 14_999), Freshness::Resting);
        assert_eq!(judged(20_000, 15_000), Freshness::Over);
        assert_eq!(judged(11_000, 11_000), Freshness::Stale);
    }

    #[test]
    fn a_policy_that_allows_nothing_stale_serves_nothing_stale() {
        let policy = Policy::fresh_for(10 * SECOND);
        assert_eq!(judge(&entry(0), Instant::from_ms(9_999), &policy), Freshness::Fresh);
        assert_eq!(judge(&entry(0), Instant::from_ms(10_000), &policy), Freshness::Over);
    }

    #[test]
    fn remembered_absence_is_fresh_or_over() {
        let absence = Opened { value: None, ..entry(0) };
        assert_eq!(judge(&absence, Instant::from_ms(9_999), &policy()), Freshness::Fresh);
        assert_eq!(judge(&absence, Instant::from_ms(10_000), &policy()), Freshness::Over);
    }

    #[test]
    fn an_endless_value_never_ends() {
        let endless = Opened { fresh_until: Instant::from_ms(u64::MAX), ..entry(0) };
        let policy = Policy::endless().refresh_ahead(1.0);
        assert_eq!(judge(&endless, Instant::from_ms(u64::MAX - 1), &policy), Freshness::Fresh);
    }
}
