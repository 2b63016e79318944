//! Deletion, and invalidation that keeps the value as stale.

use forebay_core::entry::{Delete, Deleted};

use crate::records::record::Marks;
use crate::shard::{Cause, Leftover, Shard};

impl Shard {
    /// `LocalStore::delete`.
    pub(crate) fn delete(&mut self, hash: u64, key: &[u8], delete: Delete) -> (Deleted, Leftover) {
        let found = self.find(hash, key, delete.now);
        if let (Some(found), Some(version)) = (found, delete.version)
            && found.header.version != version.0
        {
            return (Deleted::Exists, None);
        }
        let version = self.next_version();
        self.floors.raise(hash, version);
        let Some(found) = found else { return (Deleted::NotFound, None) };
        let Some(new_expiry) = delete.keep_stale else {
            return (Deleted::Done, self.remove(hash, found.position, Cause::Removed));
        };
        let mut header = found.header;
        header.version = version;
        // A placeholder becomes a stale entry without bytes: what memcached makes of it.
        header.marks.clear(Marks::CLAIMED.with(Marks::LEASED));
        header.marks.set(Marks::STALE);
        if let Some(expiry) = new_expiry {
            header.set_expiry(expiry);
        }
        self.heap.set_header(found.position, &header);
        (Deleted::Done, None)
    }
}
