//! Workers take orders at an even rate, change the database, invalidate the product, and only then acknowledge.

use std::sync::Arc;

use forebay_core::error::{Result, Retry};
use tokio::sync::watch;
use tokio::time::Instant;

use super::floors::Floors;
use super::pacer::Pacer;
use crate::demo::clients::cache::CacheClient;
use crate::demo::clients::queue::{Delivery, QueueClient};
use crate::demo::shop::{Shop, Worked};
use crate::demo::verdict::counts::Counts;

/// One worker, with its connections.
pub(super) struct Worker {
    pub(super) queue: QueueClient,
    pub(super) cache: CacheClient,
    pub(super) shop: Shop,
    pub(super) floors: Arc<Floors>,
    pub(super) pacer: Arc<Pacer>,
    pub(super) counts: Arc<Counts>,
    /// When to give up on a daemon that does not come back.
    pub(super) until: Instant,
}

impl Worker {
    /// Works until `stop` turns true; an order in hand is finished before.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                () = self.pacer.turn(self.counts.confirmed.get()) => {}
            }
            match self.queue.receive().await {
                Ok(Some(delivery)) => self.work_off(&delivery).await?,
                Ok(None) => {}
                Err(error) if self.may_retry(&error) => self.queue.rest().await,
                Err(error) => return Err(error),
            }
        }
    }

    async fn work_off(&mut self, delivery: &Delivery) -> Result<()> {
        let order = &delivery.order;
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
        self.acknowledge(delivery).await
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

    async fn acknowledge(&mut self, delivery: &Delivery) -> Result<()> {
        loop {
            match self.queue.acknowledge(delivery).await {
                Ok(()) => return Ok(()),
                Err(error) if self.may_retry(&error) => self.queue.rest().await,
                Err(error) => return Err(error),
            }
        }
    }

    fn may_retry(&self, error: &forebay_core::error::Error) -> bool {
        error.retry() == Retry::Later && Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;
    use crate::demo::clients::scripted;
    use crate::demo::limits;
    use crate::demo::traffic::orders::Order;

    fn delivery(id: &str) -> Delivery {
        Delivery { id: id.into(), order: Order { id: "a".into(), product: 7 } }
    }

    #[tokio::test]
    async fn an_order_is_acknowledged_only_after_its_invalidation_returned() {
        let folder = tempfile::tempdir().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let (in_cache, in_queue) = (events.clone(), events.clone());
        let cache = move |line: &str| {
            let mut events = in_cache.lock();
            events.push(line.to_string());
            (events.len() > 2).then(|| "HD\r\n".to_string())
        };
        let queue = move |request: &str, _: &str| {
            in_queue.lock().push(request.to_string());
            Some((204, String::new()))
        };
        let addresses = scripted::daemon(Arc::new(cache), Arc::new(queue)).await;
        let now = Instant::now();
        let mut worker = Worker {
            queue: QueueClient::new(addresses.clone()),
            cache: CacheClient::new(addresses),
            shop: Shop::open(folder.path(), &[7]).await.unwrap(),
            floors: Arc::default(),
            pacer: Arc::new(Pacer::new(now)),
            counts: Arc::new(Counts::new(now, Duration::from_secs(1))),
            until: now + limits::DRAIN_MAX,
        };
        worker.work_off(&delivery("1-1")).await.unwrap();
        worker.work_off(&delivery("1-2")).await.unwrap();

        let (invalidate, ack) = ("md product:7", "POST /v1/queues/orders/deliveries");
        let first = [invalidate, invalidate, invalidate, &format!("{ack}/1-1/ack")];
        assert_eq!(events.lock()[..4], first, "two invalidations got no answer");
        let again = [invalidate, &format!("{ack}/1-2/ack")];
        assert_eq!(events.lock()[4..], again, "a duplicate is invalidated and acknowledged as well");
        assert_eq!((worker.counts.done.get(), worker.counts.duplicates.get()), (1, 1));
        assert_eq!(worker.floors.at(7, Instant::now() + limits::STALE_AFTER * 2), Some(2));
        worker.shop.close().await;
    }
}
