//! One durable queue.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, End};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::MessageId;
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Found, ReplayFrom, Replayed};
use forebay_core::ports::clock::Spawn;
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use forebay_queue::consumer::{Consumer, ConsumerOptions};
use forebay_queue::deliver::ReceiveOptions;
use forebay_queue::worker::{Failure, Worker, WorkerOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, Json, Raw};
use crate::draft::Draft;
use crate::forebay::Parts;
use crate::held::{Held, Received};
use crate::stream::{Batches, Deliveries, Feed};

/// One durable queue of messages whose bodies are `T`: bytes, unless [`typed`](Self::typed) or
/// [`coded`](Self::coded) says otherwise. Cloning is cheap and means the same queue.
///
/// A body that cannot be read as a `T` is never handed out and never lost: its message becomes a dead letter whose history
/// says why.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     product: String,
///     count: u32,
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let orders = forebay.queue("orders").await?.typed::<Order>();
/// orders.publish(Order { product: "teapot".into(), count: 7 }).await?;
/// let held = orders.receive().await?.expect("an order");
/// assert_eq!((&*held.value().product, held.value().count), ("teapot", 7));
/// held.ack().await?;
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Queue<T = Payload> {
    name: QueueName,
    parts: Arc<Parts>,
    codec: Arc<dyn Codec<T>>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), parts: Arc::clone(&self.parts), codec: Arc::clone(&self.codec) }
    }
}

impl Queue {
    pub(crate) fn new(name: QueueName, parts: Arc<Parts>) -> Self {
        Self { name, parts, codec: Arc::new(Raw) }
    }
}

impl<T: Send + 'static> Queue<T> {
    /// The same queue, with bodies that are `U` in JSON.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.queue("stock").await?.typed::<(String, u32)>();
    /// stock.publish(("teapot".to_owned(), 7)).await?;
    /// assert_eq!(stock.receive().await?.expect("a pair").payload(), br#"["teapot",7]"#);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn typed<U: Serialize + DeserializeOwned + Send + 'static>(&self) -> Queue<U> {
        self.coded(Json)
    }

    /// The same queue, with bodies that are `U` as this codec writes them.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let points = forebay.queue("points").await?.coded::<(i32, i32)>(forebay::Postcard);
    /// points.publish((3, -4)).await?;
    /// assert_eq!(points.receive().await?.expect("a point").payload().len(), 2);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn coded<U>(&self, codec: impl Codec<U> + 'static) -> Queue<U> {
        Queue { name: self.name.clone(), parts: Arc::clone(&self.parts), codec: Arc::new(codec) }
    }

    /// Its name.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// assert_eq!(orders.name().as_str(), "orders");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// Publishes one message, a body or a whole [`Draft`], and returns once it is durable. `Full`: try again later.
    ///
    /// ```
    /// use forebay::Draft;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// let id = orders.publish("one teapot").await?; // it is on disk
    /// orders.publish(Draft::new("two cups").header("from", "till 3")).await?;
    /// # assert!(orders.find(&id).await?.is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn publish(&self, message: impl Into<Draft<T>>) -> Result<MessageId> {
        let mut ids = self.publish_all([message]).await?;
        ids.pop().ok_or_else(|| Error::new(Kind::Unsupported, "name message of queue", self.name.as_str()))
    }

    /// Publishes messages in their order, at most 1,000, and returns once all are durable. One write to disk serves
    /// them all. An `Err` before anything was taken says which limit or codec refused them.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish_all(["one teapot", "two cups"]).await?;
    /// assert_eq!(orders.stats().await?.ready, 2);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn publish_all<M: Into<Draft<T>>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<MessageId>> {
        // One more than the most is enough to be refused.
        let drafts = messages.into_iter().take(limits::PUBLISH_MESSAGES_MAX + 1);
        let drafts = drafts.map(|message| message.into().encode(&*self.codec)).collect::<Result<_>>()?;
        self.parts.queues.publish(&self.name, drafts).await
    }

    /// Takes the next message, if one is ready.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// assert!(orders.receive().await?.is_none());
    /// orders.publish("one teapot").await?;
    /// orders.receive().await?.expect("an order").ack().await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn receive(&self) -> Result<Option<Held<T>>> {
        Ok(self.receive_many(1, Duration::ZERO).await?.pop())
    }

    /// Waits for the next message, at most 30 seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let held = orders.receive_within(Duration::from_secs(10)).await?.expect("an order");
    /// held.ack().await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn receive_within(&self, wait: Duration) -> Result<Option<Held<T>>> {
        Ok(self.receive_many(1, wait).await?.pop())
    }

    /// Takes up to `count_max` messages, waiting at most so long for the first.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish_all(["one teapot", "two cups"]).await?;
    /// for held in orders.receive_many(100, Duration::from_secs(10)).await? {
    ///     held.ack().await?;
    /// }
    /// # assert_eq!(orders.stats().await?.held, 0);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn receive_many(&self, count_max: usize, wait: Duration) -> Result<Vec<Held<T>>> {
        let until = self.parts.clock.now() + wait;
        let mut wait = wait;
        loop {
            let options = ReceiveOptions { count_max, hold: None, wait };
            let deliveries = self.parts.queues.receive(&self.name, options).await?;
            let received = !deliveries.is_empty();
            let held = self.read_all(deliveries).await;
            // Where all that came were unreadable, which they cannot be twice, what comes behind them is looked at.
            if !held.is_empty() || !received {
                return Ok(held);
            }
            wait = until.since(self.parts.clock.now());
        }
    }

    /// A stream of this queue's messages: taken ahead in bounded number, and only as it is polled.
    ///
    /// ```
    /// use forebay::ConsumerOptions;
    /// use futures_util::StreamExt;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish_all(["one teapot", "two cups"]).await?;
    /// let mut stream = orders.stream(ConsumerOptions::default())?;
    /// let held = stream.next().await.expect("open")?;
    /// assert_eq!(held.payload(), b"one teapot");
    /// held.ack().await?;
    /// # drop(stream);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn stream(&self, options: ConsumerOptions) -> Result<Deliveries<T>> {
        Ok(Deliveries::new(self.feed(options)?))
    }

    /// The same in batches of up to `prefetch` messages: for work that is cheaper for many at once.
    ///
    /// ```
    /// use forebay::ConsumerOptions;
    /// use futures_util::StreamExt;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish_all(["one teapot", "two cups"]).await?;
    /// let mut batches = orders.batches(ConsumerOptions { prefetch: 100, ..ConsumerOptions::default() })?;
    /// let batch = batches.next().await.expect("open")?;
    /// assert_eq!(batch.len(), 2);
    /// # drop(batches);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn batches(&self, options: ConsumerOptions) -> Result<Batches<T>> {
        Ok(Batches::new(self.feed(options)?))
    }

    /// Runs `handler` on every message, a bounded number at a time: `Ok` acknowledges, `Err` fails and is tried again
    /// by the queue's policy. Dropping the worker stops it; [`Worker::stop`] also waits for what runs.
    ///
    /// ```
    /// use forebay::{Received, WorkerOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let (tell, mut told) = tokio::sync::mpsc::channel(1);
    /// let orders = forebay.queue("orders").await?.typed::<(String, u32)>();
    /// let worker = orders.worker(WorkerOptions::default(), move |order: Received<(String, u32)>| {
    ///     let tell = tell.clone();
    ///     async move { Ok(tell.send(order.into_value()).await?) }
    /// })?;
    /// orders.publish(("teapot".to_owned(), 7)).await?;
    /// assert_eq!(told.recv().await, Some(("teapot".to_owned(), 7)));
    /// worker.stop().await;
    /// assert_eq!(orders.stats().await?.held, 0);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn worker<H, F>(&self, options: WorkerOptions, handler: H) -> Result<Worker>
    where
        H: Fn(Received<T>) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), Failure>> + Send + 'static,
    {
        let codec = Arc::clone(&self.codec);
        // While it works, what it works on stays open.
        let parts = Arc::clone(&self.parts);
        let handler = move |delivery: Delivery| {
            let _open = &parts;
            let work = Received::read(delivery, &*codec).map(&handler);
            async move {
                match work {
                    Ok(work) => work.await,
                    Err(why) => Err(Failure::reject(why)),
                }
            }
        };
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
        self.parts.admin.find(&self.name, id).await
    }

    /// Reads up to `count_max` of the messages that the queue has and retains, in the order of their arrival, finished
    /// or not, without taking them; none only behind the last. Goes on behind the position of the last one it read.
    /// `Unsupported` where the queue's settings retain nothing.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// use forebay::{QueueName, QueueSettings, ReplayFrom, Retain};
    ///
    /// let mut settings = QueueSettings::new(QueueName::new("orders")?);
    /// settings.retain = Retain::For(std::time::Duration::from_secs(3_600));
    /// let orders = forebay.queue_with(&settings).await?;
    /// orders.publish("one teapot").await?;
    /// orders.receive().await?.expect("an order").ack().await?;
    /// let replayed = orders.replay(ReplayFrom::Position(0), 100).await?;
    /// assert_eq!(&*replayed[0].message.payload, b"one teapot");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn replay(&self, from: ReplayFrom, count_max: usize) -> Result<Vec<Replayed>> {
        self.parts.admin.replay(&self.name, from, count_max).await
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
        self.parts.admin.pause(&self.name, true).await
    }

    /// Hands out messages again after [`pause`](Self::pause). Whoever waits is woken.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// orders.pause().await?;
    /// orders.resume().await?;
    /// assert!(orders.receive().await?.is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn resume(&self) -> Result<()> {
        self.parts.admin.pause(&self.name, false).await
    }

    /// How the queue stands.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let stats = orders.stats().await?;
    /// assert_eq!((stats.ready, stats.held), (1, 0));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn stats(&self) -> Result<QueueStats> {
        Ok(self.parts.admin.queue(&self.name).await?.stats)
    }

    fn feed(&self, options: ConsumerOptions) -> Result<Feed<T>> {
        let spawn = Arc::new(self.parts.background.clone());
        let consumer = Consumer::new(self.parts.queues.clone(), self.name.clone(), options, spawn)?;
        Ok(Feed { consumer, queue: self.clone() })
    }

    /// Reads the bodies; a message whose body cannot be read becomes a dead letter.
    pub(crate) async fn read_all(&self, deliveries: Vec<Delivery>) -> Vec<Held<T>> {
        let queues = &self.parts.queues;
        let mut held = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let id = delivery.id;
            match Received::read(delivery, &*self.codec) {
                Ok(received) => held.push(Held::new(received, queues.clone())),
                Err(why) => {
                    // Should this be refused, the message comes again when its hold runs out, and is refused then.
                    drop(queues.settle(&self.name, id, End::Rejected, Some(&why)).await);
                }
            }
        }
        held
    }
}
