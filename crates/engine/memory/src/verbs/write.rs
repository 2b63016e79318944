//! Writes by mode and condition.

use forebay_core::entry::{Condition, Mode, Version, Write, Written};

use crate::records::record::Marks;
use crate::records::region::Region;
use crate::shard::{Cause, Fields, Found, Shard};

impl Shard {
    /// `LocalStore::write` for the modes that bring the whole value.
    pub(crate) fn store(&mut self, hash: u64, key: &[u8], value: &[u8], write: Write) -> Written {
        let found = self.find(hash, key, write.now);
        let marks = match self.admits(hash, found, &write) {
            Ok(marks) => marks,
            Err(refused) => return refused,
        };
        self.counts.writes += 1;
        let expires_at = match found {
            // An older value is not loaded anew by being stored, so it lives no longer for it.
            Some(found) if marks.has(Marks::STALE) => found.header.expiry(),
            _ => write.expires_at,
        };
        if expires_at.is_some_and(|at| at <= write.now) {
            return Written::Stored(self.store_nothing(hash, found, write.named));
        }
        let fields = Fields { now: write.now, flags: write.flags, expires_at, marks, named: write.named };
        self.put(hash, key, found, value, fields)
    }

    /// `LocalStore::write` for the modes that add to the value.
    pub(crate) fn extend(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        write: Write,
        value_bytes_max: usize,
    ) -> Written {
        let found = self.find(hash, key, write.now);
        let marks = match self.admits(hash, found, &write) {
            Ok(marks) => marks,
            Err(refused) => return refused,
        };
        let Some(present) = found else { return Written::NotStored };
        if value.len() > value_bytes_max {
            return Written::TooLarge;
        }
        let before = self.heap.value(present.position, &present.header);
        if before.len().saturating_add(value.len()) > value_bytes_max {
            return Written::NotStored;
        }
        let whole = if write.mode == Mode::Prepend { [value, before] } else { [before, value] }.concat();
        self.counts.writes += 1;
        let header = present.header;
        let (now, named) = (write.now, write.named);
        let fields = Fields { now, flags: header.flags, expires_at: header.expiry(), marks, named };
        self.put(hash, key, found, &whole, fields)
    }

    /// Whether there is room for a value, so that a write is short. Where there is not, some has been made, and the lock should
    /// be given to others before this is called again. Small values find their room as they are written.
    pub(crate) fn has_room(
        &mut self,
        hash: u64,
        key: &[u8],
        value_len: usize,
        extends: bool,
        value_bytes_max: usize,
    ) -> bool {
        if !extends && !self.heap.is_large(value_len) {
            return true;
        }
        let present = self.position(hash, key).map(|position| self.heap.header(position).value_len as usize);
        let whole = value_len + if extends { present.unwrap_or(0) } else { 0 };
        let in_place = present.is_some_and(|present| Region::rounded(present) == Region::rounded(whole));
        if !self.heap.is_large(whole) || in_place || (extends && present.is_none()) {
            return true;
        }
        // Where the older value and the newer one are too much together, the older one goes first, with the write.
        let both = whole.saturating_add(present.unwrap_or(0)) + 2 * self.heap.segment_bytes();
        both > self.entry_bytes_max(self.bytes_max).saturating_sub(2 * key.len())
            || whole > value_bytes_max
            || self.make_room(hash, key, whole)
    }

    /// The end of a write that cannot be carried out: what it would have replaced must not be seen any more.
    pub(crate) fn refuse(&mut self, hash: u64, key: &[u8], write: Write, answer: Written) -> Written {
        let found = self.find(hash, key, write.now);
        let replaces = write.mode == Mode::Set && !matches!(write.condition, Condition::Version(_));
        if replaces && self.admits(hash, found, &write).is_ok() {
            self.store_nothing(hash, found, None);
        }
        answer
    }

    fn put(&mut self, hash: u64, key: &[u8], found: Option<Found>, value: &[u8], fields: Fields) -> Written {
        let version = match found {
            Some(found) => self.overwrite(hash, found, key, value, fields),
            None => self.insert(hash, key, value, fields).header.version,
        };
        Written::Stored(Version(version))
    }

    /// A write after which the key is absent. It is a write all the same: it has a version, and leases are void.
    fn store_nothing(&mut self, hash: u64, found: Option<Found>, named: Option<Version>) -> Version {
        if let Some(found) = found {
            self.remove(hash, found.position, Cause::Removed);
        }
        let version = self.version_of(hash, named);
        self.floors.raise(hash, self.version);
        Version(version)
    }

    /// Whether condition and mode allow the write; `Ok` with the marks the entry gets.
    fn admits(&mut self, hash: u64, found: Option<Found>, write: &Write) -> Result<Marks, Written> {
        let present = found.map(|found| found.header.version);
        let mut marks = Marks::default();
        match (write.condition, present) {
            (Condition::None, _) => {}
            (Condition::Version(_), None) => return Err(Written::NotFound),
            (Condition::Version(version), Some(present)) => {
                if version.0 != present {
                    if !write.stale_if_older || write.mode != Mode::Set || version.0 > present {
                        return Err(Written::Exists);
                    }
                    marks = Marks::STALE;
                    if found.is_some_and(|found| found.header.marks.has(Marks::CLAIMED)) {
                        marks.set(Marks::CLAIMED);
                    }
                }
            }
            (Condition::Lease(lease), present) => {
                if self.floors.of(hash).max(self.in_order(present.unwrap_or(0))) > lease.0.0 {
                    self.counts.fills_refused += 1;
                    return Err(Written::Exists);
                }
            }
        }
        match (write.mode, found) {
            (Mode::Add, Some(found)) => {
                self.used(found);
                Err(Written::NotStored)
            }
            (Mode::Replace | Mode::Append | Mode::Prepend, None) => Err(Written::NotStored),
            _ => Ok(marks),
        }
    }
}
