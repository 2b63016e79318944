//! The cache as its callers hold it.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Condition, Delete, Written};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::{CacheStats, StoreDetail};

use crate::counters::Counters;
use crate::fill::Terms;
use crate::flight::Flights;
use crate::tags::Marks;

/// What a cache is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheOptions {
    /// The share of a time to live that is taken off at random, so that what was stored together does not end together:
    /// 0.0 is none, 1.0 anything from nothing to the whole.
    pub jitter: f64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { jitter: 0.1 }
    }
}

/// A cache in front of a source, over the memory of this process.
pub struct Cache {
    pub(crate) store: Arc<dyn LocalStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) counters: Counters,
    pub(crate) marks: Marks,
    jitter: f64,
}

impl Cache {
    /// A cache over this store. `Invalid` names the option that is out of range.
    pub fn new(store: Arc<dyn LocalStore>, clock: Arc<dyn Clock>, options: CacheOptions) -> Result<Self> {
        if !(0.0..=1.0).contains(&options.jitter) {
            return Err(Error::new(Kind::Invalid, "open cache", "jitter must be 0.0 to 1.0"));
        }
        let (flights, counters, marks) = (Arc::default(), Counters::default(), Marks::new(clock.now()));
        Ok(Self { store, clock, flights, counters, marks, jitter: options.jitter })
    }

    /// Stores a value, whatever was there. Loads that began before can no longer store theirs, and nobody joins them.
    /// `TooLarge`, `Full`: it was not stored, and the older value is gone.
    pub fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<()> {
        check(key)?;
        self.set_on(key, value, &self.terms(ttl))
    }

    /// Stores a value on these terms, whatever was there.
    pub(crate) fn set_on(&self, key: &[u8], value: &[u8], terms: &Terms) -> Result<()> {
        let written = self.put(key, value, terms, Condition::None);
        self.flights.detach(key);
        match written {
            Written::TooLarge => Err(Error::new(Kind::TooLarge, "store value of key", printable(key))),
            Written::NoRoom => Err(Error::new(Kind::Full, "store value of key", printable(key))),
            _ => Ok(()),
        }
    }

    /// Makes what the cache holds for the key invalid. Once it has returned, no read that starts later is shown an older value
    /// by this cache: loads that began before store nothing, and nobody joins them. May repeat.
    pub fn invalidate(&self, key: &[u8]) -> Result<()> {
        check(key)?;
        self.store.delete(key, Delete::at(self.clock.now()));
        self.flights.detach(key);
        Ok(())
    }

    /// The state of the store, and what reads came to.
    pub fn stats(&self) -> CacheStats {
        CacheStats { store: self.store.stats(), reads: self.counters.stats() }
    }

    /// What the store is full of, and what is read most.
    pub fn detail(&self) -> StoreDetail {
        self.store.detail()
    }

    pub(crate) fn terms(&self, ttl: Option<Duration>) -> Terms {
        Terms::plain(ttl, self.jitter)
    }
}

/// Keys are 1 to 250 bytes, as in memcached.
pub(crate) fn check(key: &[u8]) -> Result<()> {
    if key.is_empty() {
        return Err(Error::new(Kind::Invalid, "use key", "an empty one"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::new(Kind::TooLarge, "use key", printable(key)));
    }
    Ok(())
}

/// A key as it appears in errors.
pub(crate) fn printable(key: &[u8]) -> String {
    key.iter().take(KEY_BYTES_MAX).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}
