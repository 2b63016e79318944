//! The port [`BrokerAdmin`] on Kafka.

mod look;
mod replay;
mod stats;

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka::LOOK;
use forebay_core::message::MessageId;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{
    AdminCapabilities, BrokerAdmin, Found, Peeked, QueueInfo, ReplayFrom, Replayed,
};
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use rdkafka::error::KafkaError;
use tracing::warn;

use self::stats::Depth;
use crate::broker::KafkaBroker;
use crate::consume::member::{away, want};
use crate::consume::trim::remove;
use crate::inner::Inner;
use crate::link::{Clients, refusal};
use crate::queue::Queue;
use crate::queue::letter::Source;
use crate::queue::names::{Lane, Names};
use crate::queue::record::Entry;
use crate::queue::shelf::{Consuming, Shelf};

/// What the administration can do.
///
/// A look shows what is in the partitions that are this process's, and so does a redrive.
pub const ADMIN_CAPABILITIES: AdminCapabilities =
    AdminCapabilities { list: true, counts: false, peek: true, find: false, pause: false };

const DELETE: &str = "delete queue";
const PURGE: &str = "purge queue";
const TELL: &str = "tell depth of queue";

fn lacks<T: Send + 'static>(
    operation: &'static str,
    what: impl Into<String>,
) -> BoxFuture<'static, Result<T>> {
    let error = Error::new(Kind::Unsupported, operation, what);
    Box::pin(async move { Err(error) })
}

impl BrokerAdmin for KafkaBroker {
    fn capabilities(&self) -> AdminCapabilities {
        ADMIN_CAPABILITIES
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        Box::pin(self.inner().infos())
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(self.inner().info(queue))
    }

    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        Box::pin(self.inner().peek(queue, count_max))
    }

    fn purge<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.inner().bounded(PURGE, self.inner().purge(queue)))
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
        from: ReplayFrom,
        count_max: usize,
    ) -> BoxFuture<'a, Result<Vec<Replayed>>> {
        Box::pin(self.inner().bounded("replay queue", self.inner().replay(queue, from, count_max)))
    }

    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.inner().bounded(DELETE, self.inner().delete_queue(queue)))
    }
}

impl Inner {
    /// A queue as it is now, whatever is remembered of it.
    async fn queue_anew(&self, name: &QueueName, operation: &'static str) -> Result<Arc<Queue>> {
        self.read_all(operation).await?;
        self.queue(name, operation).await
    }

    async fn infos(self: &Arc<Self>) -> Result<Vec<QueueInfo>> {
        self.read_all("list queues").await?;
        let mut infos = Vec::new();
        for name in self.registry.all() {
            let info = async { self.info_of(self.queue(&name, TELL).await?).await };
            match info.await {
                Err(error) if error.kind() == Kind::NotFound => {}
                // One queue hides no others.
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Invalid | Kind::Unsupported) => {
                    warn!(%error, "a queue is left out of the list");
                }
                info => infos.push(info?),
            }
        }
        Ok(infos)
    }

    async fn info(self: &Arc<Self>, name: &QueueName) -> Result<QueueInfo> {
        self.info_of(self.queue_anew(name, TELL).await?).await
    }

    async fn info_of(self: &Arc<Self>, queue: Arc<Queue>) -> Result<QueueInfo> {
        let depths = self.depths(&queue, TELL).await?;
        let now = self.clock.now();
        let (held, later) = queue.look(|shelf| (shelf.holds.count() as u64, shelf.later_count(now)));
        let sum = |lane| -> u64 {
            let of_lane = depths.iter().filter(|(source, _)| source.lane == lane);
            of_lane.map(|(_, depth)| depth.open).sum()
        };
        let ready = sum(Lane::Main).saturating_sub(held + later);
        let stats = QueueStats { ready, held, delayed: sum(Lane::Wait) + later, ..QueueStats::default() };
        Ok(QueueInfo { settings: queue.settings.clone(), stats, paused: false })
    }

    /// Waits until this process has its share of a queue's partitions.
    async fn join(self: &Arc<Self>, queue: &Arc<Queue>) -> Result<()> {
        let late = self.clock.now() + self.settings.wait;
        loop {
            let now = self.clock.now();
            let joined = queue.change_quietly(|shelf| {
                shelf.used_at = shelf.used_at.max(now);
                shelf.consuming == Consuming::Yes { joined: true }
            });
            if joined {
                return Ok(());
            }
            if now >= late {
                return Err(away(self, queue));
            }
            want(self, queue);
            self.clock.sleep_until(now + LOOK / 4).await;
        }
    }

    /// Of partitions that other processes have, all that they have not settled is removed from the servers.
    async fn purge(self: &Arc<Self>, name: &QueueName) -> Result<u64> {
        let queue = self.queue_anew(name, PURGE).await?;
        self.join(&queue).await?;
        // What is moved meanwhile would be behind the ends that are found.
        let _still = Still::keep(&queue);
        self.until(&queue, |shelf| !shelf.is_carrying()).await;
        let depths = self.depths(&queue, PURGE).await?;
        let ends: BTreeMap<_, _> = depths.iter().map(|(source, depth)| (*source, depth.end)).collect();
        let (letters, skipped, ours) = queue.change(|shelf| {
            let (letters, skipped) = shelf.skip_to(&ends);
            (letters, skipped, shelf.generations())
        });
        let mut purged = letters.len() as u64 + skipped.iter().map(|skipped| skipped.count).sum::<u64>();
        let gone = letters.iter().filter_map(|(letter, _)| letter.gone());
        let main = skipped.iter().filter(|skipped| skipped.source.lane == Lane::Main);
        let gone: Vec<_> = gone.chain(main.map(|skipped| (skipped.from, skipped.end))).collect();
        // Before anything that takes time: what lies on no shelf is seen to by nobody should the caller go away. Whoever dies
        // now has a replay tell of messages that were purged.
        for (letter, generation) in letters {
            drop(queue.finish(letter, generation));
        }
        let begun = queue.look(Shelf::batches);
        queue.commits.notify_one();
        self.mark_gone(&queue, gone, PURGE).await?;
        self.until_committed(&queue, begun, &ours).await?;
        let others = depths.into_iter().filter(|(source, _)| !ours.contains_key(source));
        let others: BTreeMap<Source, Depth> = others.filter(|(_, depth)| depth.open > 0).collect();
        purged += others.values().map(|depth| depth.open).sum::<u64>();
        let ends =
            others.iter().map(|(source, depth)| (queue.names.lane(source.lane), source.partition, depth.end));
        remove(self, &queue, ends, PURGE).await?;
        Ok(purged)
    }

    /// Until what waited for a commit when so many were begun is durable: of partitions that are another process's by then it
    /// is not.
    async fn until_committed(&self, queue: &Queue, begun: u64, ours: &BTreeMap<Source, u64>) -> Result<()> {
        self.until(queue, |shelf| shelf.has_committed(begun)).await;
        let still =
            |shelf: &Shelf| ours.iter().all(|(source, generation)| shelf.is_current(*source, *generation));
        if queue.look(still) {
            return Ok(());
        }
        let error = Error::new(Kind::Unavailable, PURGE, queue.name().as_str());
        Err(error.because("its partitions have gone to another process meanwhile"))
    }

    /// Until that is so of what lies here.
    async fn until(&self, queue: &Queue, is_so: impl Fn(&Shelf) -> bool) {
        loop {
            let changed = queue.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if queue.look(&is_so) {
                return;
            }
            changed.await;
        }
    }

    async fn delete_queue(self: &Arc<Self>, name: &QueueName) -> Result<()> {
        let _alone = self.declaring.alone(name).await;
        let clients = self.clients(DELETE)?;
        let queue = match self.queue_anew(name, DELETE).await {
            Err(error) if error.kind() == Kind::NotFound => {
                // Whoever deleted it may have ended before its topics were.
                if let Some(life) = self.registry.last_life(name) {
                    self.delete_topics(&clients, name, life).await?;
                }
                return Err(error);
            }
            queue => queue?,
        };
        self.record(name, &Entry { life: queue.life, settings: None }, DELETE).await?;
        // Whoever reads this has forgotten the queue, this process too.
        self.read_all(DELETE).await?;
        self.delete_topics(&clients, name, queue.life).await
    }

    /// Those of one life of a queue, as far as they are there.
    async fn delete_topics(&self, clients: &Clients, name: &QueueName, life: u64) -> Result<()> {
        let names = Names::new(&self.settings.prefix, name, life)?;
        let topics = [names.main.as_str(), &names.wait, &names.gone];
        let deleted = clients.admin.delete_topics(&topics, &self.admin_options()).await;
        for topic in deleted.map_err(|error| refusal(error, DELETE, name.as_str()))? {
            if let Err((_, code)) = topic {
                let error = refusal(KafkaError::AdminOp(code), DELETE, name.as_str());
                if error.kind() != Kind::NotFound {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// While it is there nothing that waits in Kafka is moved on.
struct Still<'a>(&'a Queue);

impl<'a> Still<'a> {
    fn keep(queue: &'a Queue) -> Self {
        queue.change(|shelf| shelf.purges += 1);
        Self(queue)
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.change(|shelf| shelf.purges -= 1);
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::QueueSettings;
    use forebay_runtime::clock::TokioClock;

    use super::*;
    use crate::settings::KafkaSettings;

    #[tokio::test]
    async fn what_is_purged_of_a_partition_that_went_before_its_commit_is_not_told_as_gone() {
        let settings = KafkaSettings::parse("kafka://127.0.0.1:1").unwrap();
        let (inner, _errands) = Inner::new(settings, Arc::new(TokioClock::new()));
        let name = QueueName::new("q").unwrap();
        let queue = Queue::new(QueueSettings::new(name.clone()), 1, Names::new("", &name, 1).unwrap());
        let source = Source { lane: Lane::Main, partition: 0 };
        let ours = queue.change(|shelf| {
            shelf.assign(source, 0, "", 0);
            shelf.generations()
        });
        inner.until_committed(&queue, 0, &ours).await.unwrap();
        queue.change(|shelf| shelf.skip_to(&BTreeMap::from([(source, 500)])));
        let goes = async { queue.change(|shelf| shelf.revoke(source)) };
        let (told, ()) = tokio::join!(biased; inner.until_committed(&queue, 0, &ours), goes);
        assert_eq!(told.unwrap_err().kind(), Kind::Unavailable);
    }
}
