//! Locks that all processes share.

use std::time::Duration;

use forebay_core::entry::{Mode, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::LOCK_LEASE_MAX;
use forebay_core::ports::remote_store::{Changed, Put};

use super::cache::SharedCache;
use crate::cache::{check, printable};

/// Locks lie beside entries, under keys that begin so.
const PREFIX: &[u8] = b"lock:";
/// An empty value would say that the source has none.
const TAKEN: &[u8] = b"taken";

impl SharedCache {
    /// Takes the lock of this name for so long, or `None`: somebody has it. Its version is the fencing token, greater than that of
    /// every earlier grant. Names are 1 to 245 bytes, leases 1 ms to [`LOCK_LEASE_MAX`], kept to the second, rounded up.
    ///
    /// `Unsupported`: the store keeps no locks. `Unavailable`: it may have been taken all the same, until its lease is over.
    pub async fn try_lock(&self, name: &[u8], lease: Duration) -> Result<Option<Version>> {
        let key = key_of(name)?;
        if lease < Duration::from_millis(1) || lease > LOCK_LEASE_MAX {
            let why = "a lease is 1 ms to 24 hours";
            return Err(Error::new(Kind::Invalid, "take lock", printable(name)).because(why));
        }
        self.require(|can| can.locks, "take lock", &key).await?;
        let put = Put { flags: 0, life: Some(lease), mode: Mode::Add, version: None };
        match self.store.put(&key, TAKEN, put).await? {
            Changed::Done(version) => Ok(Some(version)),
            Changed::NotStored | Changed::Exists | Changed::NotFound => Ok(None),
        }
    }

    /// Gives back the lock that was granted with this token. False: it was no longer that one's, and then somebody else may have
    /// worked beside it. May repeat.
    pub async fn unlock(&self, name: &[u8], token: Version) -> Result<bool> {
        let removed = self.store.remove(&key_of(name)?, Some(token), Duration::ZERO).await?;
        Ok(matches!(removed, Changed::Done(_)))
    }
}

fn key_of(name: &[u8]) -> Result<Vec<u8>> {
    check(name)?;
    let key = [PREFIX, name].concat();
    check(&key)?;
    Ok(key)
}
