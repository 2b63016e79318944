//! Hands the accesses of a trace to the readers, spread evenly over the time of the replay.

use std::time::Duration;

use forebay_core::error::Result;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::demo::limits;
use crate::demo::trace::{Accesses, Survey, Trace};

/// One access, with its place in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// 0 is the first.
    pub(super) number: u64,
    /// Which product.
    pub(super) key: u32,
}

/// A trace being replayed. One that is too long for the time is replayed as fast as it goes, from its start.
pub(in crate::demo) struct Feed {
    rest: Mutex<Rest>,
    start: Instant,
    end: Instant,
    length: Duration,
    accesses: u64,
}

struct Rest {
    accesses: Accesses,
    given: u64,
}

impl Feed {
    /// Opens `trace`, whose `survey` was taken before, to be replayed from `start` for `length`.
    pub(in crate::demo) fn new(
        trace: &Trace,
        survey: &Survey,
        start: Instant,
        length: Duration,
    ) -> Result<Self> {
        let rest = Mutex::new(Rest { accesses: trace.open()?, given: 0 });
        Ok(Self { rest, start, end: start + length, length, accesses: survey.accesses })
    }

    /// The next access, when its time has come; `None` after the last one or at the end of the time.
    pub(super) async fn next(&self) -> Result<Option<Access>> {
        if Instant::now() > self.end + limits::VIEW_LATE_MAX {
            return Ok(None);
        }
        let Some(access) = self.take()? else { return Ok(None) };
        let due = self.due(access.number);
        if due > Instant::now() {
            sleep_until(due).await;
        }
        Ok(Some(access))
    }

    /// Decoding is done here, under the lock: a few microseconds once in a thousand accesses.
    fn take(&self) -> Result<Option<Access>> {
        let mut rest = self.rest.lock();
        if rest.given == self.accesses {
            return Ok(None);
        }
        let Some(key) = rest.accesses.next().transpose()? else { return Ok(None) };
        let number = rest.given;
        rest.given += 1;
        Ok(Some(Access { number, key }))
    }

    fn due(&self, number: u64) -> Instant {
        self.start + self.length.mul_f64(number as f64 / self.accesses as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(accesses: u64, length: Duration) -> Feed {
        let survey = Survey { accesses, keys: Vec::new(), whole: true };
        Feed::new(&Trace::Web07, &survey, Instant::now(), length).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn accesses_are_spread_evenly_over_the_time() {
        let feed = feed(10, Duration::from_secs(20));
        let mut seconds = Vec::new();
        while let Some(access) = feed.next().await.unwrap() {
            seconds.push((access.number, feed.start.elapsed().as_secs()));
        }
        let expected: Vec<_> = (0..10).map(|number| (number, number * 2)).collect();
        assert_eq!(seconds, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_given_after_the_end_of_the_time() {
        let feed = feed(1_000, Duration::from_secs(10));
        assert!(feed.next().await.unwrap().is_some());
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(feed.next().await.unwrap().is_none());
    }
}
