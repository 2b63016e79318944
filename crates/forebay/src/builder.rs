//! Opening: where the data lies and how much memory there is.

use std::path::{Path, PathBuf};

use forebay_bond::Prefixes;
use forebay_broker::BrokerOptions;
use forebay_connect::url::{BrokerUrl, StoreUrl};
use forebay_core::error::Result;
use forebay_core::limits;

use crate::forebay::Forebay;
use crate::open::open;

/// How a [`Forebay`] is opened.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let data = folder.path();
/// let forebay = forebay::Forebay::builder().data(data).memory(64 << 20).queue_disk(1 << 30).open().await?;
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) memory_bytes: usize,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) warm: bool,
    pub(crate) pinned: Prefixes,
    pub(crate) pinned_bytes_max: u64,
    pub(crate) value_bytes_max: usize,
    pub(crate) data: PathBuf,
    pub(crate) queue: BrokerOptions,
    pub(crate) store: StoreUrl,
    pub(crate) broker: BrokerUrl,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            memory_bytes: limits::memory::BYTES_DEFAULT,
            memory_total_bytes: None,
            warm: false,
            pinned: Prefixes::default(),
            pinned_bytes_max: limits::memory::PINNED_BYTES_DEFAULT,
            value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT,
            data: "forebay-data".into(),
            queue: BrokerOptions::default(),
            store: StoreUrl::default(),
            broker: BrokerUrl::default(),
        }
    }

    /// Memory for cached entries in bytes, keys and overhead included; 256 MiB unless said otherwise.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).memory(64 << 20).open().await?;
    /// assert_eq!(forebay.cache().stats().store.bytes_max, 64 << 20);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// Memory for cache and queues together in bytes. As queues grow the cache gives way, down to a quarter of its own;
    /// then payloads that wait are read from disk; then publishes are refused as full. No message is ever lost for want of
    /// memory, and the cache has its own again when the queues have drained. Unless said otherwise it is the memory of the
    /// cache and of payloads and room for some ten million messages.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let builder = forebay::Forebay::builder().data(data).memory(64 << 20).queue_memory(16 << 20);
    /// let forebay = builder.memory_total(256 << 20).open().await?;
    /// assert_eq!(forebay.pressure().rung, forebay::Rung::Calm);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn memory_total(mut self, bytes: u64) -> Self {
        self.memory_total_bytes = Some(bytes);
        self
    }

    /// Whether [`close`](Forebay::close) leaves the cache to the next opening, in the data directory; false unless said
    /// otherwise. Only the very next opening believes it: after a crash, or an opening without it, the cache begins empty.
    /// Entries keep their versions; those whose time is over do not come back.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).warm(true).open().await?;
    /// forebay.cache().set("product:7", "teapot")?;
    /// forebay.close().await;
    /// let forebay = forebay::Forebay::builder().data(data).warm(true).open().await?;
    /// assert_eq!(forebay.cache().get("product:7").as_deref(), Some(&b"teapot"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn warm(mut self, warm: bool) -> Self {
        self.warm = warm;
        self
    }

    /// Keys that begin with one of these are never forgotten before their time: results of tasks rather than cached values. A
    /// write returns when it is on the disk, for which it blocks its thread: in an async program, do it where blocking is
    /// right. No invalidation but by name takes them; what finds no room in [`pinned_memory`](Self::pinned_memory) is refused.
    /// None unless said otherwise; keys that are pinned no more are forgotten at the next opening.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let builder = forebay::Forebay::builder().data(data).pinned(["task:"])?;
    /// let forebay = builder.clone().open().await?;
    /// forebay.cache().set("task:7", "done")?;
    /// # forebay.close().await;
    /// let forebay = builder.open().await?; // also after a crash
    /// assert_eq!(forebay.cache().get("task:7").as_deref(), Some(&b"done"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn pinned(mut self, prefixes: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Self> {
        self.pinned = Prefixes::new(prefixes)?;
        Ok(self)
    }

    /// Memory for pinned keys in bytes, beside all other memory; 64 MiB unless said otherwise. On disk they take up to about
    /// twice that.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let builder = forebay::Forebay::builder().data(data).pinned(["task:"])?.pinned_memory(1_000);
    /// let forebay = builder.open().await?;
    /// assert!(forebay.cache().set("task:7", [0; 1_000]).is_err());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn pinned_memory(mut self, bytes: u64) -> Self {
        self.pinned_bytes_max = bytes;
        self
    }

    /// Largest cached value in bytes; 1 MiB unless said otherwise.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).value_bytes_max(1_000).open().await?;
    /// assert!(forebay.cache().set("product:7", vec![0; 1_001]).is_err());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn value_bytes_max(mut self, bytes: usize) -> Self {
        self.value_bytes_max = bytes;
        self
    }

    /// Directory of the queues, made if it is not there; `forebay-data` unless said otherwise. One process has it at a
    /// time.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).open().await?;
    /// # drop(forebay.clone());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn data(mut self, directory: impl AsRef<Path>) -> Self {
        self.data = directory.as_ref().to_path_buf();
        self
    }

    /// Disk for all queues in bytes; beyond it publishes are refused as full. 8 GiB unless said otherwise.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).queue_disk(1 << 30).open().await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn queue_disk(mut self, bytes: u64) -> Self {
        self.queue.log.disk_bytes_max = bytes;
        self
    }

    /// Memory for payloads that wait in queues; the rest is read from disk. 64 MiB unless said otherwise.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).queue_memory(16 << 20).open().await?;
    /// assert_eq!(forebay.pressure().bodies_max, 16 << 20);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn queue_memory(mut self, bytes: usize) -> Self {
        self.queue.hot_bytes_max = bytes;
        self
    }

    /// Where the shared cache is, [`Forebay::shared`]: `memory:`, which is that of this process, or `memcached://a,b`,
    /// `redis://host`, `redis+sentinel://a,b/main` or `redis-cluster://a,b`. `memory:` unless said otherwise.
    ///
    /// `Invalid`: there is no such scheme. `Unsupported`: this build lacks the feature that brings it. What the URL says beside
    /// that is read at the opening.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// // In production: "memcached://cache-a,cache-b,cache-c", and everything else stays as it is.
    /// let forebay = forebay::Forebay::builder().data(data).store("memory:")?.open().await?;
    /// forebay.shared().set("product:7", "teapot").await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn store(mut self, url: &str) -> Result<Self> {
        self.store = url.parse()?;
        Ok(self)
    }

    /// Where the queues are: `file:DIR`, which is the engine of this process in that directory, or `amqp://host`,
    /// `kafka://host`, `redis://host`, `redis+sentinel://a,b/main`, `redis-cluster://a,b` or `sqs://…`. The engine in the directory
    /// of [`data`](Self::data) unless said otherwise; another directory than `data` was set to is refused.
    ///
    /// `Invalid`, `Unsupported`: as for [`store`](Self::store).
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("file:{}", folder.path().display());
    /// // In production: "amqp://user:password@rabbit", and everything else stays as it is.
    /// let forebay = forebay::Forebay::builder().broker(&url)?.open().await?;
    /// forebay.queue("orders").await?.publish("one teapot").await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn broker(mut self, url: &str) -> Result<Self> {
        self.broker = url.parse()?;
        Ok(self)
    }

    /// Recovers the queues and starts the background work on the present tokio runtime. A store or broker elsewhere need not be
    /// there yet: what is asked of it is `Unavailable` until it is. For the store's first answer it waits up to 2 s.
    ///
    /// `Invalid`: a setting, or no runtime. `Conflict`: another process has the directory. `Damaged`: bytes on disk are
    /// not what was written.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).open().await?;
    /// assert!(forebay::Forebay::builder().data(data).open().await.is_err()); // it is in use
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn open(self) -> Result<Forebay> {
        open(self).await
    }
}
