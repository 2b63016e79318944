//! Writing to a source through a queue.

pub use forebay_bond::behind::{SourceWrite, WriteBehindOptions, WriteBehindStats};
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;
use forebay_core::queue::QueueName;

/// The cache in front of a source that is written through a queue, made by
/// [`Forebay::write_behind`](crate::Forebay::write_behind).
///
/// A write is confirmed when the queue has it on disk, and every read through this handle that begins later sees it or a newer
/// one. A worker brings it to the source: in order for each key, of writes that wait the newest only, again and again as the
/// retry policy says, and at last as a dead letter.
///
/// The cache holds only what the source has. Writes that the source has not yet are kept in memory beside it, within bounds,
/// and a read looks at them first: what the cache forgets makes no difference. When the source has taken the newest write of
/// a key, that goes into the cache, which makes the fill of every older load void, and only then it is pending no longer.
///
/// The source is to be written through this handle alone, else nobody knows which write was the last. Who reads the cache
/// past it is shown the older value until the source has the newer. Keys are text of 1 to 250 bytes.
///
/// Dropping it stops the worker; what waits in the queue is written after the next opening. Share it in an
/// [`Arc`](std::sync::Arc).
pub struct WriteBehind {
    rules: forebay_bond::behind::WriteBehind,
}

impl WriteBehind {
    pub(crate) fn new(rules: forebay_bond::behind::WriteBehind) -> Self {
        Self { rules }
    }

    /// Writes a value. `Ok`: it is durable in the queue, and every read through this handle that begins from now on sees it
    /// or a newer one. `Full`: too much is pending, or the queue is at a bound. `TooLarge`, `Invalid`: key or value. After
    /// any other `Err`, or when the future is dropped half-way, it may be written or not, and the cache has forgotten the
    /// key.
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    /// let to_database = move |write: SourceWrite| {
    ///     let written = tell.send((write.key, write.value)).map_err(Failure::from);
    ///     async { written }
    /// };
    /// let users = forebay.write_behind("users", WriteBehindOptions::default(), to_database).await?;
    /// users.put("user:7", "Ada").await?;
    /// let (key, value) = told.recv().await.expect("a write");
    /// assert_eq!((&*key, value.as_deref()), ("user:7", Some(&b"Ada"[..])));
    /// # users.stop().await;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn put(&self, key: impl AsRef<str>, value: impl Into<Payload>) -> Result<()> {
        self.rules.put(key.as_ref(), value).await
    }

    /// Deletes the key: a write without a value, with the same promises as [`put`](Self::put).
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let never = |_: SourceWrite| std::future::pending::<Result<(), Failure>>();
    /// # let users = forebay.write_behind("users", WriteBehindOptions::default(), never).await?;
    /// users.delete("user:7").await?;
    /// let from_database = |_key| async { Ok(Some("still there".into())) };
    /// assert_eq!(users.get("user:7", &from_database).await?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn delete(&self, key: impl AsRef<str>) -> Result<()> {
        self.rules.delete(key.as_ref()).await
    }

    /// The newest value: of the write that is pending, else from the cache, else loaded; `None` where the key was deleted
    /// or the source has none. Of all who miss a key at one time one loads, as with
    /// [`Cache::get_or_load`](crate::Cache::get_or_load).
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let never = |_: SourceWrite| std::future::pending::<Result<(), Failure>>();
    /// # let users = forebay.write_behind("users", WriteBehindOptions::default(), never).await?;
    /// let from_database = |_key| async { Ok(Some("Augusta".into())) };
    /// assert_eq!(users.get("user:7", &from_database).await?.as_deref(), Some(&b"Augusta"[..]));
    /// users.put("user:7", "Ada").await?; // the database may take its time
    /// assert_eq!(users.get("user:7", &from_database).await?.as_deref(), Some(&b"Ada"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get(&self, key: impl AsRef<str>, loader: &dyn Loader) -> Result<Option<Payload>> {
        self.rules.get(key.as_ref(), loader).await
    }

    /// Waits until no write is pending: the source has all of them, but for those that were given up. `Closed`: the queues
    /// were closed before; what is pending is written after the next opening.
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let to_database = |_: SourceWrite| async { Ok::<(), Failure>(()) };
    /// # let users = forebay.write_behind("users", WriteBehindOptions::default(), to_database).await?;
    /// users.put("user:7", "Ada").await?;
    /// users.drained().await?;
    /// let stats = users.stats();
    /// assert_eq!((stats.keys, stats.written), (0, 1));
    /// # users.stop().await;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn drained(&self) -> Result<()> {
        self.rules.drained().await
    }

    /// How much is pending, and what became of the writes since it was opened.
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// let to_database = |_: SourceWrite| async { Err(Failure::reject("there is no such table")) };
    /// let users = forebay.write_behind("users", WriteBehindOptions::default(), to_database).await?;
    /// users.put("user:7", "Ada").await?;
    /// users.drained().await?;
    /// assert_eq!(users.stats().given_up, 1);
    /// # users.stop().await;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn stats(&self) -> WriteBehindStats {
        self.rules.stats()
    }

    /// The queue where writes wait.
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let never = |_: SourceWrite| std::future::pending::<Result<(), Failure>>();
    /// # let users = forebay.write_behind("users", WriteBehindOptions::default(), never).await?;
    /// assert_eq!(users.queue().as_str(), "forebay.write-behind.users");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn queue(&self) -> &QueueName {
        self.rules.queue()
    }

    /// The queue where writes are that were given up: each with its value as the body, its key, its `sequence` among the
    /// headers, and `deleted` where it was a deletion. To try one again, put its value again, if that is still wanted.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let to_database = |_: SourceWrite| async { Err(Failure::reject("there is no such table")) };
    /// # let users = forebay.write_behind("users", WriteBehindOptions::default(), to_database).await?;
    /// users.put("user:7", "Ada").await?;
    /// let dead = forebay.queue(users.dead_letters().as_str()).await?;
    /// let write = dead.receive_within(Duration::from_secs(30)).await?.expect("a dead letter");
    /// assert_eq!((write.message.key.as_deref(), write.payload()), (Some("user:7"), &b"Ada"[..]));
    /// # users.stop().await;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn dead_letters(&self) -> &QueueName {
        self.rules.dead_letters()
    }

    /// Takes no more writes to the source, and returns once those that are on their way have ended. What is pending stays in
    /// the queue, and is written after the next opening. To be called before [`Forebay::close`](crate::Forebay::close).
    ///
    /// ```
    /// # use forebay::{Failure, Forebay, SourceWrite, WriteBehindOptions};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = Forebay::builder().data(folder.path()).open().await?;
    /// # let to_database = |_: SourceWrite| async { Ok::<(), Failure>(()) };
    /// # let users = forebay.write_behind("users", WriteBehindOptions::default(), to_database).await?;
    /// users.put("user:7", "Ada").await?;
    /// users.stop().await;
    /// assert!(forebay.close().await);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn stop(self) {
        self.rules.stop().await;
    }
}
