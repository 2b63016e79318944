//! What is loaded with tags, and removed by them.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::ENTRY_TAGS_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;
use forebay_core::ports::remote_store::RemoteCapabilities;

use super::cache::SharedCache;
use super::load::Stay;
use crate::cache::{check, printable};

impl SharedCache {
    /// As [`get_or_load`](Self::get_or_load); what was loaded is removed with each of these tags.
    /// All who load a key are to name the same ones: what is there, or is being loaded, keeps those of whoever loaded it.
    ///
    /// `Unsupported`: the store keeps no tags. `Invalid`: more than [`ENTRY_TAGS_MAX`] of them, or one that could be no key.
    pub async fn get_or_load_tagged(
        &self,
        key: &[u8],
        life: Option<Duration>,
        tags: &[&[u8]],
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        check(key)?;
        tags.iter().try_for_each(|tag| check(tag))?;
        if tags.len() > ENTRY_TAGS_MAX {
            let why = format!("an entry has at most {ENTRY_TAGS_MAX} tags");
            return Err(Error::new(Kind::Invalid, "tag key", printable(key)).because(why));
        }
        match self.require(|can| can.tags, "tag key", key).await {
            // A load goes on while the store is away, and keeps nothing.
            Err(error) if error.kind() != Kind::Unavailable => Err(error),
            _ => self.get_or_load_as(key, Stay { life, tags }, loader).await,
        }
    }

    /// Removes all that was loaded with this tag, in all processes, and tells how many entries that were. Loads on their way of
    /// keys that had the tag before store nothing; the first load of a key may be on its way and be stored behind this.
    ///
    /// `Unsupported`: the store keeps no tags.
    pub async fn delete_tag(&self, tag: &[u8]) -> Result<u64> {
        check(tag)?;
        self.require(|can| can.tags, "delete tag", tag).await?;
        self.store.remove_tag(tag).await
    }

    /// Refuses what the store cannot do.
    pub(super) async fn require(
        &self,
        has: fn(RemoteCapabilities) -> bool,
        operation: &'static str,
        on: &[u8],
    ) -> Result<()> {
        if has(self.capabilities()) {
            return Ok(());
        }
        // A store that was never reached may declare less than it has: whether it is there is asked first.
        self.look(on).await?;
        if has(self.capabilities()) {
            return Ok(());
        }
        Err(Error::new(Kind::Unsupported, operation, printable(on)).because("the store has none of these"))
    }
}
