//! The cache, in process.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::tags::TaggedReadThrough;
use forebay_cache::{Guard, GuardOptions, Policy, ReadThrough, ReadThroughOptions};
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::clock::Spawn;
use forebay_core::ports::loader::{BatchLoader, Loader};
use forebay_core::stats::{CacheStats, StoreDetail};

/// The cache. Any entry may be forgotten at any time to stay within the memory it was given; a value that was
/// overwritten or invalidated is never served again. Cloning is cheap and shares it.
///
/// Keys are 1 to 250 bytes: a read of any other key finds nothing, everything else refuses it as `Invalid` or `TooLarge`.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let cache = forebay.cache();
/// cache.set("product:7", "teapot")?;
/// assert_eq!(cache.get("product:7").as_deref(), Some(&b"teapot"[..]));
/// cache.invalidate("product:7")?;
/// assert_eq!(cache.get("product:7"), None);
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(crate) rules: Arc<forebay_cache::Cache>,
    spawn: Arc<dyn Spawn>,
}

impl Cache {
    pub(crate) fn new(rules: Arc<forebay_cache::Cache>, spawn: Arc<dyn Spawn>) -> Self {
        Self { rules, spawn }
    }

    /// The value, copied out.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// assert_eq!(cache.get("product:7"), None);
    /// cache.set("product:7", "teapot")?;
    /// assert_eq!(&*cache.get("product:7").expect("it was set"), b"teapot");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Payload> {
        self.rules.get(key.as_ref())
    }

    /// What `visit` makes of the value, without a copy. It runs under a lock: it must be short, and must not use the
    /// cache.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// cache.set("product:7", "teapot")?;
    /// assert_eq!(cache.read("product:7", <[u8]>::len), Some(6));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn read<T>(&self, key: impl AsRef<[u8]>, visit: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.rules.get_with(key.as_ref(), visit)
    }

    /// The value, loaded if it is not there; `None` where the source has none. Of all who miss a key at one time one
    /// loads, and the others get what it got. What was loaded is kept for `life` (`None`: without end), unless the key
    /// was written or invalidated in the meantime: a slow load never overwrites what is newer.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let product = forebay.cache().get_or_load("product:7", None, &load).await?;
    /// # assert_eq!(product.as_deref(), Some(&b"teapot"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load(
        &self,
        key: impl AsRef<[u8]>,
        life: Option<Duration>,
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        self.rules.get_or_load(key.as_ref(), life, loader).await
    }

    /// The values in the order of the keys, `None` where the source has none. All that are not there are loaded in one
    /// batch, except those that somebody else is loading: for these it waits. Otherwise as
    /// [`get_or_load`](Self::get_or_load); at most 10,000 keys.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// # let cache = forebay.cache();
    /// cache.set("product:7", "teapot")?;
    /// // In a program: select … where id in (…).
    /// let load = |keys: Vec<Vec<u8>>| async move { Ok(keys.into_iter().map(|key| Some(key.into())).collect()) };
    /// let products = cache.get_many_or_load(&["product:7", "product:8"], None, &load).await?;
    /// assert_eq!(products[0].as_deref(), Some(&b"teapot"[..]));
    /// assert_eq!(products[1].as_deref(), Some(&b"product:8"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_many_or_load<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        life: Option<Duration>,
        loader: &dyn BatchLoader,
    ) -> Result<Vec<Option<Payload>>> {
        self.rules.get_many_or_load(keys, life, loader).await
    }

    /// The cache in front of one source, by a policy: how long a value is good, when an older one will do, how long a load
    /// may take. At most 64 loads run at one time, and a source that fails too often is left alone for a while; another
    /// budget, breaker or guard goes through [`read_through_with`](Self::read_through_with).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay::Policy;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let load = |key: Vec<u8>| async move { Ok(key.starts_with(b"product:").then(|| "teapot".into())) };
    /// let policy = Policy::fresh_for(Duration::from_secs(60))
    ///     .stale_for(Duration::from_secs(10)) // served at once, while one load brings the new value
    ///     .stale_on_error(Duration::from_secs(3600)) // while the database is down
    ///     .soft_timeout(Duration::from_millis(50)); // while it is slow
    /// let products = forebay.cache().read_through(load, policy)?;
    ///
    /// let product = products.get("product:7").await?.expect("a product");
    /// assert_eq!(&*product, b"teapot");
    /// assert_eq!(product.stale(), None);
    /// assert_eq!(products.get("nothing:7").await?, None); // and that is remembered for 5 seconds
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn read_through(&self, loader: impl Loader + 'static, policy: Policy) -> Result<ReadThrough> {
        self.read_through_with(loader, ReadThroughOptions::new(policy))
    }

    /// As [`read_through`](Self::read_through), with a load budget, circuit breaker or guard of your own.
    ///
    /// ```
    /// use forebay::{BreakerOptions, Policy, ReadThroughOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = forebay.cache().read_through_with(load, ReadThroughOptions {
    ///     loads_max: 8, // what the database bears
    ///     breaker: Some(BreakerOptions { failure_share: 0.3, ..BreakerOptions::default() }),
    ///     ..ReadThroughOptions::new(Policy::default())
    /// })?;
    /// # products.get("product:7").await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn read_through_with(
        &self,
        loader: impl Loader + 'static,
        options: ReadThroughOptions,
    ) -> Result<ReadThrough> {
        ReadThrough::new(Arc::clone(&self.rules), Arc::clone(&self.spawn), Arc::new(loader), options)
    }

    /// As [`read_through_with`](Self::read_through_with), in front of a source that answers for many keys at once: what
    /// [`ReadThrough::get_many`] does not find is one load.
    ///
    /// ```
    /// use forebay::{Policy, ReadThroughOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let load = |keys: Vec<Vec<u8>>| async move { Ok(keys.into_iter().map(|key| Some(key.into())).collect()) };
    /// let products = forebay.cache().read_through_batch(load, ReadThroughOptions::new(Policy::default()))?;
    /// let both = products.get_many(&["product:7", "product:8"]).await?;
    /// assert_eq!(both[1].as_deref(), Some(&b"product:8"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn read_through_batch(
        &self,
        loader: impl BatchLoader + 'static,
        options: ReadThroughOptions,
    ) -> Result<ReadThrough> {
        ReadThrough::batched(Arc::clone(&self.rules), Arc::clone(&self.spawn), Arc::new(loader), options)
    }

    /// As [`read_through_with`](Self::read_through_with), with values that carry the tags that `tags` names for them, given the
    /// key and the value. They are entries of [`tagged`](Self::tagged), and become invalid with any of their tags.
    ///
    /// ```
    /// use forebay::{Policy, ReadThroughOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let render = |_key| async { Ok(Some("teapots and cups".into())) };
    /// let tags = |key: &[u8], _page: &[u8]| vec![format!("page:{}", String::from_utf8_lossy(key)), "shop".to_owned()];
    /// let pages = forebay.cache().read_through_tagged(render, tags, ReadThroughOptions::new(Policy::default()))?;
    /// assert!(pages.get("home").await?.is_some());
    /// forebay.cache().tagged().invalidate_tag("shop"); // the next read of every page renders it anew
    /// # assert!(pages.get("home").await?.is_some());
    /// # assert_eq!(forebay.cache().stats().reads.misses, 2);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn read_through_tagged(
        &self,
        loader: impl Loader + 'static,
        tags: impl Fn(&[u8], &[u8]) -> Vec<String> + Send + Sync + 'static,
        options: ReadThroughOptions,
    ) -> Result<TaggedReadThrough> {
        let (spawn, loader) = (Arc::clone(&self.spawn), Arc::new(loader));
        TaggedReadThrough::new(self.tagged(), spawn, loader, Arc::new(tags), options)
    }

    /// A guard: it knows, in little memory, which keys a source does not have, so that asking for them does not reach it.
    /// It is fed with all keys of the source, and told of every new one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use forebay::{GuardOptions, Policy, ReadThroughOptions};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// let guard = Arc::new(cache.guard(GuardOptions::new(10_000))?);
    /// guard.rebuild(&|| ["product:7", "product:8"]).await?;
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = cache.read_through_with(load, ReadThroughOptions {
    ///     guard: Some(guard.clone()),
    ///     ..ReadThroughOptions::new(Policy::default())
    /// })?;
    /// assert!(products.get("product:7").await?.is_some());
    /// assert!(products.get("made-up").await?.is_none()); // the source was not asked
    /// assert_eq!(cache.stats().reads.refused_by_guard, 1);
    /// products.set("product:9", "kettle")?; // now the guard knows it, too
    /// assert!(!guard.rules_out("product:9"));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn guard(&self, options: GuardOptions) -> Result<Guard> {
        self.rules.guard(options)
    }

    /// Sets a value that does not expire. `TooLarge`: it was not stored, and the older value is gone.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// cache.set("product:7", "teapot")?;
    /// # assert!(cache.get("product:7").is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.rules.set(key.as_ref(), value.as_ref(), None)
    }

    /// Sets a value that lives so long, less up to a tenth at random, so that what was stored together does not end
    /// together. `TooLarge`: it was not stored, and the older value is gone.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// cache.set_for("product:7", "teapot", Duration::from_secs(60))?;
    /// # assert!(cache.get("product:7").is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn set_for(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, life: Duration) -> Result<()> {
        self.rules.set(key.as_ref(), value.as_ref(), Some(life))
    }

    /// Makes what is held for the key invalid, and what is being loaded for it. May repeat.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// cache.set("product:7", "teapot")?;
    /// cache.invalidate("product:7")?;
    /// assert_eq!(cache.get("product:7"), None);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.rules.invalidate(key.as_ref())
    }

    /// The state of the cache's memory, and what its reads came to.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// cache.set("product:7", "teapot")?;
    /// cache.get("product:7");
    /// cache.get("product:8");
    /// assert_eq!(cache.stats().reads.hit_ratio(), 0.5);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn stats(&self) -> CacheStats {
        self.rules.stats()
    }

    /// What the cache is full of, by size, and the keys that were read most of late.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// cache.set("product:7", "teapot")?;
    /// (0..100).for_each(|_| drop(cache.get("product:7")));
    /// assert_eq!(cache.detail().top[0].key, b"product:7");
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn detail(&self) -> StoreDetail {
        self.rules.detail()
    }
}
