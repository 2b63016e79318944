//! The cache that many processes share, or the memory of this one behind the same methods.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Step, Version};
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;

use crate::forebay::Parts;

/// The cache that [`Builder::store`](crate::Builder::store) names: the same on every URL, so that a program which has outgrown
/// one process changes that alone. On `memory:`, which it is unless said otherwise, it is the same memory as
/// [`Forebay::cache`](crate::Forebay::cache).
///
/// Any entry may be forgotten at any time. What a call asks the store is answered within the time-out of the URL, or fails as
/// `Unavailable`, as all does while the store is away; a change may have happened all the same. `add`, `replace`, counting and
/// `touch` may ask more than once, and a load also waits up to a second for another process that loads the same. On `memory:` a
/// change of a pinned key holds up the thread that polls it until it is on the disk. Keys are 1 to 250 bytes without spaces and
/// control characters. Cloning is cheap and shares it.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let builder = forebay::Forebay::builder().data(folder.path());
/// let forebay = builder.store("memory:")?.open().await?; // or "redis://cache.example"
/// let cache = forebay.shared();
/// cache.set("product:7", "teapot").await?;
/// assert_eq!(cache.get("product:7").await?.as_deref(), Some(&b"teapot"[..]));
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SharedCache {
    parts: Arc<Parts>,
}

impl SharedCache {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    fn rules(&self) -> &forebay_cache::SharedCache {
        &self.parts.shared
    }

    /// The value.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// assert_eq!(cache.get("product:7").await?, None);
    /// cache.set("product:7", "teapot").await?;
    /// assert_eq!(cache.get("product:7").await?.as_deref(), Some(&b"teapot"[..]));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Payload>> {
        self.rules().get(key.as_ref()).await
    }

    /// The values of many keys, in their order, asked for at once. `Err`: one of them could not be read.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set("product:7", "teapot").await?;
    /// let products = cache.get_many(&["product:7", "product:8"]).await?;
    /// assert_eq!((products[0].as_deref(), products[1].as_deref()), (Some(&b"teapot"[..]), None));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Payload>>> {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        self.rules().get_many(&keys).await
    }

    /// The value, loaded if it is not there; `None` where the source has none, which is remembered for 2 s. Of all who miss a key at
    /// one time one loads, in all processes, as long as that takes no longer than a second: after that whoever still waits loads
    /// too, and stores nothing. What was loaded is kept for `life` (`None`: without end), unless the key was written or deleted in
    /// the meantime: a slow load never overwrites what is newer. While the store is away values are loaded and not kept.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let product = cache.get_or_load("product:7", None, &load).await?;
    /// assert_eq!(product.as_deref(), Some(&b"teapot"[..]));
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
        self.rules().get_or_load(key.as_ref(), life, loader).await
    }

    /// Sets a value that lives until it is overwritten, deleted or forgotten.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set("product:7", "teapot").await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.rules().set(key.as_ref(), value.as_ref(), None).await
    }

    /// Sets a value that lives so long, rounded up to the second.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set_for("product:7", "teapot", std::time::Duration::from_secs(60)).await?;
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn set_for(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        life: Duration,
    ) -> Result<()> {
        self.rules().set(key.as_ref(), value.as_ref(), Some(life)).await
    }

    /// Sets a value where there is none, of all who try at one time for one of them; false: there is one.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// assert!(cache.add("product:7", "teapot", None).await?);
    /// assert!(!cache.add("product:7", "kettle", None).await?);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        life: Option<Duration>,
    ) -> Result<bool> {
        self.rules().add(key.as_ref(), value.as_ref(), life).await
    }

    /// Sets a value where there is one; false: there is none.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// assert!(!cache.replace("product:7", "teapot", None).await?);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn replace(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        life: Option<Duration>,
    ) -> Result<bool> {
        self.rules().replace(key.as_ref(), value.as_ref(), life).await
    }

    /// The value and its version, for [`replace_version`](Self::replace_version).
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set("product:7", "teapot").await?;
    /// let (value, version) = cache.get_versioned("product:7").await?.expect("it was set");
    /// assert!(cache.replace_version("product:7", "kettle", version, None).await?);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_versioned(&self, key: impl AsRef<[u8]>) -> Result<Option<(Payload, Version)>> {
        self.rules().get_versioned(key.as_ref()).await
    }

    /// Sets a value over exactly this version; false: another one is there, or none.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set("product:7", "teapot").await?;
    /// let (_, version) = cache.get_versioned("product:7").await?.expect("it was set");
    /// assert!(cache.replace_version("product:7", "kettle", version, None).await?);
    /// assert!(!cache.replace_version("product:7", "mug", version, None).await?);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn replace_version(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        version: Version,
        life: Option<Duration>,
    ) -> Result<bool> {
        self.rules().replace_version(key.as_ref(), value.as_ref(), version, life).await
    }

    /// Deletes what is there. Loads that began before store nothing. May repeat.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set("product:7", "teapot").await?;
    /// cache.delete("product:7").await?;
    /// assert_eq!(cache.get("product:7").await?, None);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.rules().delete(key.as_ref()).await
    }

    /// Adds to a number kept as decimal text, exactly, whoever else does; where there is none it begins with `delta`, without end.
    /// `Conflict`: what is there is not a number.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// assert_eq!(cache.incr("visits", 1).await?, 1);
    /// assert_eq!(cache.incr("visits", 2).await?, 3);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn incr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<u64> {
        let counted = self.rules().count(key.as_ref(), Step::Up, delta, Some((delta, None))).await?;
        Ok(counted.unwrap_or(delta))
    }

    /// Takes from such a number, no further than 0; `None`: there is none.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.incr("stock", 3).await?;
    /// assert_eq!(cache.decr("stock", 1).await?, Some(2));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn decr(&self, key: impl AsRef<[u8]>, delta: u64) -> Result<Option<u64>> {
        self.rules().count(key.as_ref(), Step::Down, delta, None).await
    }

    /// Gives the value a new life from now; `None` has no end. False: there is none.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let cache = forebay.shared();
    /// cache.set_for("product:7", "teapot", std::time::Duration::from_secs(60)).await?;
    /// assert!(cache.touch("product:7", Some(std::time::Duration::from_secs(600))).await?);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn touch(&self, key: impl AsRef<[u8]>, life: Option<Duration>) -> Result<bool> {
        self.rules().touch(key.as_ref(), life).await
    }

    /// As [`get_or_load`](Self::get_or_load); what was loaded is removed with each of these tags, up to 16 of them.
    /// All who load a key are to name the same ones: what is there, or is being loaded, keeps those of whoever loaded it.
    ///
    /// `Unsupported`: the store keeps no tags. Redis does, outside of a cluster, where it drops nothing before its time.
    ///
    /// ```no_run
    /// # async fn tagged() -> forebay::Result<()> {
    /// let forebay = forebay::Forebay::builder().store("redis://cache.example")?.open().await?;
    /// let cache = forebay.shared();
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// cache.get_or_load_tagged("product:7", None, &["products"], &load).await?;
    /// cache.delete_tag("products").await?;
    /// assert_eq!(cache.get("product:7").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_or_load_tagged<T: AsRef<[u8]>>(
        &self,
        key: impl AsRef<[u8]>,
        life: Option<Duration>,
        tags: &[T],
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        let tags: Vec<&[u8]> = tags.iter().map(AsRef::as_ref).collect();
        self.rules().get_or_load_tagged(key.as_ref(), life, &tags, loader).await
    }

    /// Removes all that was loaded with this tag, in all processes, and tells how many entries that were. Loads on their way of
    /// keys that had the tag before store nothing; the very first load of a key may be on its way and be stored behind this.
    ///
    /// `Unsupported`: the store keeps no tags. For an example see [`get_or_load_tagged`](Self::get_or_load_tagged).
    pub async fn delete_tag(&self, tag: impl AsRef<[u8]>) -> Result<u64> {
        self.rules().delete_tag(tag.as_ref()).await
    }

    /// Takes the lock of this name for so long, of all who try at one time for one of them; `None`: somebody has it. The version is
    /// a fencing token, greater than that of every earlier grant: hand it to what the lock protects, and let that refuse a smaller
    /// one than it has seen, for a holder may be stopped for longer than its lease. The lock lies under the key `lock:` and its name.
    ///
    /// `Unsupported`: the store keeps no locks. One Redis server without a fail-over does, where it keeps what it took.
    /// `Unavailable`: it may have been taken all the same, until its lease is over.
    ///
    /// ```no_run
    /// # async fn locked() -> forebay::Result<()> {
    /// let forebay = forebay::Forebay::builder().store("redis://cache.example")?.open().await?;
    /// let cache = forebay.shared();
    /// if let Some(token) = cache.try_lock("stocktaking", std::time::Duration::from_secs(30)).await? {
    ///     // UPDATE stock SET …, fence = $token WHERE fence <= $token
    ///     cache.unlock("stocktaking", token).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_lock(&self, name: impl AsRef<[u8]>, lease: Duration) -> Result<Option<Version>> {
        self.rules().try_lock(name.as_ref(), lease).await
    }

    /// Gives back the lock that was granted with this token. False: it was no longer that one's, and then somebody else may have
    /// worked beside it. May repeat. For an example see [`try_lock`](Self::try_lock).
    pub async fn unlock(&self, name: impl AsRef<[u8]>, token: Version) -> Result<bool> {
        self.rules().unlock(name.as_ref(), token).await
    }
}
