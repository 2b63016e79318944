//! A cache in front of one source, as its callers hold it.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::{LOAD_STARTS_MAX, LOADS_CEILING};
use forebay_core::payload::Payload;
use forebay_core::ports::clock::Spawn;
use forebay_core::ports::loader::{BatchLoader, Loader};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::cache::{Cache, check, printable};
use crate::flight::{Part, Wait, Waited};
use crate::get::result;
use crate::protect::breaker::{Breaker, BreakerState};
use crate::protect::budget::Budget;
use crate::protect::guard::Guard;
use crate::protect::negatives::Negatives;
use crate::through::freshness::{Freshness, judge};
use crate::through::load::Source;
use crate::through::options::ReadThroughOptions;
use crate::through::policy::Policy;
use crate::through::served::Served;
use crate::through::within::within;

/// How a source stands, as its cache sees it.
///
/// ```
/// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
/// let load = |_key| async { Ok(Some("teapot".into())) };
/// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
/// assert_eq!(products.stats().loads_running, 0);
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceStats {
    /// Loads that run.
    pub loads_running: usize,
    /// Loads that wait for their turn.
    pub loads_waiting: usize,
    /// The circuit breaker; `None` without one.
    pub breaker: Option<BreakerState>,
}

/// A cache in front of one source. Cloning is cheap and shares it.
///
/// Of all who miss a key at one time, through whatever handle of the cache, one load is for all. Loads run in the background:
/// dropping a read does not end the load it began.
///
/// ```
/// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
/// let load = |_key| async { Ok(Some("teapot".into())) };
/// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
/// let product = products.get("product:7").await?.expect("a product");
/// assert_eq!(&*product, b"teapot");
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct ReadThrough {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) cache: Arc<Cache>,
    pub(crate) spawn: Arc<dyn Spawn>,
    pub(crate) source: Source,
    pub(crate) budget: Arc<Budget>,
    pub(crate) breaker: Option<Mutex<Breaker>>,
    pub(crate) negatives: Mutex<Negatives>,
    policy: Policy,
    guard: Option<Arc<Guard>>,
    /// How many bytes stand before the keys that the source and the guard know.
    prefix: usize,
}

/// What is to be done for a reader.
pub(crate) enum Plan {
    /// It is known.
    Serve(Option<Served>),
    /// It is known, and to be loaded in the background.
    ServeAndRefresh(Option<Served>),
    /// It must be loaded; an older value may be served where that fails or takes long.
    Load(Option<Served>),
}

impl ReadThrough {
    /// A cache in front of `loader`, which is asked in tasks of `spawn`. `Invalid` names the option that is out of range.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
    /// assert!(products.get("product:7").await?.is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn new(
        cache: Arc<Cache>,
        spawn: Arc<dyn Spawn>,
        loader: Arc<dyn Loader>,
        options: ReadThroughOptions,
    ) -> Result<Self> {
        Self::over(cache, spawn, Source::Single(loader), options, 0)
    }

    /// As [`new`](Self::new), in front of a source that is asked for many keys at once.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |keys: Vec<Vec<u8>>| async move { Ok(keys.into_iter().map(|key| Some(key.into())).collect()) };
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let products = ReadThrough::batched(cache, spawn, Arc::new(load), options)?;
    /// assert_eq!(products.get_many(&["product:7", "product:8"]).await?.len(), 2);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn batched(
        cache: Arc<Cache>,
        spawn: Arc<dyn Spawn>,
        loader: Arc<dyn BatchLoader>,
        options: ReadThroughOptions,
    ) -> Result<Self> {
        Self::over(cache, spawn, Source::Batch(loader), options, 0)
    }

    /// As [`new`](Self::new), with keys in the cache that have so many bytes before those that the source and the guard know.
    pub(crate) fn prefixed(
        cache: Arc<Cache>,
        spawn: Arc<dyn Spawn>,
        loader: Arc<dyn Loader>,
        options: ReadThroughOptions,
        prefix: usize,
    ) -> Result<Self> {
        Self::over(cache, spawn, Source::Single(loader), options, prefix)
    }

    fn over(
        cache: Arc<Cache>,
        spawn: Arc<dyn Spawn>,
        source: Source,
        options: ReadThroughOptions,
        prefix: usize,
    ) -> Result<Self> {
        options.policy.check()?;
        if !(1..=LOADS_CEILING).contains(&options.loads_max) || options.loads_waiting_max > LOADS_CEILING {
            let what = "loads_max must be 1 to 100,000, loads_waiting_max up to 100,000";
            return Err(Error::new(Kind::Invalid, "make read-through cache", what));
        }
        let inner = Inner {
            cache,
            spawn,
            source,
            budget: Arc::new(Budget::new(options.loads_max, options.loads_waiting_max)),
            breaker: options.breaker.map(Breaker::new).transpose()?.map(Mutex::new),
            negatives: Mutex::new(Negatives::new(options.negatives_max)),
            policy: options.policy,
            guard: options.guard,
            prefix,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The value, loaded if it is not there; `None` where the source has none. A value that is there is served at once.
    ///
    /// `Full`: too many keys are being loaded, too many callers wait, or too many loads wait for their turn. `Unavailable`: the
    /// load took too long, or the source is left alone for a while. Otherwise `Err` of the loader's kind.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
    /// assert!(products.get("product:7").await?.is_some()); // loaded
    /// assert!(products.get("product:7").await?.is_some()); // held
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Served>> {
        self.get_with(key, &self.inner.policy).await
    }

    /// As [`get`](Self::get), by another policy. Values that are there keep the end of life they were stored with.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
    /// let patient = Policy::default().hard_timeout(Duration::from_secs(120));
    /// assert!(products.get_with("report:7", &patient).await?.is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_with(&self, key: impl AsRef<[u8]>, policy: &Policy) -> Result<Option<Served>> {
        let key = key.as_ref();
        check(key)?;
        policy.check()?;
        match self.inner.plan(key, policy) {
            Plan::Serve(served) => Ok(served),
            Plan::ServeAndRefresh(served) => {
                self.inner.refresh(&[key], policy);
                Ok(served)
            }
            Plan::Load(fallback) => {
                let wait = match self.inner.cache.flights.join(key) {
                    Ok(Part::Wait(wait)) => wait,
                    Ok(Part::Lead(lead)) => {
                        let wait = lead.wait();
                        self.inner.start(vec![lead], policy);
                        wait
                    }
                    Err(error) => return self.inner.fall_back(fallback, error),
                };
                let started = self.inner.cache.clock.now();
                self.inner.wait(key, wait, policy, started, fallback).await
            }
        }
    }

    /// Sets a value, by the policy's times, whatever was there; the guard lets its key through from now on. Call it once the
    /// source has the value. `TooLarge`, `Full`: it was not stored, and the older value is gone.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
    /// products.set("product:7", "kettle")?; // the source has it by now
    /// assert_eq!(&*products.get("product:7").await?.expect("a product"), b"kettle");
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let key = key.as_ref();
        check(key)?;
        if let Some(guard) = &self.inner.guard {
            guard.insert(self.inner.own(key));
        }
        self.inner.cache.set_on(key, value.as_ref(), &self.inner.policy.terms())
    }

    /// Makes what is held for the key invalid, a stale value and a remembered absence included, and what is being loaded for
    /// it; the guard lets the key through from now on. May repeat.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
    /// products.set("product:7", "kettle")?;
    /// products.invalidate("product:7")?;
    /// assert_eq!(&*products.get("product:7").await?.expect("a product"), b"teapot"); // asked again
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn invalidate(&self, key: impl AsRef<[u8]>) -> Result<()> {
        let key = key.as_ref();
        check(key)?;
        if let Some(guard) = &self.inner.guard {
            guard.insert(self.inner.own(key));
        }
        self.inner.cache.invalidate(key)
    }

    /// How the source stands. What the reads came to is counted by the cache.
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
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
    /// let load = |_key| async { Ok(Some("teapot".into())) };
    /// let products = ReadThrough::new(cache, spawn, Arc::new(load), ReadThroughOptions::new(Policy::default()))?;
    /// products.get("product:7").await?;
    /// let stats = products.stats();
    /// assert_eq!((stats.loads_running, stats.loads_waiting), (0, 0));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn stats(&self) -> SourceStats {
        let (loads_running, loads_waiting) = self.inner.budget.counts();
        let now = self.inner.cache.clock.now();
        let breaker = self.inner.breaker.as_ref().map(|breaker| breaker.lock().state(now));
        SourceStats { loads_running, loads_waiting, breaker }
    }

    /// What is held for the key, fresh or not, without asking the source.
    pub(crate) fn held(&self, key: &[u8]) -> Option<Payload> {
        let cache = &self.inner.cache;
        cache.look(key, false, cache.clock.now(), |entry| entry.value.map(Payload::from)).flatten()
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.inner.policy
    }
}

impl Inner {
    /// The key as the source and the guard know it.
    pub(crate) fn own<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key.get(self.prefix..).unwrap_or_default()
    }

    /// Looks, decides, and counts. The only allocation is the copy of the value.
    pub(crate) fn plan(&self, key: &[u8], policy: &Policy) -> Plan {
        let (now, counters) = (self.cache.clock.recent(), &self.cache.counters);
        let seen = self.cache.look(key, true, now, |entry| {
            let freshness = judge(&entry, now, policy);
            let value = entry.value.filter(|_| freshness != Freshness::Over).map(Payload::from);
            (freshness, value, now.since(entry.fresh_until))
        });
        let (freshness, value, age) = seen.unwrap_or((Freshness::Over, None, Duration::ZERO));
        match (freshness, value) {
            (Freshness::Fresh, None) => {
                counters.negative_hits.add();
                Plan::Serve(None)
            }
            (Freshness::Fresh, Some(value)) => {
                counters.hits.add();
                Plan::Serve(Some(Served::fresh(value)))
            }
            (_, value) if self.guard.as_ref().is_some_and(|guard| guard.rules_out(self.own(key))) => {
                counters.refused_by_guard.add();
                // What has not ended yet is as good as it was.
                Plan::Serve(value.filter(|_| freshness == Freshness::Ending).map(Served::fresh))
            }
            (Freshness::Ending, Some(value)) => {
                counters.hits.add();
                Plan::ServeAndRefresh(Some(Served::fresh(value)))
            }
            (Freshness::Stale, Some(value)) => {
                counters.stale_served.add();
                Plan::ServeAndRefresh(Some(Served::stale_by(value, age)))
            }
            (Freshness::Resting, Some(value)) => {
                counters.stale_served.add();
                Plan::Serve(Some(Served::stale_by(value, age)))
            }
            (_, fallback) => {
                counters.misses.add();
                Plan::Load(fallback.map(|value| Served::stale_by(value, age)))
            }
        }
    }

    /// Loads these in the background, except those that somebody is loading.
    pub(crate) fn refresh(self: &Arc<Self>, keys: &[&[u8]], policy: &Policy) {
        let leads: Vec<_> = keys.iter().filter_map(|key| self.cache.flights.lead(key)).collect();
        leads.iter().for_each(|_| self.cache.counters.refreshes.add());
        self.start(leads, policy);
    }

    /// Waits for a load that began at `started`, as long as the policy says.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        key: &[u8],
        mut wait: Wait,
        policy: &Policy,
        started: Instant,
        fallback: Option<Served>,
    ) -> Result<Option<Served>> {
        let _waiting = self.cache.counters.wait();
        let (clock, give_up_at) = (&*self.cache.clock, started + policy.hard_timeout);
        let soft_at = policy.soft_timeout.filter(|_| fallback.is_some()).map(|soft| started + soft);
        let wait_until = soft_at.map_or(give_up_at, |soft_at| soft_at.min(give_up_at));
        for _ in 0..LOAD_STARTS_MAX {
            let error = match within(clock, wait_until, &mut wait).await {
                Some(Waited::Landed(landing)) => match result(key, landing) {
                    Ok(value) => return Ok(value.map(Served::fresh)),
                    Err(error) => error,
                },
                Some(Waited::Lead(lead)) => {
                    wait = lead.wait();
                    self.start(vec![lead], policy);
                    continue;
                }
                None => Error::new(Kind::Unavailable, "wait for the load of key", printable(key)),
            };
            return self.fall_back(fallback, error);
        }
        let error = Error::new(Kind::Unavailable, "load key", printable(key));
        self.fall_back(fallback, error.because("it was cut off again and again"))
    }

    /// The older value, or else the error.
    pub(crate) fn fall_back(&self, fallback: Option<Served>, error: Error) -> Result<Option<Served>> {
        match fallback {
            Some(served) => {
                self.cache.counters.stale_served.add();
                Ok(Some(served))
            }
            None => Err(error),
        }
    }
}
