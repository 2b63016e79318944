//! Runs readers, publisher and workers together until the trace or the time is used up and the last order is done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::feed::Feed;
use super::floors::Floors;
use super::orders::Basket;
use super::pacer::Pacer;
use super::publisher::{Bursts, Publisher};
use super::readers::Reader;
use super::workers::Worker;
use crate::demo::clients::cache::CacheClient;
use crate::demo::clients::way::Way;
use crate::demo::daemon::Addresses;
use crate::demo::limits;
use crate::demo::shop::Shop;
use crate::demo::verdict::counts::Counts;
use crate::demo::verdict::journal::Journal;
use crate::demo::verdict::latency::Latencies;

/// What a replay leaves behind, apart from the journal and the database.
pub(in crate::demo) struct Replayed {
    /// How long page views took.
    pub(in crate::demo) latencies: Latencies,
    /// Messages that were still in the queue when the time for the last orders was over.
    pub(in crate::demo) left: u64,
}

/// Everything a replay needs, ready to run.
pub(in crate::demo) struct Replay {
    pub(in crate::demo) feed: Feed,
    pub(in crate::demo) shop: Shop,
    pub(in crate::demo) addresses: watch::Receiver<Addresses>,
    /// The way orders take.
    pub(in crate::demo) way: Way,
    /// Stands before every key of this run.
    pub(in crate::demo) prefix: String,
    pub(in crate::demo) counts: Arc<Counts>,
    /// Told when the burst half-way has begun.
    pub(in crate::demo) half_burst: Arc<Notify>,
    pub(in crate::demo) start: Instant,
    pub(in crate::demo) length: Duration,
}

impl Replay {
    /// Runs to the end. The journal is written to `journal`.
    pub(in crate::demo) async fn run(self, journal: &Path) -> Result<Replayed> {
        let until = self.start + self.length + limits::DRAIN_MAX;
        let (floors, basket) = (Arc::new(Floors::default()), Arc::new(Basket::default()));
        let (stop, stopped) = watch::channel(false);
        let mut workers = self.workers(&floors, until, &stopped);
        let mut publisher = Publisher {
            queue: self.way.outlet(self.addresses.clone()),
            basket: basket.clone(),
            journal: Journal::create(journal)?,
            counts: self.counts.clone(),
            half_burst: self.half_burst.clone(),
            until,
        };
        let (start, bursts) = (self.start, Bursts::within(self.length));
        let (addresses, counts, way) = (self.addresses.clone(), self.counts.clone(), self.way.clone());
        let readers = self.readers(&floors, &basket);
        let traffic = async {
            let (latencies, ()) = tokio::try_join!(add_up(readers), publisher.run(start, bursts))?;
            publisher.rest().await?;
            let left = drained(&way, &addresses, &counts, until).await;
            Ok(Replayed { latencies, left })
        };
        let replayed = tokio::select! {
            outcome = traffic => outcome?,
            early = all(&mut workers) => {
                early?;
                return Err(Error::new(Kind::Unavailable, "work off orders", "every worker ended early"));
            }
        };
        stop.send_replace(true);
        all(&mut workers).await?;
        Ok(replayed)
    }

    fn workers(
        &self,
        floors: &Arc<Floors>,
        until: Instant,
        stopped: &watch::Receiver<bool>,
    ) -> JoinSet<Result<()>> {
        let pacer = Arc::new(Pacer::new(self.start));
        let worker = || Worker {
            queue: self.way.inlet(self.addresses.clone()),
            cache: CacheClient::new(self.addresses.clone()).of_run(&self.prefix),
            shop: self.shop.clone(),
            floors: floors.clone(),
            pacer: pacer.clone(),
            counts: self.counts.clone(),
            until,
        };
        (0..limits::WORKERS).map(|_| worker().run(stopped.clone())).collect()
    }

    fn readers(self, floors: &Arc<Floors>, basket: &Arc<Basket>) -> JoinSet<Result<Latencies>> {
        let feed = Arc::new(self.feed);
        let reader = || Reader {
            cache: CacheClient::new(self.addresses.clone()).of_run(&self.prefix),
            shop: self.shop.clone(),
            floors: floors.clone(),
            basket: basket.clone(),
            counts: self.counts.clone(),
        };
        (0..limits::READERS).map(|_| reader().run(feed.clone())).collect()
    }
}

async fn add_up(mut readers: JoinSet<Result<Latencies>>) -> Result<Latencies> {
    let mut sum = Latencies::new()?;
    while let Some(ended) = readers.join_next().await {
        sum.add(&ended.map_err(crashed)??);
    }
    Ok(sum)
}

/// Waits for all tasks; the first error is the outcome.
async fn all(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(crashed)??;
    }
    Ok(())
}

/// Waits until every confirmed order is done and the queue is empty, but not for ever: what is missing then is for the
/// judge to say. Returns how many messages the queue had at the last look.
async fn drained(way: &Way, addresses: &watch::Receiver<Addresses>, counts: &Counts, until: Instant) -> u64 {
    let mut left = 0;
    while Instant::now() < until {
        match way.depth(addresses).await {
            Ok(0) if counts.done.get() >= counts.confirmed.get() => return 0,
            Ok(depth) => left = depth,
            // A daemon that does not answer has not said that its queue is empty.
            Err(_) => {}
        }
        sleep(limits::DRAIN_LOOK_EVERY).await;
    }
    left
}

fn crashed(error: tokio::task::JoinError) -> Error {
    Error::new(Kind::Unavailable, "replay trace", "a task crashed").because(error)
}
