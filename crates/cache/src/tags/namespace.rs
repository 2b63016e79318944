//! Keys under one name, all of which can be made invalid at once.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::NAMESPACE_BYTES_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::Loader;

use crate::cache::{Cache, check};

/// A part of the cache with keys of its own. [`invalidate_all`](Self::invalidate_all) makes all its entries invalid in one step,
/// however many there are: they are kept under the name's generation, and the next one begins. The memory of the old ones
/// comes back as they are evicted or their life ends.
///
/// Keys are as long as the cache's less 24 bytes and the namespace's name.
///
/// ```
/// use forebay_cache::tags::Namespace;
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let users = Namespace::new(cache, b"user")?;
/// users.set("7", "Ada", None)?;
/// assert_eq!(users.get("7").as_deref(), Some(&b"Ada"[..]));
/// users.invalidate_all();
/// assert_eq!(users.get("7"), None);
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Namespace {
    cache: Arc<Cache>,
    name: Box<[u8]>,
}

impl Namespace {
    /// The namespace of this name, 1 to [`NAMESPACE_BYTES_MAX`] bytes without a zero byte. All of one
    /// cache and name are one.
    ///
    /// ```
    /// use forebay_cache::tags::Namespace;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let users = Namespace::new(cache.clone(), b"user")?;
    /// assert!(Namespace::new(cache, b"").is_err());
    /// # drop(users);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn new(cache: Arc<Cache>, name: &[u8]) -> Result<Self> {
        if name.is_empty() || name.len() > NAMESPACE_BYTES_MAX || name.contains(&0) {
            let what = "a name has 1 to 100 bytes, none of them zero";
            return Err(Error::new(Kind::Invalid, "name namespace", what));
        }
        Ok(Self { cache, name: name.into() })
    }

    /// The value, copied out.
    ///
    /// ```
    /// use forebay_cache::tags::Namespace;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let users = Namespace::new(cache, b"user")?;
    /// assert_eq!(users.get("7"), None);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Payload> {
        self.cache.get(&self.key(key.as_ref()).ok()?)
    }

    /// The value, loaded if it is not there, as [`Cache::get_or_load`] does it. The loader is given the key as it is written
    /// here. A load that began before the whole namespace was made invalid fills nothing.
    ///
    /// ```
    /// use forebay_cache::tags::Namespace;
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let users = Namespace::new(cache, b"user")?;
    /// let load = |_key| async { Ok(Some("Ada".into())) };
    /// assert_eq!(users.get_or_load("7", None, &load).await?.as_deref(), Some(&b"Ada"[..]));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load(
        &self,
        key: impl AsRef<[u8]>,
        life: Option<Duration>,
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        let key = key.as_ref();
        let loader = Renamed { loader, key };
        self.cache.get_or_load(&self.key(key)?, life, &loader).await
    }

    /// Sets a value; `life` of `None` is without end. `TooLarge`, `Full`: it was not stored, and the older value is gone.
    ///
    /// ```
    /// use forebay_cache::tags::Namespace;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let users = Namespace::new(cache, b"user")?;
    /// users.set("7", "Ada", None)?;
    /// assert!(users.get("7").is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, life: Option<Duration>) -> Result<()> {
        self.cache.set(&self.key(key.as_ref())?, value.as_ref(), life)
    }

    /// Makes what is held for one key invalid, and what is being loaded for it.
    ///
    /// ```
    /// use forebay_cache::tags::Namespace;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let users = Namespace::new(cache, b"user")?;
    /// users.set("7", "Ada", None)?;
    /// users.set("8", "Bob", None)?;
    /// users.invalidate("7")?;
    /// assert!(users.get("7").is_none() && users.get("8").is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.cache.invalidate(&self.key(key.as_ref())?)
    }

    /// Makes everything in this namespace invalid, and what is being loaded for it. Once it has returned, no read that starts
    /// later is shown anything older.
    ///
    /// ```
    /// use forebay_cache::tags::Namespace;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let users = Namespace::new(cache, b"user")?;
    /// users.set("7", "Ada", None)?;
    /// users.set("8", "Bob", None)?;
    /// users.invalidate_all();
    /// assert!(users.get("7").is_none() && users.get("8").is_none());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn invalidate_all(&self) {
        self.cache.marks.invalidate(&self.place_name());
    }

    fn key(&self, key: &[u8]) -> Result<Vec<u8>> {
        check(key)?;
        let generation = self.cache.marks.last(self.cache.marks.place(&self.place_name()));
        let key = [b"\0ns:", &*self.name, format!("\0{generation:x}\0").as_bytes(), key].concat();
        check(&key)?;
        Ok(key)
    }

    /// Namespaces and tags of one name have nothing to do with each other.
    fn place_name(&self) -> Vec<u8> {
        [b"ns:", &*self.name].concat()
    }
}

/// Gives the loader the key that the caller knows.
struct Renamed<'a> {
    loader: &'a dyn Loader,
    key: &'a [u8],
}

impl Loader for Renamed<'_> {
    fn load<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        self.loader.load(self.key)
    }
}
