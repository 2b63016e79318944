//! Entries that carry tags, and become invalid with any of them.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::ENTRY_TAGS_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::Loader;

use crate::cache::{Cache, check};

/// A part of the cache whose entries carry tags. [`invalidate_tag`](Self::invalidate_tag) makes all that carry a tag invalid in
/// one step, however many there are: an entry notes when it was made, a tag when it was made invalid, and a read compares.
///
/// Its keys are its own, and have up to 245 bytes; an entry costs 9 bytes more than a plain one, and 2 for each tag.
///
/// ```
/// use forebay_cache::tags::Tagged;
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let pages = Tagged::new(cache);
/// pages.set("home", "teapots and cups", &["teapot", "cup"], None)?;
/// pages.invalidate_tag("teapot");
/// assert_eq!(pages.get("home"), None);
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Tagged {
    pub(super) cache: Arc<Cache>,
}

/// How often a caller asks again who was given what is invalid, before it has everything thrown away that was begun before.
pub(super) const STALE_ROUNDS: usize = 2;

/// Before the keys of tagged entries.
pub(super) const PREFIX: &[u8] = b"\0tag:";

/// Bytes before the places of the tags: the count at which the value was begun, and how many tags there are.
const HEAD_BYTES: usize = 9;

impl Tagged {
    /// The tagged entries of this cache.
    ///
    /// ```
    /// use forebay_cache::tags::Tagged;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let pages = Tagged::new(cache);
    /// # assert_eq!(pages.get("home"), None);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache }
    }

    /// The value, if none of its tags was made invalid since it was made.
    ///
    /// ```
    /// use forebay_cache::tags::Tagged;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let pages = Tagged::new(cache);
    /// pages.set("home", "teapots and cups", &["teapot", "cup"], None)?;
    /// assert_eq!(pages.get("home").as_deref(), Some(&b"teapots and cups"[..]));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Payload> {
        let entry = self.cache.get(&full(key.as_ref()).ok()?)?;
        self.open(&entry)
    }

    /// Sets a value with its tags, at most [`ENTRY_TAGS_MAX`]; `life` of `None` is without end.
    ///
    /// ```
    /// use forebay_cache::tags::Tagged;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let pages = Tagged::new(cache);
    /// pages.set("home", "teapots and cups", &["teapot", "cup"], None)?;
    /// assert!(pages.get("home").is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn set(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        tags: &[&str],
        life: Option<Duration>,
    ) -> Result<()> {
        let key = full(key.as_ref())?;
        let head = self.head(self.present(), &self.places(tags)?);
        self.cache.set(&key, &[&head, value.as_ref()].concat(), life)
    }

    /// The value, loaded if it is not there or one of its tags was made invalid, as [`Cache::get_or_load`] does it. What was
    /// loaded carries `tags`; a load that began before one of them was made invalid fills nothing, and nobody who asks after
    /// that is given what it brings. Where the source has no value there is nothing to carry a tag: who joins a load is told so
    /// whenever that load began.
    ///
    /// ```
    /// use forebay_cache::tags::Tagged;
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let pages = Tagged::new(cache);
    /// let render = |_key| async { Ok(Some("teapots".into())) };
    /// let page = pages.get_or_load("home", &["teapot"], None, &render).await?;
    /// assert_eq!(page.as_deref(), Some(&b"teapots"[..]));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load(
        &self,
        key: impl AsRef<[u8]>,
        tags: &[&str],
        life: Option<Duration>,
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        let (key, full) = (key.as_ref(), full(key.as_ref())?);
        let loader = Stamping { tagged: self, loader, key, places: self.places(tags)? };
        for round in 0..STALE_ROUNDS {
            let Some(entry) = self.cache.get_or_load(&full, life, &loader).await? else { return Ok(None) };
            if let Some(value) = self.open(&entry) {
                return Ok(Some(value));
            }
            // An entry that has become invalid, or a load that somebody began before that. Only what is still invalid goes:
            // of all who waited for such a load, one begins the next and the others join it.
            let last = round + 1 == STALE_ROUNDS;
            if last || self.cache.get(&full).is_some_and(|entry| self.open(&entry).is_none()) {
                self.cache.invalidate(&full)?;
            }
        }
        // Whatever this brings began after the call. That a tag was made invalid since is no concern of this caller.
        let entry = self.cache.get_or_load(&full, life, &loader).await?;
        Ok(entry.as_ref().and_then(value))
    }

    /// Makes what is held for one key invalid, and what is being loaded for it.
    ///
    /// ```
    /// use forebay_cache::tags::Tagged;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let pages = Tagged::new(cache);
    /// pages.set("home", "teapots and cups", &["teapot", "cup"], None)?;
    /// pages.invalidate("home")?;
    /// assert_eq!(pages.get("home"), None);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.cache.invalidate(&full(key.as_ref())?)
    }

    /// Makes every entry that carries the tag invalid, and what is being loaded with it. Once it has returned, no read that
    /// starts later is shown anything older.
    ///
    /// ```
    /// use forebay_cache::tags::Tagged;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let pages = Tagged::new(cache);
    /// pages.set("home", "teapots and cups", &["teapot", "cup"], None)?;
    /// pages.invalidate_tag("cup");
    /// assert_eq!(pages.get("home"), None);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn invalidate_tag(&self, tag: &str) {
        self.cache.marks.invalidate(tag.as_bytes());
    }

    /// The value of an entry, if no tag of it was made invalid since it was begun.
    pub(super) fn open(&self, entry: &Payload) -> Option<Payload> {
        let begun = u64::from_le_bytes(*entry.first_chunk()?);
        let (count, rest) = entry.get(8..)?.split_first()?;
        let places = rest.get(..usize::from(*count) * 2)?;
        let good = places.chunks_exact(2).all(|place| match *place {
            [low, high] => self.cache.marks.last(u16::from_le_bytes([low, high])) <= begun,
            _ => false,
        });
        if good { value(entry) } else { None }
    }

    pub(super) fn places(&self, tags: &[&str]) -> Result<Vec<u16>> {
        if tags.len() > ENTRY_TAGS_MAX {
            return Err(Error::new(Kind::Invalid, "tag entry", "an entry has at most 16 tags"));
        }
        Ok(tags.iter().map(|tag| self.cache.marks.place(tag.as_bytes())).collect())
    }

    /// The count of invalidations now.
    pub(super) fn present(&self) -> u64 {
        self.cache.marks.present()
    }

    /// What stands before a value that was begun at that count.
    pub(super) fn head(&self, begun: u64, places: &[u16]) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEAD_BYTES + 2 * places.len());
        head.extend(begun.to_le_bytes());
        head.push(places.len() as u8);
        head.extend(places.iter().flat_map(|place| place.to_le_bytes()));
        head
    }
}

/// Everything behind the head.
pub(super) fn value(entry: &Payload) -> Option<Payload> {
    let count = entry.get(8)?;
    entry.slice(HEAD_BYTES + usize::from(*count) * 2, entry.len())
}

pub(super) fn full(key: &[u8]) -> Result<Vec<u8>> {
    check(key)?;
    let key = [PREFIX, key].concat();
    check(&key)?;
    Ok(key)
}

/// Puts the head before what it loads: taken before the source is asked, so that whatever is made invalid from then on makes
/// this invalid.
struct Stamping<'a> {
    tagged: &'a Tagged,
    loader: &'a dyn Loader,
    key: &'a [u8],
    places: Vec<u16>,
}

impl Loader for Stamping<'_> {
    fn load<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        Box::pin(async move {
            let mut entry = self.tagged.head(self.tagged.present(), &self.places);
            let Some(value) = self.loader.load(self.key).await? else { return Ok(None) };
            entry.extend_from_slice(&value);
            Ok(Some(entry.into()))
        })
    }
}
