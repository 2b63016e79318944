//! How long to leave the daemon alone after a failure.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::demo::limits;

/// Pauses that double with every failure in a row, up to a bound.
#[derive(Debug)]
pub(in crate::demo) struct Backoff {
    pause: Duration,
    until: Option<Instant>,
}

impl Backoff {
    /// No failure yet.
    pub(super) fn new() -> Self {
        Self { pause: limits::BACKOFF_FIRST, until: None }
    }

    /// True while the pause after the last failure lasts.
    pub(super) fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, now: Instant) {
        self.until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(limits::BACKOFF_LONGEST);
    }

    /// Notes a success.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// Waits for the end of the pause.
    pub(in crate::demo) async fn rest(&self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_end_with_a_success() {
        let now = Instant::now();
        let mut backoff = Backoff::new();
        assert!(!backoff.lasts(now));
        backoff.failed(now);
        assert!(backoff.lasts(now) && !backoff.lasts(now + limits::BACKOFF_FIRST));
        for _ in 0..20 {
            backoff.failed(now);
        }
        assert!(!backoff.lasts(now + limits::BACKOFF_LONGEST));
        backoff.succeeded();
        assert!(!backoff.lasts(now));
    }
}
