//! The even rate of the workers: the mean rate of orders and a little more.

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::demo::limits;

/// Gives turns at even distances, never two at once.
#[derive(Debug)]
pub(in crate::demo) struct Pacer {
    start: Instant,
    next: Mutex<Instant>,
}

impl Pacer {
    /// A pacer for orders that come from `start` on.
    pub(super) fn new(start: Instant) -> Self {
        Self { start, next: Mutex::new(start) }
    }

    /// Waits for the next turn, at a rate that follows from the orders confirmed so far.
    pub(super) async fn turn(&self, confirmed: u64) {
        let turn = {
            let now = Instant::now();
            let mut next = self.next.lock();
            let turn = (*next).max(now);
            *next = turn + std::time::Duration::from_secs_f64(1.0 / self.rate(confirmed, now));
            turn
        };
        sleep_until(turn).await;
    }

    fn rate(&self, confirmed: u64, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.start).as_secs_f64().max(1.0);
        let mean = confirmed as f64 / seconds;
        (mean * f64::from(limits::WORK_RATE_PERCENT) / 100.0).max(limits::WORK_RATE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_are_even_at_a_little_more_than_the_mean_rate_of_orders() {
        let pacer = Pacer::new(Instant::now());
        tokio::time::advance(Duration::from_secs(10)).await;
        let start = Instant::now();
        pacer.turn(1_000).await;
        let mut last = start;
        for _ in 0..10 {
            pacer.turn(1_000).await;
            let distance = last.elapsed();
            assert!((7..=11).contains(&distance.as_millis()), "100 a second and 15 %: {distance:?}");
            last = Instant::now();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_that_were_not_taken_are_not_made_up_for() {
        let pacer = Pacer::new(Instant::now());
        tokio::time::advance(Duration::from_secs(60)).await;
        pacer.turn(0).await;
        let start = Instant::now();
        pacer.turn(0).await;
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}
