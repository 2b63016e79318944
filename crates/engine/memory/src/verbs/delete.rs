//! Deletion, and invalidation that keeps the value as stale or the entry without it.

use forebay_core::entry::{Delete, Deleted, Expiry, Version};

use crate::records::record::Marks;
use crate::shard::{Cause, Fields, Found, Shard};

impl Shard {
    /// `LocalStore::delete`.
    pub(crate) fn delete(&mut self, hash: u64, key: &[u8], delete: Delete) -> Deleted {
        let found = self.find(hash, key, delete.now);
        if let (Some(found), Some(version)) = (found, delete.version)
            && found.header.version != version.0
        {
            return Deleted::Exists;
        }
        let version = self.next_version();
        self.floors.raise(hash, version);
        let Some(found) = found else { return Deleted::NotFound };
        if let Some(expires_at) = delete.empties {
            self.empty(hash, key, found, delete, expires_at);
            return Deleted::Done;
        }
        let Some(new_expiry) = delete.keep_stale else {
            self.remove(hash, found.position, Cause::Removed);
            return Deleted::Done;
        };
        let mut header = found.header;
        header.version = delete.named.map_or(version, |named| named.0);
        // A placeholder becomes a stale entry without bytes: what memcached makes of it.
        header.marks.clear(Marks::CLAIMED.with(Marks::LEASED));
        header.marks.set(Marks::STALE);
        if let Some(expiry) = new_expiry {
            header.set_expiry(expiry);
        }
        self.heap.set_header(found.position, &header);
        Deleted::Done
    }

    /// Leaves an entry without bytes.
    fn empty(&mut self, hash: u64, key: &[u8], found: Found, delete: Delete, expires_at: Expiry) {
        let (marks, named) = match delete.keep_stale {
            Some(_) => (Marks::STALE, delete.named),
            None => (Marks::default(), delete.named.or(Some(Version(found.header.version)))),
        };
        let fields = Fields { now: delete.now, flags: 0, expires_at, marks, named };
        self.overwrite(hash, found, key, &[], fields);
    }
}
