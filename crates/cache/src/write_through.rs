//! Writing to the source and the cache: the source first.

use std::time::Duration;

use forebay_core::entry::{Condition, Write, Written};
use forebay_core::error::Result;

use crate::cache::{Cache, check};

impl Cache {
    /// Writes through: runs `write`, which writes the value to the source, and then stores it. When `write` fails, or this
    /// future is dropped half-way, the key is invalidated: nobody knows what the source has. When others have written the
    /// key meanwhile, it is invalidated too: which of them the source took last, the cache cannot know.
    ///
    /// The cache therefore never keeps a value that the source has not, whatever way several writers and loads fall between each
    /// other; until `write` has returned, readers are shown the older one. `Err` is that of `write`.
    pub async fn write_through<W>(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        write: W,
    ) -> Result<()>
    where
        W: Future<Output = Result<()>>,
    {
        check(key)?;
        let mut unsure = Unsure { cache: self, key, unsure: true };
        // Before the source is written: of writers at the same time only the first to store has a lease that is still good.
        let lease = self.store.lease(key);
        write.await?;
        let now = self.clock.now();
        let condition = Condition::Lease(lease);
        let write = Write { expires_at: ttl.map(|ttl| now + ttl), condition, ..Write::at(now) };
        if let Written::Stored(_) = self.store.write(key, value, write) {
            unsure.unsure = false;
            // Who asks from now on is not given what a load read before.
            self.flights.detach(key);
        }
        Ok(())
    }
}

/// Invalidates the key when it is dropped without being sure.
struct Unsure<'a> {
    cache: &'a Cache,
    key: &'a [u8],
    unsure: bool,
}

impl Drop for Unsure<'_> {
    fn drop(&mut self) {
        if self.unsure {
            // The key was checked, and nothing else is refused.
            let _ = self.cache.invalidate(self.key);
        }
    }
}
