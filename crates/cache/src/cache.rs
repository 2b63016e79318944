//! The cache as its callers hold it.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Delete, Expiry, Write, Written};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::{StoreDetail, StoreStats};

use crate::fill::end_of_life;
use crate::flight::Flights;

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
    pub(crate) flights: Flights,
    jitter: f64,
}

impl Cache {
    /// A cache over this store. `Invalid` names the option that is out of range.
    pub fn new(store: Arc<dyn LocalStore>, clock: Arc<dyn Clock>, options: CacheOptions) -> Result<Self> {
        if !(0.0..=1.0).contains(&options.jitter) {
            return Err(Error::new(Kind::Invalid, "open cache", "jitter must be 0.0 to 1.0"));
        }
        Ok(Self { store, clock, flights: Flights::default(), jitter: options.jitter })
    }

    /// Stores a value, whatever was there. Loads that began before can no longer store theirs, and nobody joins them.
    /// `TooLarge`, `Full`: it was not stored, and the older value is gone.
    pub fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<()> {
        check(key)?;
        let write = Write { expires_at: self.end_of_life(ttl), ..Write::at(self.clock.now()) };
        let written = self.store.write(key, value, write);
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

    /// The state of the store.
    pub fn stats(&self) -> StoreStats {
        self.store.stats()
    }

    /// What the store is full of, and what is read most.
    pub fn detail(&self) -> StoreDetail {
        self.store.detail()
    }

    pub(crate) fn end_of_life(&self, ttl: Option<Duration>) -> Expiry {
        ttl.map(|ttl| end_of_life(self.clock.now(), ttl, self.jitter, self.clock.random()))
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
