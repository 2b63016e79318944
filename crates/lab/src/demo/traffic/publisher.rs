//! Publishes the gathered orders in bursts, as a flash sale does, and writes the journal of what was confirmed.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Result, Retry};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::orders::{Basket, Order};
use crate::demo::limits;
use crate::demo::verdict::counts::Counts;
use crate::demo::verdict::journal::Journal;

/// A way into the queue.
pub(in crate::demo) trait Outlet: Send {
    /// Publishes `orders`. `Ok`: all of them are confirmed. `Err`: some of them may be in the queue all the same.
    fn publish(&mut self, orders: &[Order]) -> impl Future<Output = Result<()>> + Send;

    /// Waits until the daemon may be tried again after a failed publish.
    fn rest(&self) -> impl Future<Output = ()> + Send;
}

/// When the bursts come: at even distances, one of them half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo) struct Bursts {
    every: Duration,
    /// Always even; the last one is at the end.
    count: u32,
}

impl Bursts {
    /// The bursts of a replay of this length.
    pub(super) fn within(length: Duration) -> Self {
        let half = length / 2;
        let per_half = half.div_duration_f64(limits::BURST_EVERY_MAX).ceil().max(1.0) as u32;
        Self { every: half / per_half, count: per_half * 2 }
    }
}

/// The shop's way of getting orders into the queue.
pub(in crate::demo) struct Publisher<O> {
    pub(super) queue: O,
    pub(super) basket: Arc<Basket>,
    pub(super) journal: Journal,
    pub(super) counts: Arc<Counts>,
    /// Told when a burst that was to be crashed has begun.
    pub(super) half_burst: Arc<Notify>,
    /// When to give up on a daemon that does not come back.
    pub(super) until: Instant,
}

impl<O: Outlet> Publisher<O> {
    /// Publishes all bursts but the last one, which is [`Self::rest`].
    pub(super) async fn run(&mut self, start: Instant, bursts: Bursts) -> Result<()> {
        for number in 1..bursts.count {
            sleep_until(start + bursts.every * number).await;
            self.burst(number == bursts.count / 2).await?;
        }
        Ok(())
    }

    /// Publishes what is left when the last reader is gone.
    pub(super) async fn rest(&mut self) -> Result<()> {
        self.burst(false).await
    }

    async fn burst(&mut self, half_way: bool) -> Result<()> {
        let orders = self.basket.take();
        let batch_max = (orders.len() / limits::BURST_BATCHES_MIN).clamp(1, limits::BATCH_ORDERS_MAX);
        for batch in orders.chunks(batch_max) {
            self.publish(batch).await?;
            if half_way {
                self.half_burst.notify_one();
            }
        }
        Ok(())
    }

    /// Publishes until confirmed. Without an answer the orders may be in the queue or not: publishing them again is
    /// the only way not to lose them, and the workers bear that they come twice.
    async fn publish(&mut self, batch: &[Order]) -> Result<()> {
        self.journal.sent(batch)?;
        loop {
            match self.queue.publish(batch).await {
                Ok(()) => break,
                Err(error) if error.retry() == Retry::Later && Instant::now() < self.until => {
                    self.queue.rest().await;
                }
                Err(error) => return Err(error),
            }
        }
        self.journal.confirmed(batch)?;
        self.counts.confirmed.add(batch.len());
        self.counts.rate_in.note(Instant::now(), batch.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use forebay_core::error::{Error, Kind};

    use super::*;
    use crate::demo::verdict::journal;

    /// A queue that fails so many times in this way before it confirms.
    struct Scripted {
        failures: usize,
        how: Kind,
        tries: usize,
        journal: PathBuf,
    }

    impl Outlet for Scripted {
        async fn publish(&mut self, _: &[Order]) -> Result<()> {
            assert!(journal::read(&self.journal).unwrap().confirmed.is_empty(), "noted before it was true");
            self.tries += 1;
            let fails = self.tries <= self.failures;
            if fails { Err(Error::new(self.how, "publish to queue", "orders")) } else { Ok(()) }
        }

        async fn rest(&self) {}
    }

    fn publisher(path: PathBuf, failures: usize, how: Kind) -> Publisher<Scripted> {
        let now = Instant::now();
        let publisher = Publisher {
            journal: Journal::create(&path).unwrap(),
            queue: Scripted { failures, how, tries: 0, journal: path },
            basket: Arc::new(Basket::default()),
            counts: Arc::new(Counts::new(now, Duration::from_secs(1))),
            half_burst: Arc::new(Notify::new()),
            until: now + limits::DRAIN_MAX,
        };
        publisher.basket.place(Order { id: "a".into(), product: 7 }, 0);
        publisher
    }

    #[test]
    fn one_burst_is_half_way_and_none_is_further_apart_than_allowed() {
        for seconds in [4, 5, 7, 8, 40, 41, 600] {
            let length = Duration::from_secs(seconds);
            let bursts = Bursts::within(length);
            assert!(bursts.every <= limits::BURST_EVERY_MAX, "{seconds}: {bursts:?}");
            let half = bursts.every * (bursts.count / 2);
            assert!(half.abs_diff(length / 2) < Duration::from_millis(1), "{seconds}: {bursts:?}");
        }
    }

    #[tokio::test]
    async fn orders_without_an_answer_are_published_again_until_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = publisher(folder.path().join("journal"), 2, Kind::Unavailable);
        publisher.burst(true).await.unwrap();
        assert_eq!(publisher.queue.tries, 3);
        assert_eq!(journal::read(&publisher.queue.journal).unwrap().confirmed.len(), 1);
        assert_eq!(publisher.counts.confirmed.get(), 1);
        publisher.half_burst.notified().await;
    }

    #[tokio::test]
    async fn a_refusal_ends_the_burst_and_confirms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = publisher(folder.path().join("journal"), 1, Kind::NotFound);
        assert_eq!(publisher.burst(true).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(publisher.queue.tries, 1);
        let entries = journal::read(&publisher.queue.journal).unwrap();
        assert_eq!((entries.sent.len(), entries.confirmed.len()), (1, 0));
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_come_back_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = publisher(folder.path().join("journal"), usize::MAX, Kind::Unavailable);
        publisher.until = Instant::now();
        assert_eq!(publisher.burst(true).await.unwrap_err().kind(), Kind::Unavailable);
    }
}
