//! A number that many change at once.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Arithmetic, Counted, Read, Step};
use forebay_core::error::{Error, Kind, Result};

use crate::cache::{Cache, check, printable};

/// A number in the cache, kept as decimal text like memcached's. Every change is exact under any concurrency; but like every
/// entry it may be forgotten, and then begins again at zero: count here what may be lost.
///
/// ```
/// use forebay_cache::atomic::Counter;
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let visits = Counter::new(cache, b"visits", None)?;
/// visits.add(2)?;
/// assert_eq!((visits.subtract(1)?, visits.get()?), (1, 1));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Counter {
    cache: Arc<Cache>,
    key: Box<[u8]>,
    life: Option<Duration>,
}

impl Counter {
    /// The number under this key. One that is not there is made by its first change, and lives for `life` from then on; `None`
    /// is without end.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::Counter;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let visits = Counter::new(cache, b"visits:today", Some(Duration::from_secs(86_400)))?;
    /// # assert_eq!(visits.get()?, 0);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn new(cache: Arc<Cache>, key: &[u8], life: Option<Duration>) -> Result<Self> {
        check(key)?;
        Ok(Self { cache, key: key.into(), life })
    }

    /// Adds, and returns the new number; wraps at 2^64. `Conflict`: there is something else than a number.
    ///
    /// ```
    /// use forebay_cache::atomic::Counter;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let visits = Counter::new(cache, b"visits", None)?;
    /// assert_eq!((visits.add(1)?, visits.add(2)?), (1, 3));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn add(&self, delta: u64) -> Result<u64> {
        self.count(Step::Up, delta)
    }

    /// Subtracts, and returns the new number; stops at 0. `Conflict`: there is something else than a number.
    ///
    /// ```
    /// use forebay_cache::atomic::Counter;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let visits = Counter::new(cache, b"visits", None)?;
    /// visits.add(2)?;
    /// assert_eq!((visits.subtract(1)?, visits.subtract(5)?), (1, 0));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn subtract(&self, delta: u64) -> Result<u64> {
        self.count(Step::Down, delta)
    }

    /// The number now; 0 where there is none. `Conflict`: there is something else than a number.
    ///
    /// ```
    /// use forebay_cache::atomic::Counter;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let visits = Counter::new(cache, b"visits", None)?;
    /// assert_eq!(visits.get()?, 0);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn get(&self) -> Result<u64> {
        self.cache.number(&self.key).ok_or_else(|| self.conflict())
    }

    /// Begins again at zero.
    ///
    /// ```
    /// use forebay_cache::atomic::Counter;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let visits = Counter::new(cache, b"visits", None)?;
    /// visits.add(2)?;
    /// visits.reset()?;
    /// assert_eq!(visits.get()?, 0);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn reset(&self) -> Result<()> {
        self.cache.invalidate(&self.key)
    }

    fn count(&self, step: Step, delta: u64) -> Result<u64> {
        let now = self.cache.clock.now();
        let first = if step == Step::Up { delta } else { 0 };
        let create = Some((first, self.life.map(|life| now + life)));
        let arithmetic = Arithmetic { now, delta, step, version: None, create, touch: None, named: None };
        match self.cache.store.count(&self.key, arithmetic) {
            Counted::Value { number, .. } => Ok(number),
            Counted::NotFound | Counted::NotNumber | Counted::Exists => Err(self.conflict()),
        }
    }

    fn conflict(&self) -> Error {
        Error::new(Kind::Conflict, "count under key", format!("{}: not a number", printable(&self.key)))
    }
}

impl Cache {
    /// The decimal number under the key, 0 where nothing is, `None` where something else is.
    pub(crate) fn number(&self, key: &[u8]) -> Option<u64> {
        let mut number = Some(0);
        self.store.read(key, Read::at(self.clock.now()), &mut |view| {
            // A number that became shorter is kept with spaces behind it.
            number = std::str::from_utf8(view.value).ok().and_then(|text| text.trim_end().parse().ok());
        });
        number
    }
}
