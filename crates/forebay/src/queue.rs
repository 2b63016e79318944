//! One durable queue.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::Delivery;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::MessageId;
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{BrokerAdmin, Found};
use forebay_core::ports::clock::Spawn;
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use forebay_queue::deliver::ReceiveOptions;
use forebay_queue::publish::Draft;
use forebay_queue::worker::{Failure, Worker, WorkerOptions};

use crate::forebay::Parts;
use crate::held::Held;

/// One durable queue. Cloning is cheap and means the same queue.
#[derive(Clone)]
pub struct Queue {
    name: QueueName,
    parts: Arc<Parts>,
}

impl Queue {
    pub(crate) fn new(name: QueueName, parts: Arc<Parts>) -> Self {
        Self { name, parts }
    }

    /// Its name.
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// Publishes one message and returns once it is durable. `Full`: try again later.
    pub async fn publish(&self, payload: impl Into<Payload>) -> Result<MessageId> {
        let mut ids = self.publish_all(vec![Draft::new(payload)]).await?;
        ids.pop().ok_or_else(|| Error::new(Kind::Unsupported, "name message of queue", self.name.as_str()))
    }

    /// Publishes messages in their order, at most 1,000, and returns once all are durable. One write to disk serves
    /// them all.
    pub async fn publish_all(&self, drafts: Vec<Draft>) -> Result<Vec<MessageId>> {
        self.parts.queues.publish(&self.name, drafts).await
    }

    /// Takes the next message, if one is ready.
    pub async fn receive(&self) -> Result<Option<Held>> {
        Ok(self.receive_many(1, Duration::ZERO).await?.pop())
    }

    /// Waits for the next message, at most 30 seconds.
    pub async fn receive_within(&self, wait: Duration) -> Result<Option<Held>> {
        Ok(self.receive_many(1, wait).await?.pop())
    }

    /// Takes up to `count_max` messages, waiting at most so long for the first.
    pub async fn receive_many(&self, count_max: usize, wait: Duration) -> Result<Vec<Held>> {
        let options = ReceiveOptions { count_max, hold: None, wait };
        let deliveries = self.parts.queues.receive(&self.name, options).await?;
        Ok(deliveries.into_iter().map(|delivery| Held::new(delivery, self.parts.queues.clone())).collect())
    }

    /// Runs `handler` on every message, a bounded number at a time: `Ok` acknowledges, `Err` fails and is tried again
    /// by the queue's policy. Dropping the worker stops it.
    pub fn worker<H, F>(&self, options: WorkerOptions, handler: H) -> Result<Worker>
    where
        H: Fn(Delivery) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), Failure>> + Send + 'static,
    {
        let spawn = Arc::new(self.parts.background.clone());
        let (worker, work) = Worker::new(
            self.parts.queues.clone(),
            self.name.clone(),
            options,
            Arc::clone(&spawn) as _,
            handler,
        )?;
        spawn.spawn(work);
        Ok(worker)
    }

    /// The message with this id, wherever in the queue it is, without taking it; the oldest of several. Looks through
    /// the whole queue: it is for people who ask, not for every message.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// let id = orders.publish("one teapot").await?;
    /// let found = orders.find(&id).await?.expect("it is there");
    /// assert_eq!(found.place, forebay::Place::Ready);
    /// assert_eq!(&*found.delivery.message.payload, b"one teapot");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn find(&self, id: &MessageId) -> Result<Option<Found>> {
        self.parts.broker.find(&self.name, id).await
    }

    /// Hands out no more messages until [`resume`](Self::resume), also after a restart. Publishing goes on, and what is
    /// held may be settled.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.pause().await?;
    /// orders.publish("one teapot").await?;
    /// assert!(orders.receive().await?.is_none());
    /// orders.resume().await?;
    /// assert!(orders.receive().await?.is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn pause(&self) -> Result<()> {
        self.parts.broker.pause(&self.name, true).await
    }

    /// Hands out messages again after [`pause`](Self::pause). Whoever waits is woken.
    pub async fn resume(&self) -> Result<()> {
        self.parts.broker.pause(&self.name, false).await
    }

    /// How the queue stands.
    pub async fn stats(&self) -> Result<QueueStats> {
        Ok(self.parts.broker.queue(&self.name).await?.stats)
    }
}
