//! The handle of an open cache and its queues.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_bond::behind::{Joined, Names};
use forebay_bond::{Results, warm};
use forebay_broker::EmbeddedBroker;
use forebay_cache::SharedCache as SharedRules;
use forebay_connect::open::{Close, Nodes};
use forebay_connect::url::StoreUrl;
use forebay_core::error::{Kind, Result};
use forebay_core::health::Health;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Clock, Spawn};
use forebay_core::pressure::{Pressure, PressureStats};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::stats::LogStats;
use forebay_log::Disk;
use forebay_memory::Memory;
use forebay_queue::queues::Queues;
use forebay_queue::worker::Failure;
use forebay_runtime::tasks::Tasks;

use crate::behind::{SourceWrite, WriteBehind, WriteBehindOptions};
use crate::builder::Builder;
use crate::cache::Cache;
use crate::cached::SharedCache;
use crate::queue::Queue;
use crate::settings;

/// How long closing waits for the disk.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(30);

/// An open cache and its queues. Cloning is cheap and shares them.
///
/// When the last clone, [`Queue`], stream and [`Worker`](crate::Worker) are gone, the queues are closed in the background;
/// [`close`](Self::close) also waits for that.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// forebay.cache().set("product:7", "teapot")?;
/// let orders = forebay.clone().queue("orders").await?;
/// orders.publish("one teapot").await?;
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Forebay {
    parts: Arc<Parts>,
}

pub(crate) struct Parts {
    pub(crate) cache: Arc<forebay_cache::Cache>,
    pub(crate) shared: SharedRules,
    /// Those of the shared store, where they can be changed.
    pub(crate) nodes: Option<Nodes>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queues: Queues,
    pub(crate) admin: Arc<dyn BrokerAdmin>,
    /// The queues' engine, if it is in this process.
    pub(crate) engine: Option<Arc<EmbeddedBroker>>,
    /// Closes what is not.
    pub(crate) elsewhere: Vec<Close>,
    pub(crate) engines: Tasks,
    pub(crate) background: Tasks,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) health: Arc<Health>,
    pub(crate) results: Option<Results>,
    pub(crate) warm: Option<Warm>,
    pub(crate) write_behinds: Arc<Names>,
}

/// What is needed to leave the cache to the next opening.
pub(crate) struct Warm {
    pub(crate) disk: Arc<Disk>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        // The background work holds the broker too, and ends only when it is closed.
        self.close();
    }
}

impl Parts {
    fn close(&self) {
        if let Some(engine) = &self.engine {
            engine.close();
        }
        self.elsewhere.iter().for_each(Close::close);
        if let Some(results) = &self.results {
            results.close();
        }
    }
}

impl Forebay {
    /// Begins with the defaults.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let data = folder.path();
    /// let forebay = forebay::Forebay::builder().data(data).open().await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Opens what a file says: `data`, `memory`, `memory_total`, `warm_restart`, `pinned`, `pinned_memory`, `value_bytes_max`,
    /// `queue_disk` and `queue_memory`, as for the daemon, and the URLs `store` in the section `[cache]` and `broker` in
    /// `[queue]`; see [`Builder`] for each. What it does not say has its default.
    ///
    /// `Invalid`: names what is unknown or wrong in it. `Io`: it cannot be read. Otherwise as [`Builder::open`].
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("forebay.toml");
    /// # let data = folder.path().join("queues");
    /// # let text = format!("memory = \"64MiB\"\n[cache]\nstore = \"memory:\"\n[queue]\nbroker = \"file:{}\"\n", data.display());
    /// # std::fs::write(&file, text)?;
    /// // memory = "64MiB"
    /// // [cache]
    /// // store = "memory:"
    /// // [queue]
    /// // broker = "file:queues"
    /// let forebay = forebay::Forebay::connect(&file).await?;
    /// forebay.queue("orders").await?.publish("one teapot").await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn connect(file: impl AsRef<Path>) -> Result<Self> {
        settings::read(file.as_ref())?.open().await
    }

    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// The cache.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// forebay.cache().set("product:7", "teapot")?;
    /// assert!(forebay.cache().get("product:7").is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn cache(&self) -> Cache {
        Cache::new(Arc::clone(&self.parts.cache), Arc::new(self.parts.background.clone()))
    }

    /// The cache that many processes share, where [`Builder::store`] names one; else the memory of this process behind the same
    /// methods.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// forebay.shared().set("product:7", "teapot").await?;
    /// assert!(forebay.shared().get("product:7").await?.is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn shared(&self) -> SharedCache {
        SharedCache::new(Arc::clone(&self.parts))
    }

    /// Goes on with the memcached nodes that this URL names in place of those before: about as many keys move as the nodes that come
    /// or go have, and nothing older comes up with it. Tell all processes at about the same time: until then they look for some
    /// keys on different nodes.
    ///
    /// `Invalid`: the URL, or something else than nodes and weights differs from the one that was opened. `Unsupported`: the store
    /// is no memcached.
    ///
    /// ```no_run
    /// # async fn grow() -> forebay::Result<()> {
    /// let forebay = forebay::Forebay::builder().store("memcached://cache-a,cache-b")?.open().await?;
    /// forebay.set_store_nodes("memcached://cache-a,cache-b,cache-c")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_store_nodes(&self, url: &str) -> Result<()> {
        let url: StoreUrl = url.parse()?;
        let (Some(nodes), Some(shared)) = (&self.parts.nodes, url.shared()) else {
            return Err(Nodes::lacking(&url));
        };
        self.parts.engines.spawn_all(nodes.set(shared)?);
        Ok(())
    }

    /// The queue of this name, declared with the default settings if it is not there. One that is there keeps the
    /// settings it has.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// forebay.queue("orders").await?.publish("one teapot").await?;
    /// assert_eq!(forebay.queue("orders").await?.stats().await?.ready, 1);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn queue(&self, name: &str) -> Result<Queue> {
        let name = QueueName::new(name)?;
        match self.parts.admin.queue(&name).await {
            Err(error) if error.kind() == Kind::NotFound => {
                self.parts.queues.ensure(&QueueSettings::new(name.clone())).await?;
            }
            known => drop(known?),
        }
        Ok(Queue::new(name, Arc::clone(&self.parts)))
    }

    /// The queue with these settings. `Conflict` if it is there with others.
    ///
    /// ```
    /// use forebay::{QueueName, QueueSettings};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let mut settings = QueueSettings::new(QueueName::new("orders")?);
    /// settings.retry.attempt_max = 3;
    /// let orders = forebay.queue_with(&settings).await?;
    /// settings.retry.attempt_max = 4;
    /// assert!(forebay.queue_with(&settings).await.is_err()); // it is there with others
    /// # drop(orders);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn queue_with(&self, settings: &QueueSettings) -> Result<Queue> {
        self.parts.queues.ensure(settings).await?;
        Ok(Queue::new(settings.name.clone(), Arc::clone(&self.parts)))
    }

    /// The cache in front of a source that is written through a queue: a write is confirmed when it is on disk here, readers
    /// see it at once, and `writer` brings it to the source. Opening it again after a restart goes on where it stopped.
    ///
    /// `writer` is called with one write at a time for each key, in their order; what it cannot do is tried again by the
    /// retry policy. It must not own the handle, which would then never be dropped.
    ///
    /// `Conflict`: it is open already in this process, or was made with another retry policy. `Invalid`: the name or an
    /// option.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay::{Failure, SourceWrite, WriteBehindOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// // In a program: insert … on conflict do update … where sequence < excluded.sequence.
    /// let to_database = |write: SourceWrite| async move {
    ///     println!("{} is written, number {}", write.key, write.sequence);
    ///     Ok::<(), Failure>(())
    /// };
    /// let options = WriteBehindOptions {
    ///     life: Some(Duration::from_secs(3600)), // in the cache, once the database has it
    ///     concurrency: 16, // what the database bears
    ///     ..WriteBehindOptions::default()
    /// };
    /// let users = forebay.write_behind("users", options, to_database).await?;
    /// users.put("user:7", "Ada").await?; // on disk here, soon in the database
    ///
    /// // In a program: select … where id = …
    /// let from_database = |_key| async { Ok(None) };
    /// assert_eq!(users.get("user:7", &from_database).await?.as_deref(), Some(&b"Ada"[..]));
    /// # users.stop().await;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn write_behind<W, F>(
        &self,
        name: &str,
        options: WriteBehindOptions,
        writer: W,
    ) -> Result<WriteBehind>
    where
        W: Fn(SourceWrite) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(), Failure>> + Send + 'static,
    {
        let parts = &self.parts;
        let spawn = Arc::new(parts.background.clone());
        let joined = Joined {
            cache: Arc::clone(&parts.cache),
            queues: parts.queues.clone(),
            admin: Arc::clone(&parts.admin),
            clock: Arc::clone(&parts.clock),
            spawn: Arc::clone(&spawn) as _,
            names: Arc::clone(&parts.write_behinds),
        };
        // While it writes, the queue that it writes from stays open.
        let open = Arc::clone(parts);
        let writer = move |write| {
            let _open = &open;
            writer(write)
        };
        let (rules, work) = forebay_bond::behind::WriteBehind::open(joined, name, options, writer).await?;
        work.into_iter().for_each(|work| spawn.spawn(work));
        Ok(WriteBehind::new(rules))
    }

    /// The state of the commit log; all zero where the queues are elsewhere.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let before = forebay.log_stats().records;
    /// forebay.queue("orders").await?.publish("one teapot").await?;
    /// assert!(forebay.log_stats().records > before);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn log_stats(&self) -> LogStats {
        self.parts.engine.as_ref().map(|engine| engine.log().stats()).unwrap_or_default()
    }

    /// Who has which memory, and how far the queues have pushed the cache back.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// assert_eq!(forebay.pressure().rung, forebay::Rung::Calm);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn pressure(&self) -> PressureStats {
        self.parts.pressure.stats()
    }

    /// What has failed that only a restart repairs; empty while all is well.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// assert!(forebay.failures().is_empty());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn failures(&self) -> Vec<String> {
        self.parts.health.failures()
    }

    /// Closes it for all clones: takes nothing more, and returns once the log is closed. True if it closed in
    /// good order; otherwise the next opening has more to recover, and what was confirmed is safe all the same.
    ///
    /// Stop your workers first: what they hold comes back only when its hold has run out. Where
    /// [`warm`](Builder::warm) was asked for, what the cache holds now is left to the next opening; other clones must not
    /// change it any more, for what they change or invalidate after this the next opening does not know.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// assert!(forebay.close().await);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn close(self) -> bool {
        self.parts.close();
        let closed = self.parts.engines.drain(CLOSE_WAIT_MAX).await.unfinished.is_empty();
        let parts = Arc::clone(&self.parts);
        let left = tokio::task::spawn_blocking(move || parts.warm.as_ref().is_none_or(Warm::leave));
        // A thread that panics leaves nothing, which is what the next opening takes it for.
        drop(left.await);
        closed
    }
}

impl Warm {
    /// Whether the next opening will find it. Without, it begins empty, which a cache may at any time.
    fn leave(&self) -> bool {
        warm::end(&*self.disk, &self.memory, self.clock.now()).is_ok()
    }
}
