//! Writes by mode and condition.

use forebay_core::entry::{Condition, Mode, Version, Write, Written};

use crate::records::heap::Body;
use crate::records::record::Marks;
use crate::shard::{Cause, Fields, Found, Leftover, Shard};

impl Shard {
    /// `LocalStore::write` for the modes that bring the whole value.
    pub(crate) fn store(
        &mut self,
        hash: u64,
        key: &[u8],
        body: Body<'_>,
        write: Write,
    ) -> (Written, Leftover) {
        let found = self.find(hash, key, write.now);
        let marks = match self.admits(hash, found, &write) {
            Ok(marks) => marks,
            Err(refused) => return (refused, body.leftover()),
        };
        self.counts.writes += 1;
        let expires_at = match found {
            // An older value is not loaded anew by being stored, so it lives no longer for it.
            Some(found) if marks.has(Marks::STALE) => found.header.expiry(),
            _ => write.expires_at,
        };
        if expires_at.is_some_and(|at| at <= write.now) {
            let (version, leftover) = self.store_nothing(hash, found);
            return (Written::Stored(version), leftover);
        }
        let fields = Fields { now: write.now, flags: write.flags, expires_at, marks };
        self.put(hash, key, found, body, fields)
    }

    /// `LocalStore::write` for the modes that add to the value. Values over `inline_max` lie aside.
    pub(crate) fn extend(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        write: Write,
        value_bytes_max: usize,
        inline_max: usize,
    ) -> (Written, Leftover) {
        let found = self.find(hash, key, write.now);
        let marks = match self.admits(hash, found, &write) {
            Ok(marks) => marks,
            Err(refused) => return (refused, None),
        };
        let Some(present) = found else { return (Written::NotStored, None) };
        if value.len() > value_bytes_max {
            return (Written::TooLarge, None);
        }
        let before = self.heap.value(present.position, &present.header);
        if before.len().saturating_add(value.len()) > value_bytes_max {
            return (Written::NotStored, None);
        }
        let whole = if write.mode == Mode::Prepend { [value, before] } else { [before, value] }.concat();
        let body = if whole.len() > inline_max {
            Body::Large(whole.into_boxed_slice())
        } else {
            Body::Inline(&whole)
        };
        self.counts.writes += 1;
        let header = present.header;
        let fields = Fields { now: write.now, flags: header.flags, expires_at: header.expiry(), marks };
        self.put(hash, key, found, body, fields)
    }

    /// The end of a write that no shard can hold: what it would have replaced must not be seen any more.
    pub(crate) fn refuse_too_large(&mut self, hash: u64, key: &[u8], write: Write) -> (Written, Leftover) {
        let found = self.find(hash, key, write.now);
        let replaces = write.mode == Mode::Set && !matches!(write.condition, Condition::Version(_));
        if replaces && self.admits(hash, found, &write).is_ok() {
            return (Written::TooLarge, self.store_nothing(hash, found).1);
        }
        (Written::TooLarge, None)
    }

    fn put(
        &mut self,
        hash: u64,
        key: &[u8],
        found: Option<Found>,
        body: Body<'_>,
        fields: Fields,
    ) -> (Written, Leftover) {
        let (version, leftover) = match found {
            Some(found) => self.overwrite(hash, found, key, body, fields),
            None => (self.insert(hash, key, body, fields).header.version, None),
        };
        (Written::Stored(Version(version)), leftover)
    }

    /// A write after which the key is absent. It is a write all the same: it has a version, and leases are void.
    fn store_nothing(&mut self, hash: u64, found: Option<Found>) -> (Version, Leftover) {
        let leftover = found.and_then(|found| self.remove(hash, found.position, Cause::Removed));
        let version = self.next_version();
        self.floors.raise(hash, version);
        (Version(version), leftover)
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
                if self.floors.of(hash).max(present.unwrap_or(0)) > lease.0.0 {
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
