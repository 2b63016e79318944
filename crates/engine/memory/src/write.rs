//! Writes by mode and condition.

use forebay_core::entry::{Condition, Mode, Version, Write, Written};

use crate::policy::Policy;
use crate::shard::{Cause, Fields, Shard};
use crate::slot::{Marks, joined};

/// Bytes that are no longer needed, to be freed when the lock is gone.
pub(crate) type Leftover = Option<Box<[u8]>>;

impl<P: Policy> Shard<P> {
    /// `LocalStore::write` for the modes that bring the whole value: `bytes` are the key and it.
    pub(crate) fn store(
        &mut self,
        hash: u64,
        key: &[u8],
        bytes: Box<[u8]>,
        write: Write,
    ) -> (Written, Leftover) {
        let found = self.find(hash, key, write.now);
        let marks = match self.admits(hash, found, &write) {
            Ok(marks) => marks,
            Err(refused) => return (refused, Some(bytes)),
        };
        self.counts.writes += 1;
        let expires_at = match found {
            // An older value is not loaded anew by being stored, so it lives no longer for it.
            Some(index) if marks.has(Marks::STALE) => self.slots.at(index).expiry(),
            _ => write.expires_at,
        };
        if expires_at.is_some_and(|at| at <= write.now) {
            return (Written::Stored(self.store_nothing(hash, found)), Some(bytes));
        }
        let fields = Fields { now: write.now, flags: write.flags, expires_at, marks };
        match found {
            Some(index) => {
                let (version, old) = self.overwrite(index, bytes, fields);
                (Written::Stored(Version(version)), Some(old))
            }
            None => {
                let index = self.insert(hash, key.len(), bytes, fields);
                (Written::Stored(Version(self.slots.at(index).version)), None)
            }
        }
    }

    /// `LocalStore::write` for the modes that add to the value.
    pub(crate) fn extend(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        write: Write,
        value_bytes_max: usize,
    ) -> (Written, Leftover) {
        let found = self.find(hash, key, write.now);
        let marks = match self.admits(hash, found, &write) {
            Ok(marks) => marks,
            Err(refused) => return (refused, None),
        };
        let Some(index) = found else { return (Written::NotStored, None) };
        if value.len() > value_bytes_max {
            return (Written::TooLarge, None);
        }
        let slot = self.slots.at(index);
        let present = slot.value();
        let length = present.len().saturating_add(value.len());
        if length > value_bytes_max {
            return (Written::NotStored, None);
        }
        let bytes = match write.mode {
            Mode::Prepend => joined(&[key, value, present]),
            _ => joined(&[key, present, value]),
        };
        let fields = Fields { now: write.now, flags: slot.flags, expires_at: slot.expiry(), marks };
        self.counts.writes += 1;
        let (version, old) = self.overwrite(index, bytes, fields);
        (Written::Stored(Version(version)), Some(old))
    }

    /// The end of a write that no shard can hold: the older value must not be seen any more.
    pub(crate) fn refuse_too_large(&mut self, hash: u64, key: &[u8], write: Write) -> Written {
        let found = self.find(hash, key, write.now);
        let replaces = write.mode == Mode::Set && !matches!(write.condition, Condition::Version(_));
        if replaces && self.admits(hash, found, &write).is_ok() {
            self.store_nothing(hash, found);
        }
        Written::TooLarge
    }

    /// A write after which the key is absent. It is a write all the same: it has a version, and leases are void.
    fn store_nothing(&mut self, hash: u64, found: Option<u32>) -> Version {
        if let Some(index) = found {
            self.remove(index, hash, Cause::Removed);
        }
        let version = self.next_version();
        self.floors.raise(hash, version);
        Version(version)
    }

    /// Whether condition and mode allow the write; `Ok` with the marks the entry gets.
    fn admits(&mut self, hash: u64, found: Option<u32>, write: &Write) -> Result<Marks, Written> {
        let present = found.map(|index| self.slots.at(index).version);
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
                    if found.is_some_and(|index| self.slots.at(index).marks.has(Marks::CLAIMED)) {
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
            (Mode::Add, Some(index)) => {
                self.hit(index);
                Err(Written::NotStored)
            }
            (Mode::Replace | Mode::Append | Mode::Prepend, None) => Err(Written::NotStored),
            _ => Ok(marks),
        }
    }
}
