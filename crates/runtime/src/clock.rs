//! Time and randomness of a real process.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::time::Instant;
#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{self, Instant as Monotonic};

/// A sleep beyond the clock's reach ends after this long instead.
const SLEEP_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// The wall clock as of its making, carried on by the monotonic one: a step of the wall clock later on cannot turn
/// time back, nor expire everything at once.
///
/// A paused clock of tokio is followed by everything but `recent`.
pub struct TokioClock {
    started: Monotonic,
    /// The same moment, as the system counts it.
    #[cfg(target_os = "linux")]
    started_at: Duration,
    wall_ms: u64,
    random: AtomicU64,
}

impl TokioClock {
    /// A clock that starts from the wall clock's present.
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Monotonic::now(),
            #[cfg(target_os = "linux")]
            started_at: monotonic(ClockId::Monotonic),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            random: AtomicU64::new(RandomState::new().hash_one(wall)),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::from_ms(self.wall_ms) + self.started.elapsed()
    }

    /// The system's clock as of its last tick, which is only a look at memory. The exact one asks the processor, and that waits
    /// for every load before it and holds up every one after it: half of what a hit took.
    #[cfg(target_os = "linux")]
    fn recent(&self) -> Instant {
        Instant::from_ms(self.wall_ms) + monotonic(ClockId::MonotonicCoarse).saturating_sub(self.started_at)
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let after_start = at.since(Instant::from_ms(self.wall_ms));
        let deadline = self.started.checked_add(after_start.min(SLEEP_MAX)).unwrap_or(self.started);
        Box::pin(async move { time::sleep_until(deadline).await })
    }

    /// SplitMix64: a counter that starts at a random place, well mixed.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.random.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(target_os = "linux")]
fn monotonic(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recent_moment_is_never_ahead_and_follows_the_present_closely() {
        let clock = TokioClock::new();
        for _ in 0..100_000 {
            let (before, recent, after) = (clock.now(), clock.recent(), clock.now());
            assert!(recent <= after);
            assert!(
                before.since(recent) <= Duration::from_millis(11),
                "a tick, and the millisecond that is cut off"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_sleep_the_clock_has_reached_the_moment() {
        let clock = TokioClock::new();
        let at = clock.now() + Duration::from_millis(1_500);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_in_the_past_does_not_wait() {
        let clock = TokioClock::new();
        let before = Monotonic::now();
        clock.sleep_until(Instant::from_ms(1)).await;
        assert!(before.elapsed() <= Duration::from_millis(1), "the timer's own grain at most");
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_beyond_all_time_waits_and_does_not_panic() {
        let clock = TokioClock::new();
        let forever = clock.sleep_until(Instant::from_ms(u64::MAX));
        assert!(time::timeout(Duration::from_secs(3600), forever).await.is_err());
    }

    #[test]
    fn it_starts_from_the_wall_clock() {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = Duration::from_millis(TokioClock::new().now().as_ms());
        assert!(now.abs_diff(wall) < Duration::from_secs(60));
    }

    #[test]
    fn two_clocks_do_not_draw_the_same_numbers() {
        let (one, other) = (TokioClock::new(), TokioClock::new());
        let draws: std::collections::HashSet<_> =
            (0..1_000).flat_map(|_| [one.random(), other.random()]).collect();
        assert_eq!(draws.len(), 2_000);
    }
}
