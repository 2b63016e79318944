//! A number that many change at once.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Arithmetic, Counted, Read, Step};
use forebay_core::error::{Error, Kind, Result};

use crate::cache::{Cache, check, printable};

/// A number in the cache, kept as decimal text like memcached's. Every change is exact under any concurrency; but like every
/// entry it may be forgotten, and then begins again at zero: count here what may be lost.
#[derive(Clone)]
pub struct Counter {
    cache: Arc<Cache>,
    key: Box<[u8]>,
    life: Option<Duration>,
}

impl Counter {
    /// The number under this key. One that is not there is made by its first change, and lives for `life` from then on; `None`
    /// is without end.
    pub fn new(cache: Arc<Cache>, key: &[u8], life: Option<Duration>) -> Result<Self> {
        check(key)?;
        Ok(Self { cache, key: key.into(), life })
    }

    /// Adds, and returns the new number; wraps at 2^64. `Conflict`: there is something else than a number.
    pub fn add(&self, delta: u64) -> Result<u64> {
        self.count(Step::Up, delta)
    }

    /// Subtracts, and returns the new number; stops at 0. `Conflict`: there is something else than a number.
    pub fn subtract(&self, delta: u64) -> Result<u64> {
        self.count(Step::Down, delta)
    }

    /// The number now; 0 where there is none. `Conflict`: there is something else than a number.
    pub fn get(&self) -> Result<u64> {
        self.cache.number(&self.key).ok_or_else(|| self.conflict())
    }

    /// Begins again at zero.
    pub fn reset(&self) -> Result<()> {
        self.cache.invalidate(&self.key)
    }

    fn count(&self, step: Step, delta: u64) -> Result<u64> {
        let now = self.cache.clock.now();
        let first = if step == Step::Up { delta } else { 0 };
        let create = Some((first, self.life.map(|life| now + life)));
        let arithmetic = Arithmetic { now, delta, step, version: None, create, touch: None };
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
