//! The port [`BrokerAdmin`] on RabbitMQ, as far as AMQP alone can: what is ready is told, and what is here; the names of all
//! queues, pauses and looks into what is not at the front are the server's own tools' business.

use std::sync::Arc;

use forebay_core::delivery::{Delivery, DeliveryId};
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
use forebay_envelope::taken::Taken;
use lapin::options::{BasicAckOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{FieldTable, ShortString};
use tokio::sync::oneshot;

use crate::broker::RabbitBroker;
use crate::inner::Inner;
use crate::lead::ready;
use crate::link::Link;
use crate::link::refusal::Refusal;
use crate::queue::Queue;
use crate::queue::declare::wait_classes;
use crate::queue::letter::Letter;
use crate::queue::shelf::Shelf;

/// What the administration can do.
///
/// A look shows what is at the front for this process: what others have received ahead is not seen.
pub const ADMIN_CAPABILITIES: AdminCapabilities =
    AdminCapabilities { list: false, counts: false, peek: true, find: false, pause: false };

fn lacks<T: Send + 'static>(
    operation: &'static str,
    what: impl Into<String>,
) -> BoxFuture<'static, Result<T>> {
    let error = Error::new(Kind::Unsupported, operation, what);
    Box::pin(async move { Err(error) })
}

impl BrokerAdmin for RabbitBroker {
    fn capabilities(&self) -> AdminCapabilities {
        ADMIN_CAPABILITIES
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueInfo>>> {
        lacks("list queues", self.inner().settings.address())
    }

    fn queue<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(self.inner().info(queue))
    }

    fn peek<'a>(&'a self, queue: &'a QueueName, count_max: usize) -> BoxFuture<'a, Result<Vec<Peeked>>> {
        Box::pin(self.inner().peek(queue, count_max))
    }

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

    fn delete<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.inner().delete_queue(queue))
    }
}

impl Inner {
    /// A queue as it is on the server now, whatever is remembered of it.
    async fn queue_anew(&self, name: &QueueName) -> Result<Arc<Queue>> {
        let found = self.find_anew(name).await;
        if found.as_ref().is_err_and(|error| error.kind() == Kind::NotFound) {
            self.forget(name);
        }
        found?;
        self.queue(name, "find queue").await
    }

    async fn info(&self, name: &QueueName) -> Result<QueueInfo> {
        const TELL: &str = "tell depth of queue";
        let queue = self.queue_anew(name).await?;
        let link = self.link(TELL).await?;
        let count = async {
            let mut on_server = 0;
            for lane in queue.lanes() {
                on_server += ready(&queue, &link, lane).await?;
            }
            let mut waiting = 0;
            for wait in waits(&queue, &link).await? {
                waiting += wait.1;
            }
            Ok((on_server, waiting))
        };
        let counted = count.await.map_err(|refusal: Refusal| refusal.during(TELL, name.as_str()));
        let (on_server, waiting) = counted?;
        let (ready, held, later) = queue.look(Shelf::counts);
        let stats =
            QueueStats { ready: on_server + ready, held, delayed: waiting + later, ..QueueStats::default() };
        Ok(QueueInfo { settings: queue.settings.clone(), stats, paused: false })
    }

    async fn peek(self: &Arc<Self>, name: &QueueName, count_max: usize) -> Result<Vec<Peeked>> {
        let queue = self.queue_anew(name).await?;
        // Whoever asks for messages has them brought here.
        let mut taken = Taken::none(&*queue);
        let deliveries = self.take_to_look(&queue, &mut taken, count_max).await?;
        Ok(deliveries.into_iter().map(|delivery| Peeked { delivery }).collect())
    }

    async fn take_to_look(
        self: &Arc<Self>,
        queue: &Queue,
        taken: &mut Taken<'_, Queue>,
        count_max: usize,
    ) -> Result<Vec<Delivery>> {
        let count_max = count_max.clamp(1, limits::RECEIVE_DELIVERIES_MAX);
        let mut all = Vec::new();
        loop {
            let asked =
                Receive { count_max: count_max - all.len(), hold: None, wait_until: self.clock.now() };
            let more = self.receive(&queue.settings.name, asked).await?;
            taken.extend(more.iter().map(|delivery| delivery.id));
            let nothing = more.is_empty();
            all.extend(more);
            if nothing || all.len() == count_max {
                return Ok(all);
            }
        }
    }

    async fn purge(self: &Arc<Self>, name: &QueueName) -> Result<u64> {
        const PURGE: &str = "purge queue";
        let queue = self.queue_anew(name).await?;
        let link = self.link(PURGE).await?;
        let purge = async {
            // On the channel by which messages come here, if there is one: what had left the server before has then come.
            let channel = match queue.look(Shelf::channel) {
                Some(channel) => channel,
                None => link.channel().await?,
            };
            let mut purged = 0;
            let lanes = queue.lanes().into_iter().map(|lane| queue.names.lane(lane));
            let waits = waits(&queue, &link).await?;
            for name in waits.into_iter().map(|(name, _)| name).chain(lanes) {
                let count = link.ask(channel.queue_purge(name, QueuePurgeOptions::default())).await?;
                purged += u64::from(count);
            }
            queue.catch_up();
            let (letters, epoch) = queue.change(|shelf| {
                shelf.expect_nothing();
                let letters = shelf.give_up();
                // Their channel is needed until each of them has its end.
                letters.iter().for_each(|letter| shelf.holds.busy_with(letter.number, None));
                (letters, shelf.epoch())
            });
            // To its end, whoever asked: what lies on no shelf is seen to by nobody else.
            let (tell, told) = oneshot::channel();
            let ending = end_all(self.clone(), queue.clone(), link.clone(), letters, epoch);
            self.run(async move { drop(tell.send(ending.await)) });
            purged += told.await.map_err(|_| Refusal::Away("the broker is closed"))??;
            Ok(purged)
        };
        purge.await.map_err(|refusal: Refusal| refusal.during(PURGE, name.as_str()))
    }

    async fn redrive(self: &Arc<Self>, name: &QueueName, count_max: usize) -> Result<u64> {
        const REDRIVE: &str = "redrive queue";
        let queue = self.queue_anew(name).await?;
        let (mut redriven, mut taken) = (0, Taken::none(&*queue));
        loop {
            let room = count_max.saturating_sub(redriven as usize).min(limits::RECEIVE_DELIVERIES_MAX);
            if room == 0 || taken.count() >= usize::from(self.settings.prefetch) {
                return Ok(redriven);
            }
            let deliveries = self.take_to_look(&queue, &mut taken, room).await?;
            if deliveries.is_empty() {
                return Ok(redriven);
            }
            let mut failed = None;
            for delivery in deliveries {
                match self.send_back(&queue, delivery.id, REDRIVE).await {
                    Ok(sent) => redriven += u64::from(sent),
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            taken.settle();
        }
    }

    /// Publishes a dead letter to where it came from. `false`: it came from nowhere, or that is gone, or it is not held any
    /// more.
    async fn send_back(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        delivery: DeliveryId,
        operation: &'static str,
    ) -> Result<bool> {
        let Some(grip) = queue.grip(delivery.position, delivery.token) else { return Ok(false) };
        let Some(from) = grip.letter().envelope.history.last().map(|line| line.queue.clone()) else {
            return Ok(false);
        };
        let home = match self.queue(&from, operation).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            found => found?,
        };
        let now = self.clock.now();
        let envelope =
            Envelope { attempts: 0, due: now, published_at: now, ..grip.letter().envelope.clone() };
        let lane = home.lane(envelope.message.priority);
        match self.put(&home, vec![(lane, envelope)], operation).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            put => put?,
        }
        self.end(queue, grip, true).await.map(|_| true)
    }
}

/// Acknowledges what was taken off the shelf, and says how many. If that fails their channel is given up: they come again.
async fn end_all(
    inner: Arc<Inner>,
    queue: Arc<Queue>,
    link: Arc<Link>,
    letters: Vec<Arc<Letter>>,
    epoch: u64,
) -> std::result::Result<u64, Refusal> {
    let (mut count, mut failed) = (0, None);
    for letter in letters {
        if failed.is_none() {
            match link.ask(letter.acker.ack(BasicAckOptions::default())).await {
                Ok(true) => count += 1,
                Ok(false) => failed = Some(Refusal::Away("the channel is gone")),
                Err(refusal) => failed = Some(refusal),
            }
        }
        queue.change(|shelf| {
            shelf.holds.let_go(letter.number);
            if failed.is_none() {
                shelf.ended(&letter, epoch);
            }
        });
    }
    let Some(refusal) = failed else { return Ok(count) };
    inner.drop_channel(&queue, epoch);
    Err(refusal)
}

/// The waiting queues of a queue that there are, and how much is in them.
async fn waits(queue: &Queue, link: &Link) -> std::result::Result<Vec<(ShortString, u64)>, Refusal> {
    let mut found = Vec::new();
    for class in wait_classes() {
        // One that is not there costs the channel.
        let channel = link.channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = queue.names.wait(class);
        match link.ask(channel.queue_declare(name.clone(), options, FieldTable::default())).await {
            Ok(declared) => {
                found.push((name, u64::from(declared.message_count())));
                link.ask(channel.close(200, "counted".into())).await?;
            }
            Err(refusal) if refusal.is_not_found() => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(found)
}
