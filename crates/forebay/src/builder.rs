//! Opening: where the data lies and how much memory there is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use forebay_bond::pinned::{ResultsOptions, Waiting};
use forebay_bond::{Budget, Governor, Pinned, Prefixes, Results, warm};
use forebay_broker::BrokerOptions;
use forebay_cache::CacheOptions;
use forebay_core::entry::Version;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::pressure::Pressure;
use forebay_log::Disk;
use forebay_memory::{Memory, MemoryOptions};
use forebay_queue::queues::Queues;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use tokio::runtime::Handle;

use crate::forebay::{Forebay, Parts, Warm};

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
    memory_bytes: usize,
    memory_total_bytes: Option<u64>,
    warm: bool,
    pinned: Prefixes,
    pinned_bytes_max: u64,
    value_bytes_max: usize,
    data: PathBuf,
    queue: BrokerOptions,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            memory_bytes: limits::MEMORY_BYTES_DEFAULT,
            memory_total_bytes: None,
            warm: false,
            pinned: Prefixes::default(),
            pinned_bytes_max: limits::PINNED_BYTES_DEFAULT,
            value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT,
            data: "forebay-data".into(),
            queue: BrokerOptions::default(),
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

    /// Recovers the queues and starts the background work on the present tokio runtime.
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
        let refuse = |what: &str| Error::new(Kind::Invalid, "open forebay", what);
        if self.memory_bytes < limits::MEMORY_BYTES_MIN {
            return Err(refuse("memory must be at least 1 MiB"));
        }
        if self.value_bytes_max == 0 || self.value_bytes_max > limits::VALUE_BYTES_MAX_CEILING {
            return Err(refuse("value_bytes_max must be 1 byte to 128 MiB"));
        }
        let (cache, bodies) = (self.memory_bytes as u64, self.queue.hot_bytes_max as u64);
        let budget = Budget::new(self.memory_total_bytes, cache, bodies)?;
        let handle = Handle::try_current().map_err(|_| refuse("there is no tokio runtime"))?;
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let (disk_clock, data, options) = (Arc::clone(&clock), self.data, self.queue);
        // Recovery reads the disk, which may take a while.
        let memory = Arc::new(Memory::new(MemoryOptions {
            bytes_max: self.memory_bytes,
            value_bytes_max: self.value_bytes_max,
            first_version: Version::first(clock.now()),
        }));
        let pinned = ResultsOptions {
            bytes_max: self.pinned_bytes_max,
            value_bytes_max: self.value_bytes_max,
            ..ResultsOptions::new(self.pinned)
        };
        let (filled, is_warm) = (Arc::clone(&memory), self.warm);
        let opened = handle.spawn_blocking(move || {
            let disk = Arc::new(Disk::open(&data)?);
            warm::begin(&*disk, &filled, is_warm, &pinned.prefixes, disk_clock.now())?;
            let opened = forebay_broker::open(disk.clone(), options, disk_clock.clone())?;
            let results = Results::open_beside(&data, pinned, disk_clock)?;
            Ok((disk, opened, results))
        });
        let (disk, opened, results) =
            opened.await.map_err(|reason| refuse("recovery was cut off").because(reason))??;
        let health = Arc::new(Health::default());
        let engines = Tasks::new(handle.clone(), Arc::clone(&health));
        let background = Tasks::new(handle, Arc::clone(&health));
        let queues = Queues::new(opened.broker.clone(), Arc::clone(&clock));
        engines.spawn_all(opened.work);
        engines.spawn_all(vec![queues.expirer()]);
        let pressure = Arc::new(Pressure::default());
        let governor = Governor::new(&memory, &opened.broker, budget, Arc::clone(&pressure));
        engines.spawn_all(vec![governor.work(Arc::clone(&clock))]);
        background.spawn_all(vec![forebay_memory::sweeper(Arc::clone(&memory), Arc::clone(&clock))]);
        let warm = self.warm.then(|| Warm { disk, memory: Arc::clone(&memory), clock: Arc::clone(&clock) });
        let results = results.map(|opened| {
            engines.spawn_all(opened.work);
            opened.results
        });
        let store: Arc<dyn LocalStore> = match &results {
            Some(results) => Arc::new(Waiting::new(Arc::new(Pinned::new(memory, Some(results.clone()))))),
            None => memory,
        };
        let cache = Arc::new(forebay_cache::Cache::new(store, Arc::clone(&clock), CacheOptions::default())?);
        let broker = opened.broker;
        Ok(Forebay::new(Parts {
            cache,
            clock,
            queues,
            broker,
            engines,
            background,
            pressure,
            health,
            results,
            warm,
            write_behinds: Arc::default(),
        }))
    }
}
