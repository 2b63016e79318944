//! A message in this program's hands.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use forebay_core::delivery::{Delivery, End, Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use forebay_queue::queues::Queues;

use crate::codec::Codec;

/// A message that was received and read: its body as a value, and with `.` everything that its
/// [`Delivery`] knows.
///
/// ```
/// use forebay::{Received, WorkerOptions};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let (tell, mut told) = tokio::sync::mpsc::channel(1);
/// let stock = forebay.queue("stock").await?.typed::<u32>();
/// let worker = stock.worker(WorkerOptions::default(), move |received: Received<u32>| {
///     let tell = tell.clone();
///     async move { Ok(tell.send((*received.value(), received.attempt)).await?) }
/// })?;
/// stock.publish(7).await?;
/// assert_eq!(told.recv().await, Some((7, 1)));
/// worker.stop().await;
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Received<T = Payload> {
    value: T,
    delivery: Delivery,
}

impl<T> Received<T> {
    /// Reads the body; an `Err` says why it cannot be read.
    pub(crate) fn read(delivery: Delivery, codec: &dyn Codec<T>) -> std::result::Result<Self, String> {
        let value = codec.decode(&delivery.message.payload).map_err(|error| error.to_string())?;
        Ok(Self { value, delivery })
    }

    /// The body, read.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.queue("stock").await?.typed::<u32>();
    /// stock.publish(7).await?;
    /// let held = stock.receive().await?.expect("a number");
    /// assert_eq!(*held.value(), 7);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The body, read, for keeps.
    ///
    /// ```
    /// use forebay::{Received, WorkerOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.queue("stock").await?.typed::<Vec<u32>>();
    /// let worker = stock.worker(WorkerOptions::default(), |received: Received<Vec<u32>>| async move {
    ///     let numbers: Vec<u32> = received.into_value();
    ///     assert_eq!(numbers, [7, 8]);
    ///     Ok(())
    /// })?;
    /// stock.publish(vec![7, 8]).await?;
    /// # worker.stop().await;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn into_value(self) -> T {
        self.value
    }

    /// The body as it was sent.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.queue("stock").await?.typed::<u32>();
    /// stock.publish(7).await?;
    /// assert_eq!(stock.receive().await?.expect("a number").payload(), b"7");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn payload(&self) -> &[u8] {
        &self.delivery.message.payload
    }
}

impl<T> Deref for Received<T> {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl<T> fmt::Debug for Received<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.delivery.fmt(f)
    }
}

/// A message held for this program, until it is settled or its hold runs out. Dropping it settles nothing.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let orders = forebay.queue("orders").await?;
/// orders.publish("one teapot").await?;
/// let held = orders.receive().await?.expect("an order");
/// assert_eq!((held.payload(), held.attempt), (&b"one teapot"[..], 1));
/// held.ack().await?;
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Held<T = Payload> {
    received: Received<T>,
    queues: Queues,
}

impl<T> Held<T> {
    pub(crate) fn new(received: Received<T>, queues: Queues) -> Self {
        Self { received, queues }
    }

    /// The work is done, durably. `NotHeld`: the hold had run out before, and somebody else may have the message.
    ///
    /// ```
    /// use forebay::Settled;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let held = orders.receive().await?.expect("an order");
    /// assert_eq!(held.ack().await?, Settled::Done);
    /// assert_eq!(orders.stats().await?.held, 0);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn ack(self) -> Result<Settled> {
        self.queues.settle(&self.queue, self.id, End::Acked, None).await
    }

    /// The work failed; says what becomes of the message, `None` if it was no longer held.
    ///
    /// ```
    /// use forebay::Outcome;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let held = orders.receive().await?.expect("an order");
    /// let outcome = held.fail("no teapots left").await?;
    /// assert!(matches!(outcome, Some(Outcome::RetryAt(_)))); // four more attempts, unless said otherwise
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn fail(self, note: &str) -> Result<Option<Outcome>> {
        self.queues.end(&self.queue, self.id, End::Failed, Some(note)).await
    }

    /// The work can never be done: the message is a dead letter at once.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let held = orders.receive().await?.expect("an order");
    /// held.reject("not an order").await?;
    /// assert_eq!(orders.stats().await?.dead_lettered, 1);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn reject(self, note: &str) -> Result<Settled> {
        self.queues.settle(&self.queue, self.id, End::Rejected, Some(note)).await
    }

    /// Gives the message back untouched; no attempt is used.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let held = orders.receive().await?.expect("an order");
    /// held.give_back().await?;
    /// assert_eq!(orders.receive().await?.expect("it is back").attempt, 1);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn give_back(self) -> Result<Settled> {
        self.queues.settle(&self.queue, self.id, End::Returned, None).await
    }

    /// Holds it from now for so long; the new end, `None` if it is no longer held.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish("one teapot").await?;
    /// let held = orders.receive().await?.expect("an order");
    /// let until = held.extend(Duration::from_secs(600)).await?;
    /// assert!(until > Some(held.held_until));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn extend(&self, hold: Duration) -> Result<Option<Instant>> {
        self.queues.extend(&self.queue, self.id, hold).await
    }
}

impl<T> Deref for Held<T> {
    type Target = Received<T>;

    fn deref(&self) -> &Received<T> {
        &self.received
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.received.fmt(f)
    }
}
