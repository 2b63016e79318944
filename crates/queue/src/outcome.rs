//! What becomes of a delivery that has ended: pure, and the only place that counts attempts.

use std::time::Duration;

use forebay_core::delivery::{End, Outcome, Reason};
use forebay_core::queue::{Backoff, RetryPolicy};
use forebay_core::time::Instant;

/// Decides for the delivery that was attempt number `attempt`, 1 for the first. `random` is one draw of the clock's.
pub fn decide(attempt: u32, retry: &RetryPolicy, end: End, now: Instant, random: u64) -> Outcome {
    match end {
        End::Acked => Outcome::Done,
        End::Returned => Outcome::Return { seen: false },
        End::Rejected => Outcome::DeadLetter(Reason::Rejected),
        End::Failed | End::Expired if attempt < retry.attempt_max => {
            Outcome::RetryAt(now + wait_after(attempt, &retry.backoff, random))
        }
        End::Failed | End::Expired => Outcome::DeadLetter(Reason::AttemptsSpent),
    }
}

/// `first`, doubled for every failed attempt but the first, at most `longest`, less a random part of its `jitter` share.
fn wait_after(attempt: u32, backoff: &Backoff, random: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let whole = backoff.first.saturating_mul(1 << doublings).min(backoff.longest);
    // The upper 53 bits are what a float holds exactly: a share from 0 up to, but never quite, 1.
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    whole.mul_f64((1.0 - backoff.jitter * share).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant::from_ms(1_000_000);

    fn policy(attempt_max: u32, first: u64, longest: u64, jitter: f64) -> RetryPolicy {
        let backoff =
            Backoff { first: Duration::from_millis(first), longest: Duration::from_millis(longest), jitter };
        RetryPolicy { attempt_max, backoff }
    }

    #[test]
    fn success_return_and_rejection_do_not_look_at_the_attempts() {
        let spent = policy(1, 1, 1, 0.0);
        assert_eq!(decide(9, &spent, End::Acked, NOW, 0), Outcome::Done);
        assert_eq!(decide(9, &spent, End::Returned, NOW, 0), Outcome::Return { seen: false });
        assert_eq!(decide(1, &spent, End::Rejected, NOW, 0), Outcome::DeadLetter(Reason::Rejected));
    }

    #[test]
    fn the_last_attempt_is_dead_lettered_and_the_one_before_is_tried_again() {
        let three = policy(3, 100, 1_000, 0.0);
        for end in [End::Failed, End::Expired] {
            assert_eq!(decide(2, &three, end, NOW, 0), Outcome::RetryAt(NOW + Duration::from_millis(200)));
            assert_eq!(decide(3, &three, end, NOW, 0), Outcome::DeadLetter(Reason::AttemptsSpent));
        }
    }

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let waits: Vec<_> = (1..=6)
            .map(|attempt| wait_after(attempt, &policy(9, 100, 1_000, 0.0).backoff, 7).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(wait_after(u32::MAX, &policy(9, 100, 1_000, 0.0).backoff, 7).as_millis(), 1_000);
    }

    #[test]
    fn full_jitter_reaches_from_nothing_to_the_whole() {
        let full = policy(9, 1_000, 1_000, 1.0).backoff;
        assert_eq!(wait_after(1, &full, 0).as_millis(), 1_000);
        assert_eq!(wait_after(1, &full, u64::MAX).as_millis(), 0);
        assert_eq!(wait_after(1, &full, u64::MAX / 2).as_millis(), 500);
    }

    proptest! {
        #[test]
        fn the_wait_stays_within_the_jitters_share(
            attempt in 1_u32..=10_000, first in 0_u64..100_000, more in 0_u64..1_000_000, jitter in 0.0..=1.0_f64, random: u64,
        ) {
            let backoff = policy(9, first, first + more, jitter).backoff;
            let whole = wait_after(attempt, &Backoff { jitter: 0.0, ..backoff }, random);
            let wait = wait_after(attempt, &backoff, random);
            prop_assert!(whole <= backoff.longest && wait <= whole);
            prop_assert!(wait.as_secs_f64() >= whole.as_secs_f64() * (1.0 - jitter) - 1e-6);
        }
    }
}
