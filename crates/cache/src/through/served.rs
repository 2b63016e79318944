//! What a reader is served: the value, and how old it is where it is not fresh.

use std::ops::Deref;
use std::time::Duration;

use forebay_core::payload::Payload;

/// A value, fresh or, where the policy allows it, stale.
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
/// let served = products.get("product:7").await?.expect("a product");
/// assert_eq!((&*served, served.stale()), (&b"teapot"[..], None));
/// # Ok::<(), forebay_core::error::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    value: Payload,
    stale: Option<Duration>,
}

impl Served {
    pub(crate) fn fresh(value: Payload) -> Self {
        Self { value, stale: None }
    }

    pub(crate) fn of(value: Payload, stale: Option<Duration>) -> Self {
        Self { value, stale }
    }

    pub(crate) fn stale_by(value: Payload, age: Duration) -> Self {
        Self { value, stale: Some(age) }
    }

    /// How long its fresh time had been over when it was read; `None` while it is fresh.
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
    /// let served = products.get("product:7").await?.expect("a product");
    /// assert_eq!(served.stale(), None); // it was loaded just now
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn stale(&self) -> Option<Duration> {
        self.stale
    }

    /// The bytes.
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
    /// let payload = products.get("product:7").await?.expect("a product").into_payload();
    /// assert_eq!(&*payload, b"teapot");
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn into_payload(self) -> Payload {
        self.value
    }
}

impl Deref for Served {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.value
    }
}
