//! Locks with a lease and a fencing token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Condition, Delete, Deleted, Mode, Version, Write, Written};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::time::Instant;

use crate::cache::{Cache, check, printable};

/// Locks by name, kept in the cache's store.
///
/// What they promise, and what not: while the store remembers a lock, nobody else is granted it before its lease is over. But the
/// store may forget any entry when memory is short, and a holder may be stopped for longer than its lease without noticing; so
/// two may hold one lock at a time, as with every lock that has a lease. That is what the token is for: every grant of a lock has
/// a greater one than all grants before it. Hand it to whatever the lock protects, and let that refuse a token smaller than
/// the greatest it has seen; then a late holder harms nothing. Without that check the lock only saves work.
///
/// Tokens are the store's versions. These start from the clock when the program starts, with a million of them for every
/// millisecond, so they grow over restarts too, unless the computer's clock was set back to before the earlier start.
///
/// ```
/// # use std::time::Duration;
/// use forebay_cache::atomic::Locks;
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let locks = Locks::new(cache);
/// let lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
/// assert!(locks.try_lock("stocktaking", Duration::from_secs(30))?.is_none());
/// drop(lock);
/// assert!(locks.try_lock("stocktaking", Duration::from_secs(30))?.is_some());
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Locks {
    cache: Arc<Cache>,
}

/// A lock that was granted. Dropping it releases it, if it is still this one's.
///
/// ```
/// # use std::time::Duration;
/// use forebay_cache::atomic::Locks;
/// # use std::sync::Arc;
/// # use forebay_memory::{Memory, MemoryOptions};
/// # let first_version = forebay_core::entry::Version(1);
/// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
/// # let clock = forebay_contract::clock::SimClock::new(1);
/// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
/// let locks = Locks::new(cache);
/// let mut lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
/// assert!(lock.renew(Duration::from_secs(30))?); // still at it
/// assert!(lock.release());
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
pub struct Lock {
    cache: Arc<Cache>,
    key: Vec<u8>,
    token: u64,
    version: Version,
    until: Instant,
}

const PREFIX: &[u8] = b"\0lock:";

impl Locks {
    /// Locks in this cache.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache }
    }

    /// The lock of this name for so long, or `None` if somebody has it. Names are 1 to 244 bytes, leases 1 ms to
    /// [`limits::cache::LOCK_LEASE_MAX`]. `Full`: the store has no room.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::Locks;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let locks = Locks::new(cache);
    /// let lock = locks.try_lock("stocktaking", Duration::from_secs(30))?;
    /// assert!(lock.is_some());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn try_lock(&self, name: impl AsRef<[u8]>, lease: Duration) -> Result<Option<Lock>> {
        let name = name.as_ref();
        check_lease(name, lease)?;
        if name.is_empty() {
            check(name)?;
        }
        let key = [PREFIX, name].concat();
        check(&key)?;
        let now = self.cache.clock.now();
        let until = now + lease;
        let write = Write { mode: Mode::Add, expires_at: Some(until), ..Write::at(now) };
        match self.cache.store.write(&key, b"", write) {
            Written::Stored(version) => {
                let cache = Arc::clone(&self.cache);
                Ok(Some(Lock { cache, key, token: version.0, version, until }))
            }
            Written::NotStored | Written::Exists | Written::NotFound => Ok(None),
            Written::TooLarge | Written::NoRoom => Err(Error::new(Kind::Full, "take lock", printable(name))),
        }
    }
}

impl Lock {
    /// Greater than that of every earlier grant of this lock.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::Locks;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let locks = Locks::new(cache);
    /// let lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
    /// let fence = lock.token(); // UPDATE stock SET …, fence = $fence WHERE fence <= $fence
    /// lock.release();
    /// let next = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("it was given back");
    /// assert!(next.token() > fence);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn token(&self) -> u64 {
        self.token
    }

    /// When the lease is over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::Locks;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let locks = Locks::new(cache);
    /// let mut lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
    /// let first = lock.until();
    /// lock.renew(Duration::from_secs(60))?;
    /// assert!(lock.until() > first);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Holds it from now for so long, with the same token; false if it is no longer this one's, which it will never be again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::Locks;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let locks = Locks::new(cache);
    /// let mut lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
    /// assert!(lock.renew(Duration::from_secs(30))?);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn renew(&mut self, lease: Duration) -> Result<bool> {
        check_lease(self.name(), lease)?;
        let now = self.cache.clock.now();
        let until = now + lease;
        let condition = Condition::Version(self.version);
        let write = Write { condition, expires_at: Some(until), ..Write::at(now) };
        let Written::Stored(version) = self.cache.store.write(&self.key, b"", write) else {
            return Ok(false);
        };
        (self.version, self.until) = (version, until);
        Ok(true)
    }

    /// Gives it back; false if it was no longer this one's, and then somebody else may have worked beside it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::atomic::Locks;
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// let locks = Locks::new(cache);
    /// let lock = locks.try_lock("stocktaking", Duration::from_secs(30))?.expect("nobody has it");
    /// assert!(lock.release());
    /// # Ok::<(), forebay_core::error::Error>(())
    /// ```
    pub fn release(self) -> bool {
        self.delete()
    }

    fn delete(&self) -> bool {
        let delete = Delete { version: Some(self.version), ..Delete::at(self.cache.clock.now()) };
        self.cache.store.delete(&self.key, delete) == Deleted::Done
    }

    fn name(&self) -> &[u8] {
        self.key.get(PREFIX.len()..).unwrap_or_default()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // After a release this finds nothing of this version, and does nothing.
        self.delete();
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token, until, .. } = self;
        f.debug_struct("Lock")
            .field("name", &printable(self.name()))
            .field("token", token)
            .field("until", until)
            .finish()
    }
}

fn check_lease(name: &[u8], lease: Duration) -> Result<()> {
    if lease < Duration::from_millis(1) || lease > limits::cache::LOCK_LEASE_MAX {
        let context = format!("{}: lease must be 1 ms to 24 hours", printable(name));
        return Err(Error::new(Kind::Invalid, "take lock", context));
    }
    Ok(())
}
