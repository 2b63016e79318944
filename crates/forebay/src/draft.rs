//! A message as its publisher writes it.

use std::time::Duration;

use forebay_core::error::Result;
use forebay_core::message::{Headers, MessageId, Value};
use forebay_core::payload::Payload;
use forebay_queue::publish::Draft as RawDraft;

use crate::codec::Codec;

/// A message as its publisher writes it: a body, and what else is to be said of it.
///
/// ```
/// # use std::time::Duration;
/// # use forebay::Draft;
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let orders = forebay.queue("orders").await?;
/// let draft = Draft::new("one teapot").header("from", "till 3").expires_in(Duration::from_secs(3600));
/// orders.publish(draft).await?;
/// let held = orders.receive().await?.expect("an order");
/// assert_eq!(held.message.headers.get("from"), Some(&"till 3".into()));
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Draft<T = Payload> {
    body: T,
    rest: RawDraft,
}

impl<T> Draft<T> {
    /// A draft with only a body.
    ///
    /// ```
    /// use forebay::Draft;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish(Draft::new("one teapot")).await?;
    /// let held = orders.receive().await?.expect("an order");
    /// assert_eq!(held.payload(), b"one teapot");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn new(body: T) -> Self {
        Self { body, rest: RawDraft::default() }
    }

    /// Its name, instead of a generated one.
    ///
    /// ```
    /// use forebay::{Draft, MessageId};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// let id = MessageId::given("order 7")?;
    /// orders.publish(Draft::new("one teapot").id(id.clone())).await?;
    /// assert!(orders.find(&id).await?.is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn id(mut self, id: MessageId) -> Self {
        self.rest.id = Some(id);
        self
    }

    /// What the body is, instead of what the queue's codec says, such as `text/plain`.
    ///
    /// ```
    /// use forebay::Draft;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish(Draft::new("one teapot").content_type("text/plain")).await?;
    /// let held = orders.receive().await?.expect("an order");
    /// assert_eq!(held.message.content_type.as_deref(), Some("text/plain"));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.rest.content_type = Some(content_type.into());
        self
    }

    /// A named value beside the body.
    ///
    /// ```
    /// use forebay::Draft;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish(Draft::new("one teapot").header("from", "till 3")).await?;
    /// let held = orders.receive().await?.expect("an order");
    /// assert_eq!(held.message.headers.get("from"), Some(&"till 3".into()));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.rest.headers.set(name, value.into());
        self
    }

    /// All named values beside the body, in place of those set before.
    ///
    /// ```
    /// use forebay::{Draft, Headers};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// let mut headers = Headers::new();
    /// headers.set("from", "till 3".into());
    /// orders.publish(Draft::new("one teapot").headers(headers)).await?;
    /// # assert!(orders.receive().await?.expect("an order").message.headers.get("from").is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn headers(mut self, headers: Headers) -> Self {
        self.rest.headers = headers;
        self
    }

    /// Messages with the same key are delivered in order where the queue keeps order by key; at most 255 bytes.
    ///
    /// ```
    /// use forebay::{Draft, Order, QueueName, QueueSettings};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let mut settings = QueueSettings::new(QueueName::new("orders")?);
    /// settings.order = Order::Key;
    /// let orders = forebay.queue_with(&settings).await?;
    /// orders.publish_all([Draft::new("order").key("ada"), Draft::new("cancel").key("ada")]).await?;
    /// let first = orders.receive().await?.expect("an order");
    /// assert!(orders.receive().await?.is_none()); // the second one waits for it
    /// first.ack().await?;
    /// assert_eq!(orders.receive().await?.expect("its turn").payload(), b"cancel");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.rest.key = Some(key.into());
        self
    }

    /// Not delivered before so much time has passed; at most 366 days.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay::Draft;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish(Draft::new("one teapot").delay(Duration::from_secs(3600))).await?;
    /// assert_eq!((orders.stats().await?.delayed, orders.receive().await?.is_none()), (1, true));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.rest.delay = Some(delay);
        self
    }

    /// Not delivered after so much time has passed, 1 ms to 366 days: then it is a dead letter.
    ///
    /// ```
    /// use forebay::Draft;
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish(Draft::new("one teapot").expires_in(Duration::from_secs(3600))).await?;
    /// let held = orders.receive().await?.expect("an order");
    /// assert!(held.message.expires_at.is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.rest.expires_in = Some(time);
        self
    }

    /// Greater goes first where the queue has priorities; 0 unless said otherwise.
    ///
    /// ```
    /// use forebay::{Draft, QueueName, QueueSettings};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let mut settings = QueueSettings::new(QueueName::new("orders")?);
    /// settings.priority_max = 9;
    /// let orders = forebay.queue_with(&settings).await?;
    /// orders.publish_all([Draft::new("a cup"), Draft::new("a whole set").priority(9)]).await?;
    /// assert_eq!(orders.receive().await?.expect("an order").payload(), b"a whole set");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn priority(mut self, priority: u8) -> Self {
        self.rest.priority = priority;
        self
    }

    /// A queue that took a message with this id within its window takes no other; 1 to 255 bytes.
    ///
    /// ```
    /// use forebay::Draft;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let orders = forebay.queue("orders").await?;
    /// orders.publish(Draft::new("one teapot").dedup_id("till 3, order 7")).await?;
    /// orders.publish(Draft::new("one teapot").dedup_id("till 3, order 7")).await?;
    /// assert_eq!(orders.stats().await?.ready, 1);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn dedup_id(mut self, id: impl Into<String>) -> Self {
        self.rest.dedup_id = Some(id.into());
        self
    }

    pub(crate) fn encode(self, codec: &dyn Codec<T>) -> Result<RawDraft> {
        let content_type = self.rest.content_type.or_else(|| codec.content_type().map(str::to_owned));
        Ok(RawDraft { payload: codec.encode(&self.body)?, content_type, ..self.rest })
    }
}

impl<T> From<T> for Draft<T> {
    fn from(body: T) -> Self {
        Self::new(body)
    }
}

/// What is as good as a payload, alone and in a draft.
macro_rules! payloads {
    ($($bytes:ty),*) => {$(
        impl From<$bytes> for Draft<Payload> {
            fn from(bytes: $bytes) -> Self {
                Self::new(bytes.into())
            }
        }

        impl From<Draft<$bytes>> for Draft<Payload> {
            fn from(draft: Draft<$bytes>) -> Self {
                Self { body: draft.body.into(), rest: draft.rest }
            }
        }
    )*};
}

payloads!(&str, &[u8], Vec<u8>, String);
