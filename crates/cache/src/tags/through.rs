//! Tagged entries in front of a source with a policy.

use std::sync::Arc;

use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Spawn;
use forebay_core::ports::loader::Loader;

use super::tagged::{PREFIX, STALE_ROUNDS, Tagged, full, value};
use crate::through::options::ReadThroughOptions;
use crate::through::read_through::ReadThrough;
use crate::through::served::Served;

/// Says which tags a value carries, given its key and itself.
type TagsOf = dyn Fn(&[u8], &[u8]) -> Vec<String> + Send + Sync;

/// The tagged entries of a cache in front of one source: a [`ReadThrough`] whose values carry tags. Its entries are those of
/// [`Tagged`]: whoever makes a tag invalid there makes it so here.
///
/// A value that became invalid by a tag is not a stale one: no policy serves it again, whatever becomes of the load. That
/// the source has no value is remembered without tags.
///
/// ```
/// use forebay_cache::tags::{Tagged, TaggedReadThrough};
/// use forebay_cache::{Policy, ReadThroughOptions};
/// # let runner = forebay_contract::runner::Runner::new();
/// # runner.block_on(async {
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock), Default::default())?);
/// # let spawn = runner.clone();
/// let load = |_key| async { Ok(Some("teapot, cup".into())) };
/// let tags = |_key: &[u8], page: &[u8]| String::from_utf8_lossy(page).split(", ").map(str::to_owned).collect();
/// let (tagged, options) = (Tagged::new(cache), ReadThroughOptions::new(Policy::default()));
/// let pages = TaggedReadThrough::new(tagged.clone(), spawn, Arc::new(load), Arc::new(tags), options)?;
/// assert!(pages.get("home").await?.is_some());
/// tagged.invalidate_tag("cup"); // the next read loads again
/// assert_eq!(tagged.get("home"), None);
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct TaggedReadThrough {
    tagged: Tagged,
    reads: ReadThrough,
}

impl TaggedReadThrough {
    /// Tagged entries in front of `loader`, which is asked in tasks of `spawn`. What it brings carries the tags that `tags`
    /// names for it, at most [`ENTRY_TAGS_MAX`](forebay_core::limits::cache::ENTRY_TAGS_MAX); with more of them the load
    /// fails as `Invalid`. `Invalid` names the option that is out of range.
    ///
    /// ```
    /// use forebay_cache::tags::{Tagged, TaggedReadThrough};
    /// use forebay_cache::{Policy, ReadThroughOptions};
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// # let spawn = runner.clone();
    /// let load = |_key| async { Ok(Some("teapot, cup".into())) };
    /// let tags = |_key: &[u8], _page: &[u8]| vec!["shop".to_owned()];
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let pages = TaggedReadThrough::new(Tagged::new(cache), spawn, Arc::new(load), Arc::new(tags), options)?;
    /// # drop(pages);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn new(
        tagged: Tagged,
        spawn: Arc<dyn Spawn>,
        loader: Arc<dyn Loader>,
        tags: Arc<TagsOf>,
        options: ReadThroughOptions,
    ) -> Result<Self> {
        let loader = Arc::new(Stamping { tagged: tagged.clone(), loader, tags });
        let reads = ReadThrough::prefixed(tagged.cache.clone(), spawn, loader, options, PREFIX.len())?;
        Ok(Self { tagged, reads })
    }

    /// The value, as [`ReadThrough::get`] has it; loaded as well if one of its tags was made invalid since it was begun. A load
    /// that began before that fills nothing, and nobody who asks after it is given what it brings.
    ///
    /// ```
    /// use forebay_cache::tags::{Tagged, TaggedReadThrough};
    /// use forebay_cache::{Policy, ReadThroughOptions};
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// # let spawn = runner.clone();
    /// let load = |_key| async { Ok(Some("teapot, cup".into())) };
    /// let tags = |_key: &[u8], _page: &[u8]| vec!["shop".to_owned()];
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let pages = TaggedReadThrough::new(Tagged::new(cache), spawn, Arc::new(load), Arc::new(tags), options)?;
    /// assert_eq!(pages.get("home").await?.as_deref(), Some(&b"teapot, cup"[..]));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Served>> {
        let full = full(key.as_ref())?;
        for round in 0..STALE_ROUNDS {
            let Some(served) = self.reads.get(&full).await? else { return Ok(None) };
            let age = served.stale();
            let entry = served.into_payload();
            if let Some(value) = self.tagged.open(&entry) {
                return Ok(Some(Served::of(value, age)));
            }
            // Made invalid, or begun before that by somebody else. Only what is still so goes, that those who come later
            // join the next load instead of each beginning their own.
            let last = round + 1 == STALE_ROUNDS;
            if last || self.reads.held(&full).is_some_and(|entry| self.tagged.open(&entry).is_none()) {
                self.reads.invalidate(&full)?;
            }
        }
        // Nothing is left of what was there before the call.
        let Some(served) = self.reads.get(&full).await? else { return Ok(None) };
        let age = served.stale();
        Ok(value(&served.into_payload()).map(|value| Served::of(value, age)))
    }

    /// Makes what is held for one key invalid, as [`ReadThrough::invalidate`] does it.
    ///
    /// ```
    /// use forebay_cache::tags::{Tagged, TaggedReadThrough};
    /// use forebay_cache::{Policy, ReadThroughOptions};
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// # let spawn = runner.clone();
    /// let load = |_key| async { Ok(Some("teapot, cup".into())) };
    /// let tags = |_key: &[u8], _page: &[u8]| vec!["shop".to_owned()];
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let pages = TaggedReadThrough::new(Tagged::new(cache), spawn, Arc::new(load), Arc::new(tags), options)?;
    /// pages.get("home").await?;
    /// pages.invalidate("home")?; // the next read loads again
    /// # assert!(pages.get("home").await?.is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.reads.invalidate(full(key.as_ref())?)
    }

    /// Makes every entry that carries the tag invalid, as [`Tagged::invalidate_tag`] does it.
    ///
    /// ```
    /// use forebay_cache::tags::{Tagged, TaggedReadThrough};
    /// use forebay_cache::{Policy, ReadThroughOptions};
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// # let spawn = runner.clone();
    /// let load = |_key| async { Ok(Some("teapot, cup".into())) };
    /// let tags = |_key: &[u8], _page: &[u8]| vec!["shop".to_owned()];
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let pages = TaggedReadThrough::new(Tagged::new(cache), spawn, Arc::new(load), Arc::new(tags), options)?;
    /// pages.get("home").await?;
    /// pages.invalidate_tag("shop"); // the next read of every page loads again
    /// # assert!(pages.get("home").await?.is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn invalidate_tag(&self, tag: &str) {
        self.tagged.invalidate_tag(tag);
    }
}

/// Puts the head before what it loads. The count in it is read before the source is asked: whatever is made invalid from then
/// on makes this invalid.
struct Stamping {
    tagged: Tagged,
    loader: Arc<dyn Loader>,
    tags: Arc<TagsOf>,
}

impl Loader for Stamping {
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
        Box::pin(async move {
            let begun = self.tagged.present();
            let Some(value) = self.loader.load(key).await? else { return Ok(None) };
            let tags = (self.tags)(key, &value);
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let mut entry = self.tagged.head(begun, &self.tagged.places(&tags)?);
            entry.extend_from_slice(&value);
            Ok(Some(entry.into()))
        })
    }
}
