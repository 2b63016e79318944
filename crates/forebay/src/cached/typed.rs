//! A cache of values instead of bytes.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::Loader;

use crate::cache::Cache;
use crate::codec::Codec;

/// The cache, with values that are `T`. It has the same keys as the cache that it was made from, and of one key only one kind of
/// values should be kept: what cannot be read as a `T` is a miss, and is forgotten. Cloning is cheap.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let stock = forebay.cache().typed::<u32>();
/// let seven = stock.get_or_load("teapot", None, async || Ok(Some(7))).await?;
/// assert_eq!((seven, stock.get("teapot")), (Some(7), Some(7)));
/// stock.set("cup", &3, None)?;
/// stock.invalidate("teapot")?;
/// assert_eq!((stock.get("cup"), stock.get("teapot")), (Some(3), None));
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct TypedCache<T> {
    cache: Cache,
    codec: Arc<dyn Codec<T>>,
}

impl<T> Clone for TypedCache<T> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), codec: Arc::clone(&self.codec) }
    }
}

impl<T: Send + 'static> TypedCache<T> {
    pub(super) fn new(cache: Cache, codec: Arc<dyn Codec<T>>) -> Self {
        Self { cache, codec }
    }

    /// The value.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.cache().typed::<u32>();
    /// assert_eq!(stock.get("teapot"), None);
    /// stock.set("teapot", &7, None)?;
    /// assert_eq!(stock.get("teapot"), Some(7));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<T> {
        let key = key.as_ref();
        let value = self.codec.decode(&self.cache.get(key)?).ok();
        if value.is_none() {
            // The key is one, since it was found.
            let _ = self.cache.invalidate(key);
        }
        value
    }

    /// The value, loaded if it is not there, as [`Cache::get_or_load`] does it: of all who miss a key at one time one calls
    /// its `load`, and the others get what it got.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.cache().typed::<u32>();
    /// let seven = stock.get_or_load("teapot", None, async || Ok(Some(7))).await?;
    /// assert_eq!(seven, Some(7));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load<F, Fut>(
        &self,
        key: impl AsRef<[u8]>,
        life: Option<Duration>,
        load: F,
    ) -> Result<Option<T>>
    where
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<Option<T>>> + Send,
    {
        let key = key.as_ref();
        let loader = Encoding { load, codec: &*self.codec };
        if let Some(bytes) = self.cache.get_or_load(key, life, &loader).await? {
            match self.codec.decode(&bytes) {
                Ok(value) => return Ok(Some(value)),
                // Bytes of another kind: out of the way, and once more.
                Err(_) => self.cache.invalidate(key)?,
            }
        } else {
            return Ok(None);
        }
        let bytes = self.cache.get_or_load(key, life, &loader).await?;
        bytes.map(|bytes| self.codec.decode(&bytes)).transpose()
    }

    /// Sets a value; `life` of `None` is without end. `Invalid`: the codec cannot write it down. `TooLarge`: it was not stored,
    /// and the older value is gone.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.cache().typed::<u32>();
    /// stock.set("teapot", &7, Some(Duration::from_secs(60)))?;
    /// assert_eq!(stock.get("teapot"), Some(7));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: &T, life: Option<Duration>) -> Result<()> {
        let bytes = self.codec.encode(value)?;
        match life {
            Some(life) => self.cache.set_for(key, &*bytes, life),
            None => self.cache.set(key, &*bytes),
        }
    }

    /// Writes through, as [`Cache::write_through`] does it: the source first, by `write`, then the cache.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.cache().typed::<u32>();
    /// let update = async { /* UPDATE stock SET … */ Ok(()) };
    /// stock.write_through("teapot", &6, None, update).await?;
    /// assert_eq!(stock.get("teapot"), Some(6));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn write_through(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        life: Option<Duration>,
        write: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let bytes = self.codec.encode(value)?;
        self.cache.write_through(key, &*bytes, life, write).await
    }

    /// Makes what is held for the key invalid, and what is being loaded for it. May repeat.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.cache().typed::<u32>();
    /// stock.set("teapot", &7, None)?;
    /// stock.invalidate("teapot")?;
    /// assert_eq!(stock.get("teapot"), None);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.cache.invalidate(key)
    }
}

/// Writes down what it loads.
struct Encoding<'a, T, F> {
    load: F,
    codec: &'a dyn Codec<T>,
}

impl<T, F, Fut> Loader for Encoding<'_, T, F>
where
    T: Send,
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<T>>> + Send,
{
    fn load<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        Box::pin(async move { (self.load)().await?.map(|value| self.codec.encode(&value)).transpose() })
    }
}
