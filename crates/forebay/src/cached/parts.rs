//! What the cache hands out beside entries.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::atomic::{Counter, Locks, RateLimit, RateLimiter, Sessions as RawSessions};
use forebay_cache::tags::{Namespace, Tagged};
use forebay_core::error::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sessions::Sessions;
use super::typed::TypedCache;
use crate::cache::Cache;
use crate::codec::{Codec, Json};

impl Cache {
    /// The same cache, with values that are `T` in JSON.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let stock = forebay.cache().typed::<u32>();
    /// stock.set("teapot", &7, None)?;
    /// assert_eq!(stock.get("teapot"), Some(7));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn typed<T: Serialize + DeserializeOwned + Send + 'static>(&self) -> TypedCache<T> {
        self.coded(Json)
    }

    /// The same cache, with values that are `T` as this codec writes them.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let points = forebay.cache().coded::<(i32, i32)>(forebay::Postcard);
    /// points.set("here", &(3, -4), None)?;
    /// assert_eq!(points.get("here"), Some((3, -4)));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn coded<T: Send + 'static>(&self, codec: impl Codec<T> + 'static) -> TypedCache<T> {
        TypedCache::new(self.clone(), Arc::new(codec))
    }

    /// Writes through: runs `write`, which writes the value to the source, and then stores it. When `write` fails or is given up,
    /// or others have written the key meanwhile, the key is invalidated instead: the cache never keeps a value that the source
    /// has not. `Err` is that of `write`.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.cache();
    /// let update = async { /* UPDATE product SET … */ Ok(()) };
    /// cache.write_through("product:7", "teapot", None, update).await?;
    /// assert_eq!(cache.get("product:7").as_deref(), Some(&b"teapot"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn write_through(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        life: Option<Duration>,
        write: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        self.rules.write_through(key.as_ref(), value.as_ref(), life, write).await
    }

    /// The number under this key, for as long as the cache remembers it; it lives for `life` from its first change on.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let visits = forebay.cache().counter("visits", None)?;
    /// visits.add(2)?;
    /// assert_eq!((visits.subtract(1)?, visits.get()?), (1, 1));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn counter(&self, key: impl AsRef<[u8]>, life: Option<Duration>) -> Result<Counter> {
        Counter::new(Arc::clone(&self.rules), key.as_ref(), life)
    }

    /// Locks by name, with a lease and a fencing token; [`Locks`] says what they promise and what not.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let locks = forebay.cache().locks();
    /// let lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
    /// assert!(locks.try_lock("stocktaking", Duration::from_secs(30))?.is_none());
    /// let fence = lock.token(); // UPDATE stock SET …, fence = $fence WHERE fence <= $fence
    /// assert!(lock.release());
    /// let next = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("it was given back");
    /// assert!(next.token() > fence);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn locks(&self) -> Locks {
        Locks::new(Arc::clone(&self.rules))
    }

    /// A limiter of rates by name, over a window that slides.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay::RateLimit;
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let window = Duration::from_secs(3600);
    /// let logins = forebay.cache().rate_limiter(RateLimit { limit: 2, window })?;
    /// assert!(logins.take("ada")?.allowed && logins.take("ada")?.allowed);
    /// assert!(!logins.take("ada")?.allowed && logins.take("bob")?.allowed);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn rate_limiter(&self, rate: RateLimit) -> Result<RateLimiter> {
        RateLimiter::new(Arc::clone(&self.rules), rate)
    }

    /// A part of the cache with keys of its own, which can be made invalid whole.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let users = forebay.cache().namespace("user")?;
    /// users.set("7", "Ada", None)?;
    /// assert_eq!(users.get("7").as_deref(), Some(&b"Ada"[..]));
    /// users.invalidate_all();
    /// assert_eq!(users.get("7"), None);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        Namespace::new(Arc::clone(&self.rules), name.as_bytes())
    }

    /// A part of the cache whose entries carry tags, and become invalid with any of them.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let pages = forebay.cache().tagged();
    /// pages.set("home", "teapots and cups", &["teapot", "cup"], None)?;
    /// assert_eq!(pages.get("home").as_deref(), Some(&b"teapots and cups"[..]));
    /// pages.invalidate_tag("teapot");
    /// assert_eq!(pages.get("home"), None);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn tagged(&self) -> Tagged {
        Tagged::new(Arc::clone(&self.rules))
    }

    /// Sessions of `T`, kept as JSON, each of which ends after `idle` without a look at it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let baskets = forebay.cache().sessions::<Vec<String>>(Duration::from_secs(1800))?;
    /// # let id = "b0e1";
    /// baskets.put(id, &vec!["teapot".to_owned()])?;
    /// assert_eq!(baskets.get(id), Some(vec!["teapot".to_owned()]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn sessions<T: Serialize + DeserializeOwned>(&self, idle: Duration) -> Result<Sessions<T>> {
        Ok(Sessions::new(RawSessions::new(Arc::clone(&self.rules), idle)?, Arc::new(Json)))
    }
}
