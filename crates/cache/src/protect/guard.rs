//! The guard: knows, in little memory, which keys the source does not have, so that asking for them costs it nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fastbloom::AtomicBloomFilter;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::GUARD_KEYS_MAX;
use forebay_core::ports::loader::KeySource;
use parking_lot::RwLock;

use crate::cache::Cache;

/// The strictest share that can be asked for; it costs 43 bits a key.
const LET_THROUGH_MIN: f64 = 1e-9;

/// What a guard is made for.
///
/// ```
/// use forebay_cache::GuardOptions;
///
/// // One absent key in a thousand comes through; the filter takes 19 kB.
/// let options = GuardOptions { let_through: 0.001, ..GuardOptions::new(10_000) };
/// # assert_eq!(options.keys, 10_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardOptions {
    /// How many keys the source is expected to have. With more, more absent keys are let through.
    pub keys: usize,
    /// The share of absent keys that are let through all the same. One in a hundred costs 10 bits a key, one in a thousand 15.
    pub let_through: f64,
}

impl GuardOptions {
    /// For so many keys, with one absent key in a hundred let through.
    ///
    /// ```
    /// let options = forebay_cache::GuardOptions::new(10_000);
    /// assert_eq!(options.let_through, 0.01);
    /// ```
    pub const fn new(keys: usize) -> Self {
        Self { keys, let_through: 0.01 }
    }
}

/// How a guard stands.
///
/// ```
/// use forebay_cache::GuardOptions;
/// # use forebay_contract::runner::Runner;
/// # let runner = Runner::new();
/// # runner.block_on(async {
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let guard = cache.guard(GuardOptions::new(10_000))?;
/// guard.rebuild(&|| ["product:7", "product:8"]).await?;
/// let stats = guard.stats();
/// assert_eq!((stats.ready, stats.keys), (true, 2));
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardStats {
    /// Whether it has been fed; before, it lets everything through.
    pub ready: bool,
    /// The keys it was shown, repeated ones included.
    pub keys: u64,
    /// The memory that its filter takes.
    pub bytes: usize,
}

/// A Bloom filter over the keys of a source. A key that it rules out is not there; most of the others are.
///
/// It lets everything through until it was fed with [`rebuild`](Self::rebuild). From then on whoever adds a key to the source
/// must [`insert`](Self::insert) it, once the source has it; else it is ruled out until the next rebuild. Removed keys are let
/// through until then.
///
/// ```
/// use forebay_cache::GuardOptions;
/// # use forebay_contract::runner::Runner;
/// # let runner = Runner::new();
/// # runner.block_on(async {
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let guard = cache.guard(GuardOptions::new(10_000))?;
/// assert!(!guard.rules_out("made-up")); // it knows nothing yet
/// guard.rebuild(&|| ["product:7", "product:8"]).await?;
/// assert!(guard.rules_out("made-up") && !guard.rules_out("product:7"));
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
pub struct Guard {
    options: GuardOptions,
    seed: u128,
    filters: RwLock<Filters>,
}

#[derive(Default)]
struct Filters {
    current: Option<Filter>,
    /// The one that is being fed.
    next: Option<Filter>,
}

struct Filter {
    bloom: AtomicBloomFilter,
    keys: AtomicU64,
}

impl Filter {
    fn insert(&self, key: &[u8]) {
        self.bloom.insert(key);
        self.keys.fetch_add(1, Relaxed);
    }
}

impl Cache {
    /// A guard for a source of this cache. `Invalid` names the option that is out of range.
    pub fn guard(&self, options: GuardOptions) -> Result<Guard> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "make guard", what));
        if !(1..=GUARD_KEYS_MAX).contains(&options.keys) {
            return refuse("keys must be 1 to 1,000,000,000");
        }
        if !(LET_THROUGH_MIN..=0.5).contains(&options.let_through) {
            return refuse("let_through must be 0.000000001 to 0.5");
        }
        // Nobody from outside can make up keys that the filter mistakes.
        let seed = u128::from(self.clock.random()) << 64 | u128::from(self.clock.random());
        Ok(Guard { options, seed, filters: RwLock::default() })
    }
}

impl Guard {
    /// Feeds it anew with all keys of the source, and returns how many it was shown. Until it is done the former filter holds;
    /// keys that are inserted meanwhile are in both. Dropped or failed, nothing has changed.
    ///
    /// `Conflict`: it is being rebuilt.
    ///
    /// ```
    /// use forebay_cache::GuardOptions;
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let guard = cache.guard(GuardOptions::new(10_000))?;
    /// assert_eq!(guard.rebuild(&|| ["product:7", "product:8"]).await?, 2);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn rebuild(&self, source: &dyn KeySource) -> Result<u64> {
        let bloom = AtomicBloomFilter::with_false_pos(self.options.let_through).seed(&self.seed);
        let next = Filter { bloom: bloom.expected_items(self.options.keys), keys: AtomicU64::new(0) };
        {
            let mut filters = self.filters.write();
            if filters.next.is_some() {
                return Err(Error::new(Kind::Conflict, "rebuild guard", "while it is being rebuilt"));
            }
            filters.next = Some(next);
        }
        let _feeding = Feeding(self);
        source
            .keys(&mut |key| {
                if let Some(next) = &self.filters.read().next {
                    next.insert(key);
                }
            })
            .await?;
        let mut filters = self.filters.write();
        filters.current = filters.next.take();
        Ok(filters.current.as_ref().map_or(0, |filter| filter.keys.load(Relaxed)))
    }

    /// The source has this key from now on.
    ///
    /// ```
    /// use forebay_cache::GuardOptions;
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let guard = cache.guard(GuardOptions::new(10_000))?;
    /// guard.rebuild(&|| ["product:7"]).await?;
    /// guard.insert("product:9");
    /// assert!(!guard.rules_out("product:9"));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn insert(&self, key: impl AsRef<[u8]>) {
        let filters = self.filters.read();
        filters.current.iter().chain(&filters.next).for_each(|filter| filter.insert(key.as_ref()));
    }

    /// Whether the source certainly does not have the key.
    ///
    /// ```
    /// use forebay_cache::GuardOptions;
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let guard = cache.guard(GuardOptions::new(10_000))?;
    /// guard.rebuild(&|| ["product:7"]).await?;
    /// assert!(guard.rules_out("made-up"));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn rules_out(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        self.filters.read().current.as_ref().is_some_and(|filter| !filter.bloom.contains(key))
    }

    /// How it stands.
    ///
    /// ```
    /// use forebay_cache::GuardOptions;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let guard = cache.guard(GuardOptions::new(10_000))?;
    /// assert!(!guard.stats().ready);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn stats(&self) -> GuardStats {
        let filters = self.filters.read();
        let current = filters.current.as_ref();
        GuardStats {
            ready: current.is_some(),
            keys: current.map_or(0, |filter| filter.keys.load(Relaxed)),
            bytes: current.map_or(0, |filter| filter.bloom.num_bits() / 8),
        }
    }
}

/// Lives while a guard is being fed; what was not finished is forgotten with it.
struct Feeding<'a>(&'a Guard);

impl Drop for Feeding<'_> {
    fn drop(&mut self) {
        self.0.filters.write().next = None;
    }
}
