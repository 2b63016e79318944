//! Deletion, and invalidation that keeps the value as stale.

use forebay_core::entry::{Delete, Deleted};

use crate::policy::Policy;
use crate::shard::{Cause, Shard};
use crate::slot::{Marks, Slot};

impl<P: Policy> Shard<P> {
    /// `LocalStore::delete`. What was taken out is returned, to be freed when the lock is gone.
    pub(crate) fn delete(&mut self, hash: u64, key: &[u8], delete: Delete) -> (Deleted, Option<Slot>) {
        let found = self.find(hash, key, delete.now);
        if let (Some(index), Some(version)) = (found, delete.version)
            && self.slots.at(index).version != version.0
        {
            return (Deleted::Exists, None);
        }
        let version = self.next_version();
        self.floors.raise(hash, version);
        let Some(index) = found else { return (Deleted::NotFound, None) };
        let Some(new_expiry) = delete.keep_stale else {
            return (Deleted::Done, Some(self.remove(index, hash, Cause::Removed)));
        };
        let slot = self.slots.at_mut(index);
        slot.version = version;
        // A placeholder becomes a stale entry without bytes: what memcached makes of it.
        slot.marks.clear(Marks::CLAIMED.with(Marks::LEASED));
        slot.marks.set(Marks::STALE);
        if let Some(expiry) = new_expiry {
            slot.set_expiry(expiry);
        }
        (Deleted::Done, None)
    }
}
