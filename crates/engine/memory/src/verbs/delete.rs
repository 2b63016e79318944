//! Deletion, and invalidation that keeps the value as stale or the entry without it.

use forebay_core::entry::{Delete, Deleted, Emptied, Version};

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
        let version = self.version_of(hash, delete.named);
        self.floors.raise(hash, self.version);
        let Some(found) = found else { return Deleted::NotFound };
        if let Some(emptied) = delete.empties {
            self.empty(hash, key, found, delete, emptied);
            return Deleted::Done;
        }
        let Some(new_expiry) = delete.keep_stale else {
            self.remove(hash, found.position, Cause::Removed);
            return Deleted::Done;
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
        Deleted::Done
    }

    /// Leaves an entry without bytes. It keeps its version, but for a placeholder or an entry that somebody loads anew: that one
    /// knows the version, and shall not fill it.
    fn empty(&mut self, hash: u64, key: &[u8], found: Found, delete: Delete, emptied: Emptied) {
        let awaited = found.header.marks.has(Marks::LEASED.with(Marks::CLAIMED));
        let kept = (!awaited).then_some(Version(found.header.version));
        let (marks, named) = match delete.keep_stale {
            Some(_) => (Marks::STALE, delete.named),
            None => (Marks::default(), delete.named.or(kept)),
        };
        let Emptied { flags, expires_at } = emptied;
        let fields = Fields { now: delete.now, flags, expires_at, marks, named };
        self.overwrite(hash, found, key, &[], fields);
    }
}
