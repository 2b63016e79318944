//! The cache, in process: nothing is awaited and nothing can fail but what is too large.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Delete, Deleted, Mode, Read, State, View, Write, Written};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::stats::StoreStats;
use forebay_memory::Memory;

/// The cache. Any entry may be forgotten at any time to stay within the memory it was given; a value that was
/// overwritten or deleted is never served again.
///
/// Keys are 1 to 250 bytes: a read of any other key finds nothing, a write is refused.
#[derive(Clone)]
pub struct Cache {
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

impl Cache {
    pub(crate) fn new(memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Self {
        Self { memory, clock }
    }

    /// The value, copied out.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Payload> {
        self.read(key, |value| Payload::from(value))
    }

    /// What `visit` makes of the value, without a copy. It runs under a lock: it must be short, and must not use the
    /// cache.
    pub fn read<T>(&self, key: impl AsRef<[u8]>, visit: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let key = key.as_ref();
        check("read key", key).ok()?;
        let (mut visit, mut found) = (Some(visit), None);
        self.memory.read(key, Read::at(self.clock.now()), &mut |view: View<'_>| {
            if view.state == State::Fresh
                && let Some(visit) = visit.take()
            {
                found = Some(visit(view.value));
            }
        });
        found
    }

    /// Sets a value that does not expire.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.write(key.as_ref(), value.as_ref(), None, Mode::Set).map(|_| ())
    }

    /// Sets a value that lives so long.
    pub fn set_for(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, life: Duration) -> Result<()> {
        self.write(key.as_ref(), value.as_ref(), Some(life), Mode::Set).map(|_| ())
    }

    /// Sets a value only where there is none; true if it was set. Without `life` it does not expire.
    pub fn add(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        life: Option<Duration>,
    ) -> Result<bool> {
        self.write(key.as_ref(), value.as_ref(), life, Mode::Add)
    }

    /// Deletes a value; true if there was one.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> bool {
        let key = key.as_ref();
        check("delete key", key).is_ok()
            && self.memory.delete(key, Delete::at(self.clock.now())) == Deleted::Done
    }

    /// The state of the cache.
    pub fn stats(&self) -> StoreStats {
        self.memory.stats()
    }

    fn write(&self, key: &[u8], value: &[u8], life: Option<Duration>, mode: Mode) -> Result<bool> {
        check("write key", key)?;
        let now = self.clock.now();
        let write = Write { expires_at: life.map(|life| now + life), mode, ..Write::at(now) };
        match self.memory.write(key, value, write) {
            Written::Stored(_) => Ok(true),
            Written::NotStored | Written::Exists | Written::NotFound => Ok(false),
            Written::TooLarge => Err(Error::new(Kind::TooLarge, "write key", String::from_utf8_lossy(key))),
        }
    }
}

fn check(operation: &'static str, key: &[u8]) -> Result<()> {
    if key.is_empty() || key.len() > limits::KEY_BYTES_MAX {
        return Err(Error::new(Kind::Invalid, operation, "a key has 1 to 250 bytes"));
    }
    Ok(())
}
