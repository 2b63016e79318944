//! Workers take orders at an even rate, change the database, invalidate the product, and only then acknowledge.

use std::sync::Arc;

use forebay_core::error::{Result, Retry};
use tokio::sync::watch;
use tokio::time::Instant;

use super::floors::Floors;
use super::orders::Order;
use super::pacer::Pacer;
use crate::demo::clients::cache::CacheClient;
use crate::demo::shop::{Shop, Worked};
use crate::demo::verdict::counts::Counts;

/// A way out of the queue, with at most one order in hand.
pub(in crate::demo) trait Inlet: Send {
    /// Takes one order in hand, waiting a moment for it; `None` if there was none. It stays in hand until it is
    /// acknowledged, and comes again, here or elsewhere, if it never is.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Order>>> + Send;

    /// Acknowledges the order in hand. One that is lost on the way is fine: the order comes again and is known by then.
    fn acknowledge(&mut self) -> impl Future<Output = ()> + Send;

    /// Waits until the daemon may be tried again after a failed call.
    fn rest(&self) -> impl Future<Output = ()> + Send;
}

/// One worker, with its connections.
pub(super) struct Worker<I> {
    pub(super) queue: I,
    pub(super) cache: CacheClient,
    pub(super) shop: Shop,
    pub(super) floors: Arc<Floors>,
    pub(super) pacer: Arc<Pacer>,
    pub(super) counts: Arc<Counts>,
    /// When to give up on a daemon that does not come back.
    pub(super) until: Instant,
}

impl<I: Inlet> Worker<I> {
    /// Works until `stop` turns true; an order in hand is finished before.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = self.pacer.turn(self.counts.confirmed.get()) => {}
            }
            match self.queue.receive().await {
                Ok(Some(order)) => self.work_off(&order).await?,
                Ok(None) => {}
                Err(error) if self.may_retry(&error) => self.queue.rest().await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn work_off(&mut self, order: &Order) -> Result<()> {
        let version = match self.shop.work_off(order).await? {
            Worked::First(version) => {
                self.counts.done.add(1);
                self.counts.rate_out.note(Instant::now(), 1);
                version
            }
            // Whoever did it before may have died before the invalidation: it is done here as well.
            Worked::Again(version) => {
                self.counts.duplicates.add(1);
                version
            }
        };
        self.invalidate(order.product, version).await?;
        self.queue.acknowledge().await;
        Ok(())
    }

    /// Until it has returned; from then on the old page is watched for.
    async fn invalidate(&mut self, product: u32, version: u64) -> Result<()> {
        let key = format!("product:{product}");
        loop {
            match self.cache.delete(&key).await {
                Ok(()) => break,
                Err(error) if self.may_retry(&error) => self.cache.rest().await,
                Err(error) => return Err(error),
            }
        }
        self.floors.invalidated(product, version, Instant::now());
        Ok(())
    }

    fn may_retry(&self, error: &forebay_core::error::Error) -> bool {
        error.retry() == Retry::Later && Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::path::Path;
    use std::time::Duration;

    use forebay_core::error::{Error, Kind};
    use parking_lot::Mutex;

    use super::*;
    use crate::demo::clients::scripted;
    use crate::demo::limits;

    const INVALIDATE: &str = "md product:7";
    const ACKNOWLEDGE: &str = "acknowledge";

    type Events = Arc<Mutex<Vec<String>>>;

    /// A queue that answers one thing after the other, then tells the worker to stop.
    struct Scripted {
        answers: VecDeque<Result<Option<Order>>>,
        events: Events,
        stop: watch::Sender<bool>,
    }

    impl Inlet for Scripted {
        async fn receive(&mut self) -> Result<Option<Order>> {
            self.answers.pop_front().unwrap_or_else(|| {
                self.stop.send_replace(true);
                Ok(None)
            })
        }

        async fn acknowledge(&mut self) {
            self.events.lock().push(ACKNOWLEDGE.to_string());
        }

        async fn rest(&self) {
            self.events.lock().push("rest".to_string());
        }
    }

    fn order() -> Order {
        Order { id: "a".into(), product: 7 }
    }

    fn away() -> Error {
        Error::new(Kind::Unavailable, "receive from queue", "orders")
    }

    /// A worker whose cache leaves so many invalidations unanswered.
    async fn worker(
        folder: &Path,
        unanswered: usize,
        answers: Vec<Result<Option<Order>>>,
    ) -> (Worker<Scripted>, watch::Receiver<bool>, Events) {
        let events = Events::default();
        let in_cache = events.clone();
        let cache = move |line: &str| {
            let mut events = in_cache.lock();
            events.push(line.to_string());
            let asked = events.iter().filter(|event| *event == INVALIDATE).count();
            (asked > unanswered).then(|| "HD\r\n".to_string())
        };
        let now = Instant::now();
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            queue: Scripted { answers: answers.into(), events: events.clone(), stop },
            cache: CacheClient::new(scripted::cache(cache).await),
            shop: Shop::open(folder, &[7]).await.unwrap(),
            floors: Arc::default(),
            pacer: Arc::new(Pacer::new(now)),
            counts: Arc::new(Counts::new(now, Duration::from_secs(1))),
            until: now + limits::DRAIN_MAX,
        };
        (worker, stopped, events)
    }

    #[tokio::test]
    async fn an_order_is_acknowledged_only_after_its_invalidation_returned() {
        let folder = tempfile::tempdir().unwrap();
        let (worker, stopped, events) =
            worker(folder.path(), 2, vec![Ok(Some(order())), Ok(Some(order()))]).await;
        let (counts, floors, shop) = (worker.counts.clone(), worker.floors.clone(), worker.shop.clone());
        worker.run(stopped).await.unwrap();

        let first = [INVALIDATE, INVALIDATE, INVALIDATE, ACKNOWLEDGE];
        assert_eq!(events.lock()[..4], first, "two invalidations got no answer");
        let again = [INVALIDATE, ACKNOWLEDGE];
        assert_eq!(events.lock()[4..], again, "a duplicate is invalidated and acknowledged as well");
        assert_eq!((counts.done.get(), counts.duplicates.get()), (1, 1));
        assert_eq!(floors.at(7, Instant::now() + limits::STALE_AFTER * 2), Some(2));
        shop.close().await;
    }

    #[tokio::test]
    async fn a_worker_outlives_a_queue_that_is_away_and_ends_with_one_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Error::new(Kind::NotFound, "receive from queue", "orders");
        let answers = vec![Err(away()), Ok(Some(order())), Err(away()), Ok(None), Err(gone)];
        let (worker, stopped, events) = worker(folder.path(), 0, answers).await;
        let shop = worker.shop.clone();
        assert_eq!(worker.run(stopped).await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(*events.lock(), ["rest", INVALIDATE, ACKNOWLEDGE, "rest"]);
        shop.close().await;
    }

    #[tokio::test]
    async fn a_queue_that_does_not_come_back_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let (mut worker, stopped, _) = worker(folder.path(), 0, vec![Err(away())]).await;
        worker.until = Instant::now();
        let shop = worker.shop.clone();
        assert_eq!(worker.run(stopped).await.unwrap_err().kind(), Kind::Unavailable);
        shop.close().await;
    }
}
