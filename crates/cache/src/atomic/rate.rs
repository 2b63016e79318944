//! Rate limits over a window that slides.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Arithmetic, Counted, Step};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::time::Instant;

use crate::cache::{Cache, check, printable};

/// At most so much in every window.
///
/// ```
/// # use std::time::Duration;
/// use forebay_cache::atomic::{RateLimit, RateLimiter};
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let hundred_a_minute = RateLimit { limit: 100, window: Duration::from_secs(60) };
/// # RateLimiter::new(cache, hundred_a_minute)?;
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How much, 1 to [`limits::cache::RATE_LIMIT_MAX`].
    pub limit: u64,
    /// In how long, 1 ms to [`limits::cache::RATE_WINDOW_MAX`].
    pub window: Duration,
}

/// What a rate limiter says.
///
/// ```
/// # use std::time::Duration;
/// use forebay_cache::atomic::{RateLimit, RateLimiter};
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let rate = RateLimit { limit: 2, window: Duration::from_secs(3600) };
/// let logins = RateLimiter::new(cache, rate)?;
/// let verdict = logins.take("ada")?;
/// assert!(verdict.allowed);
/// assert_eq!((verdict.remaining, verdict.retry_after), (1, Duration::ZERO));
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be done; then it is counted.
    pub allowed: bool,
    /// What is left now.
    pub remaining: u64,
    /// When to try again if it may not be done now and nobody else comes; zero if it may.
    pub retry_after: Duration,
}

/// Limits a rate by name: a user, an address, an API key.
///
/// Two counters approximate the window that slides, those of the present fixed window and of the one before, whose count is taken
/// to have come evenly: `count = before × (window − elapsed) / window + present`. It is the method of Cloudflare's edge
/// (<https://blog.cloudflare.com/counting-things-a-lot-of-different-things/>), which found 0.003 % of requests judged wrongly.
/// The counters are exact under any concurrency: never is more allowed than the formula says, and under a rush a little less. What
/// was refused does not count. The cache may forget a counter when memory is short, and then allows more: a limit that
/// guards money needs a place that does not forget.
///
/// ```
/// # use std::time::Duration;
/// use forebay_cache::atomic::{RateLimit, RateLimiter};
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let rate = RateLimit { limit: 2, window: Duration::from_secs(3600) };
/// let logins = RateLimiter::new(cache, rate)?;
/// assert!(logins.take("ada")?.allowed && logins.take("ada")?.allowed);
/// assert!(!logins.take("ada")?.allowed && logins.take("bob")?.allowed);
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    cache: Arc<Cache>,
    rate: RateLimit,
}

impl RateLimiter {
    /// A limiter that keeps its counters in this cache. `Invalid` names what is out of range.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::{RateLimit, RateLimiter};
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let refused = RateLimiter::new(cache, RateLimit { limit: 0, window: Duration::from_secs(60) });
    /// assert!(refused.is_err());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn new(cache: Arc<Cache>, rate: RateLimit) -> Result<Self> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "limit rate", what));
        if rate.limit == 0 || rate.limit > limits::cache::RATE_LIMIT_MAX {
            return refuse("limit must be 1 to 2^40");
        }
        if rate.window < Duration::from_millis(1) || rate.window > limits::cache::RATE_WINDOW_MAX {
            return refuse("window must be 1 ms to 366 days");
        }
        Ok(Self { cache, rate })
    }

    /// Counts one for `name` if that is within its limit. Names are 1 to 200 bytes.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::{RateLimit, RateLimiter};
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let rate = RateLimit { limit: 2, window: Duration::from_secs(3600) };
    /// let logins = RateLimiter::new(cache, rate)?;
    /// assert_eq!(logins.take("ada")?.remaining, 1);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn take(&self, name: impl AsRef<[u8]>) -> Result<Verdict> {
        self.take_many(name, 1)
    }

    /// Counts `cost`, all or nothing. `Invalid`: it is more than could ever be allowed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::{RateLimit, RateLimiter};
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let rate = RateLimit { limit: 2, window: Duration::from_secs(3600) };
    /// let logins = RateLimiter::new(cache, rate)?;
    /// assert!(logins.take("ada")?.allowed);
    /// assert!(!logins.take_many("ada", 2)?.allowed); // and the one that is left stays
    /// assert!(logins.take("ada")?.allowed);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn take_many(&self, name: impl AsRef<[u8]>, cost: u64) -> Result<Verdict> {
        let name = name.as_ref();
        if name.is_empty() {
            check(name)?;
        }
        if cost > self.rate.limit {
            let context = format!("{}: more than the limit at a time", printable(name));
            return Err(Error::new(Kind::Invalid, "limit rate of", context));
        }
        let window = self.window_ms();
        let now = self.cache.clock.now();
        let (number, elapsed) = (now.as_ms() / window, now.as_ms() % window);
        let before = match number.checked_sub(1) {
            Some(earlier) => self.cache.number(&self.key(name, earlier)?).unwrap_or(0),
            None => 0,
        };
        let key = self.key(name, number)?;
        // Counted first and taken back where it was too much: between a look and a count others could slip in.
        let present = self.count(&key, Step::Up, cost, now)?;
        let carried = carried(before, elapsed, window);
        if carried.saturating_add(present) <= self.rate.limit {
            let remaining = self.rate.limit - carried - present;
            return Ok(Verdict { allowed: true, remaining, retry_after: Duration::ZERO });
        }
        let present = self.count(&key, Step::Down, cost, now)?;
        let wait = wait(before, present, cost, elapsed, window, self.rate.limit);
        let remaining = self.rate.limit.saturating_sub(carried.saturating_add(present));
        Ok(Verdict { allowed: false, remaining, retry_after: Duration::from_millis(wait) })
    }

    fn count(&self, key: &[u8], step: Step, delta: u64, now: Instant) -> Result<u64> {
        let first = if step == Step::Up { delta } else { 0 };
        // It is looked at until the end of the window that comes after its own.
        let create = Some((first, Some(now + self.rate.window * 2)));
        let arithmetic = Arithmetic { now, delta, step, version: None, create, touch: None, named: None };
        match self.cache.store.count(key, arithmetic) {
            Counted::Value { number, .. } => Ok(number),
            Counted::NotFound | Counted::NotNumber | Counted::Exists => {
                Err(Error::new(Kind::Conflict, "limit rate of", printable(key)))
            }
        }
    }

    fn key(&self, name: &[u8], window: u64) -> Result<Vec<u8>> {
        let key = [format!("\0rate:{:x}:{window:x}:", self.window_ms()).as_bytes(), name].concat();
        check(&key)?;
        Ok(key)
    }

    fn window_ms(&self) -> u64 {
        u64::try_from(self.rate.window.as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// What of the window before still counts, rounded up.
fn carried(before: u64, elapsed: u64, window: u64) -> u64 {
    let part = (u128::from(before) * u128::from(window - elapsed)).div_ceil(u128::from(window));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// How long until `cost` fits, in milliseconds, if nobody else comes.
fn wait(before: u64, present: u64, cost: u64, elapsed: u64, window: u64, limit: u64) -> u64 {
    match limit.checked_sub(present.saturating_add(cost)) {
        Some(room) => elapsed_until(before, room, window).saturating_sub(elapsed),
        // In this window it cannot: in the next, the present one is that before.
        None => (window - elapsed) + elapsed_until(present, limit.saturating_sub(cost), window),
    }
}

/// How far into a window no more than `room` of the one before still counts.
fn elapsed_until(before: u64, room: u64, window: u64) -> u64 {
    if before <= room {
        return 0;
    }
    // before × (window − elapsed) ≤ room × window
    let left = u128::from(room) * u128::from(window) / u128::from(before);
    window - u64::try_from(left).unwrap_or(window).min(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_the_published_example() {
        // 42 in the minute before and 18 in this one, 15 seconds of it gone: 42 × 45/60 + 18 = 49.5
        assert_eq!(carried(42, 15_000, 60_000) + 18, 50);
    }

    #[test]
    fn after_the_wait_it_fits_and_a_millisecond_before_it_does_not() {
        for (before, present, cost, elapsed) in
            [(42, 18, 10, 0), (100, 0, 50, 0), (7, 50, 1, 999), (50, 50, 50, 1), (0, 50, 1, 0)]
        {
            let (window, limit) = (1_000, 50);
            let fits = |at: u64| {
                let (before, present) = match at / window {
                    0 => (before, present),
                    1 => (present, 0),
                    _ => (0, 0),
                };
                carried(before, at % window, window) + present + cost <= limit
            };
            let wait = wait(before, present, cost, elapsed, window, limit);
            assert!(fits(elapsed + wait), "{before} {present} {cost} {elapsed}: {wait}");
            assert!(wait > 0 && !fits(elapsed + wait - 1), "{before} {present} {cost} {elapsed}: {wait}");
        }
    }
}
