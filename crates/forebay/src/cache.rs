//! The cache, in process.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;
use forebay_core::stats::{StoreDetail, StoreStats};

/// The cache. Any entry may be forgotten at any time to stay within the memory it was given; a value that was
/// overwritten or invalidated is never served again. Cloning is cheap and shares it.
///
/// Keys are 1 to 250 bytes: a read of any other key finds nothing, everything else refuses it as `Invalid` or `TooLarge`.
#[derive(Clone)]
pub struct Cache {
    rules: Arc<forebay_cache::Cache>,
}

impl Cache {
    pub(crate) fn new(rules: Arc<forebay_cache::Cache>) -> Self {
        Self { rules }
    }

    /// The value, copied out.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Payload> {
        self.rules.get(key.as_ref())
    }

    /// What `visit` makes of the value, without a copy. It runs under a lock: it must be short, and must not use the
    /// cache.
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

    /// Sets a value that does not expire. `TooLarge`: it was not stored, and the older value is gone.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.rules.set(key.as_ref(), value.as_ref(), None)
    }

    /// Sets a value that lives so long, less up to a tenth at random, so that what was stored together does not end
    /// together. `TooLarge`: it was not stored, and the older value is gone.
    pub fn set_for(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, life: Duration) -> Result<()> {
        self.rules.set(key.as_ref(), value.as_ref(), Some(life))
    }

    /// Makes what is held for the key invalid, and what is being loaded for it. May repeat.
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.rules.invalidate(key.as_ref())
    }

    /// The state of the cache.
    pub fn stats(&self) -> StoreStats {
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
