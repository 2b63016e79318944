//! The port [`BrokerAdmin`] on SQS, as far as SQS goes: a look takes a message from others and counts as a delivery, so there
//! is none.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::MessageId;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{
    AdminCapabilities, BrokerAdmin, Found, Peeked, QueueInfo, Receive, ReplayFrom, Replayed,
};
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use forebay_envelope::envelope::Envelope;
use tracing::warn;

use crate::broker::SqsBroker;
use crate::inner::Inner;
use crate::queue::shelf::Shelf;
use crate::queue::{Queue, names};
use crate::wire::refusal::Refusal;

/// What the administration can do. Depths are as SQS tells them: roughly, and up to a minute old. In an ordered queue what waits
/// for its next attempt counts as held.
pub const ADMIN_CAPABILITIES: AdminCapabilities =
    AdminCapabilities { list: true, counts: false, peek: false, find: false, pause: false };

fn lacks<T: Send + 'static>(
    operation: &'static str,
    what: impl Into<String>,
) -> BoxFuture<'static, Result<T>> {
    let error = Error::new(Kind::Unsupported, operation, what);
    Box::pin(async move { Err(error) })
}

impl BrokerAdmin for SqsBroker {
    fn capabilities(&self) -> AdminCapabilities {
        ADMIN_CAPABILITIES
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        Box::pin(self.inner().infos())
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(self.inner().bounded(TELL, self.inner().info(queue)))
    }

    fn peek<'a>(&'a self, queue: &'a QueueName, _: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        lacks("look into queue", queue.as_str())
    }

    /// Takes and deletes what is ready, also what others would have received meanwhile, and asks SQS to purge what waits for
    /// its time, which it does once in a minute and else refuses as `Unavailable`. In an ordered queue what stands behind a held
    /// message of its key stays: SQS gives it to nobody.
    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.inner().purge(queue))
    }

    fn redrive<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.inner().redrive(queue, count_max))
    }

    fn find<'a>(&'a self, queue: &'a QueueName, _: &'a MessageId) -> BoxFuture<'a, Result<Option<Found>>> {
        lacks("find message", queue.as_str())
    }

    fn pause<'a>(&'a self, queue: &'a QueueName, _: bool) -> BoxFuture<'a, Result<()>> {
        lacks("pause queue", queue.as_str())
    }

    fn replay<'a>(
        &'a self,
        queue: &'a QueueName,
        _: ReplayFrom,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>> {
        lacks("replay queue", queue.as_str())
    }

    /// SQS makes no queue of the same name within a minute: declaring it again is `Unavailable` until then.
    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.inner().bounded("delete queue", self.inner().undeclare(queue)))
    }
}

const TELL: &str = "tell depth of queue";
const LIST: &str = "list queues";
const PURGE: &str = "purge queue";
const REDRIVE: &str = "redrive queue";

/// What a purge has still to do. It ends when nothing is found, or, where others publish faster than it deletes, when as much
/// is deleted as was there.
struct Left {
    counted: u64,
    empty: u32,
}

impl Left {
    fn new(counted: u64) -> Self {
        Self { counted, empty: 0 }
    }

    fn deleted(&mut self, count: u64) {
        self.counted = self.counted.saturating_sub(count);
        // A request that does not wait asks only some of SQS's servers.
        self.empty = if count == 0 { self.empty + 1 } else { 0 };
    }

    fn is_over(&self, elapsed: Duration) -> bool {
        // Its counts are old by then: what came before the purge may not be in them.
        let counted = self.counted == 0 && elapsed >= limits::sqs::PURGE_COUNTED;
        counted || self.empty >= limits::sqs::PURGE_EMPTY
    }
}

impl Inner {
    async fn info(&self, name: &QueueName) -> Result<QueueInfo> {
        let queue = self.queue_anew(name, TELL).await?;
        let depth = async { Ok((self.wire.depth(&queue.url).await?, self.wire.depth(&queue.later).await?)) };
        let (depth, later) = depth.await.map_err(|refusal: Refusal| refusal.during(TELL, name.as_str()))?;
        // What lies here ready is hidden from others, and held by nobody.
        let here = queue.look(Shelf::free) as u64;
        let stats = QueueStats {
            ready: depth.visible + here,
            held: depth.hidden.saturating_sub(here),
            delayed: depth.delayed + later.visible + later.hidden + later.delayed,
            ..QueueStats::default()
        };
        Ok(QueueInfo { settings: queue.settings.clone(), stats, paused: false })
    }

    async fn infos(&self) -> Result<Vec<QueueInfo>> {
        let list = async {
            let listed = self.wire.list(&self.settings.prefix).await;
            listed.map_err(|refusal| refusal.during(LIST, self.settings.address()))
        };
        let urls = self.bounded(LIST, list).await?;
        let on_sqs = urls.iter().filter_map(|url| url.rsplit('/').next());
        let mut queues: Vec<_> = on_sqs.filter_map(|name| names::read(&self.settings.prefix, name)).collect();
        queues.sort();
        queues.dedup();
        let mut infos = Vec::new();
        for name in queues {
            match self.bounded(LIST, self.info(&name)).await {
                Ok(info) => infos.push(info),
                // It is somebody else's, or has gone meanwhile.
                Err(error) if error.kind() == Kind::NotFound => {}
                // One queue hides no others.
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Invalid | Kind::Unsupported) => {
                    warn!(%error, "a queue is left out of the list");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(infos)
    }

    async fn purge(self: &Arc<Self>, name: &QueueName) -> Result<u64> {
        let queue = self.bounded(PURGE, self.queue_anew(name, PURGE)).await?;
        let refused = |refusal: Refusal| refusal.during(PURGE, name.as_str());
        let later = async {
            let _moving = queue.moving.lock().await;
            let depth = self.wire.depth(&queue.later).await?;
            let waiting = depth.visible + depth.hidden + depth.delayed;
            let there = self.wire.depth(&queue.url).await?.visible;
            match self.wire.purge(&queue.later).await {
                // It was purged within the last minute, and nothing has come since.
                Err(refusal) if refusal.is_purging() && waiting == 0 => Ok((0, there)),
                purged => purged.map(|()| (waiting, there)),
            }
        };
        let (mut purged, there) = self.bounded(PURGE, async { later.await.map_err(refused) }).await?;
        let (began, mut left) = (self.clock.now(), Left::new(there));
        while !left.is_over(self.clock.now().since(began)) {
            let step = async {
                let mut receipts: Vec<_> = queue
                    .change(|shelf| shelf.take_ready())
                    .iter()
                    .map(|letter| letter.receipt.clone())
                    .collect();
                let (count, hide) = (limits::sqs::BATCH_MAX, self.settings.visibility);
                let taken = self.wire.receive(&queue.url, count, Duration::ZERO, hide).await?;
                receipts.extend(taken.into_iter().map(|taken| taken.receipt));
                let mut deleted = 0;
                for batch in receipts.chunks(count) {
                    let done = self.wire.delete(&queue.url, batch).await?;
                    deleted += done.into_iter().filter(|done| *done).count() as u64;
                }
                Ok(deleted)
            };
            let deleted = self.bounded(PURGE, async { step.await.map_err(refused) }).await?;
            purged += deleted;
            left.deleted(deleted);
        }
        Ok(purged)
    }

    async fn redrive(self: &Arc<Self>, name: &QueueName, count_max: usize) -> Result<u64> {
        let queue = self.bounded(REDRIVE, self.queue_anew(name, REDRIVE)).await?;
        let (mut redriven, mut stay) = (0, Vec::new());
        let outcome = loop {
            let room = count_max.saturating_sub(redriven as usize).min(limits::REDRIVE_LOOKS_MAX);
            if room == 0 || stay.len() >= limits::RECEIVE_DELIVERIES_MAX {
                break Ok(());
            }
            let asked = Receive { count_max: room, hold: None, wait_until: self.clock.now() };
            let taken = match self.receive(name, asked).await {
                Ok(taken) if taken.is_empty() => break Ok(()),
                Ok(taken) => taken,
                Err(error) => break Err(error),
            };
            let mut failed = None;
            for delivery in taken {
                match self.bounded(REDRIVE, self.send_back(&queue, delivery.id)).await {
                    Ok(true) => redriven += 1,
                    Ok(false) => stay.push(delivery.id),
                    Err(error) => {
                        stay.push(delivery.id);
                        failed = Some(error);
                    }
                }
            }
            if let Some(error) = failed {
                break Err(error);
            }
        };
        for delivery in stay {
            let untouched = Outcome::Return { seen: false };
            // What cannot be given back comes back by itself.
            let _ = self.bounded(REDRIVE, self.settle(name, delivery, untouched, None)).await;
        }
        outcome.map(|()| redriven)
    }

    /// Sends a dead letter to where it came from. `false`: it came from nowhere, or that is gone.
    async fn send_back(self: &Arc<Self>, queue: &Arc<Queue>, delivery: DeliveryId) -> Result<bool> {
        let now = self.clock.now();
        let Some(grip) = queue.grip(delivery.position, delivery.token, now) else { return Ok(true) };
        let envelope = &grip.letter.envelope;
        let Some(from) = envelope.history.last().map(|line| line.queue.clone()) else { return Ok(false) };
        let home = match self.queue(&from, REDRIVE).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            found => found?,
        };
        let fresh = Envelope { attempts: 0, due: now, published_at: now, ..envelope.clone() };
        match self.put(&home, vec![(fresh, grip.letter.claim.clone())], REDRIVE).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            put => put?,
        }
        self.end(queue, grip, true).await.map(|_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_ends_under_publishers_that_are_faster_but_not_before_what_was_there_is_deleted() {
        let (soon, long) = (Duration::from_secs(1), limits::sqs::PURGE_COUNTED);
        let mut left = Left::new(25);
        for deleted in [10, 10] {
            left.deleted(deleted);
            assert!(!left.is_over(long * 9), "five are left");
        }
        left.deleted(10);
        assert!(!left.is_over(soon), "the count may be too low");
        assert!(left.is_over(long));
    }

    #[test]
    fn a_purge_ends_when_nothing_is_found_several_times() {
        let mut left = Left::new(25);
        (1..limits::sqs::PURGE_EMPTY).for_each(|_| left.deleted(0));
        assert!(!left.is_over(Duration::ZERO));
        left.deleted(1);
        left.deleted(0);
        assert!(!left.is_over(Duration::ZERO));
        (1..limits::sqs::PURGE_EMPTY).for_each(|_| left.deleted(0));
        assert!(left.is_over(Duration::ZERO));
    }
}
