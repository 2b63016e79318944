//! The verbs of the port, as the table carries them out. They say what `forebay-memory` says, but for what is full: here
//! nothing makes way, so what brings more than there is room for is refused.

use std::sync::Arc;

use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Emptied, Lease, Mode, Read, State, Step, Version,
    View, Write, Written,
};
use forebay_memory::decimal::{self, Decimal};

use super::entry::{Entry, second};
use super::record::Kept;
use super::table::{Cause, Table};

/// What an admitted write makes of the marks.
#[derive(Default)]
struct Marks {
    stale: bool,
    claimed: bool,
}

impl Table {
    pub(super) fn read(&mut self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        if !self.find(key, read.now) {
            return self.vivify(key, read, visit);
        }
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let claim = entry.claim(&read);
        if let Some(end) = read.touch
            && self.set_end(key, end)
        {
            self.mark(key);
        }
        let Some(entry) = self.entries.get_mut(key) else { return false };
        visit(entry.view(claim));
        if read.counts {
            entry.read = true;
            entry.accessed_at = second(read.now);
        }
        if entry.is_over(read.now) {
            self.remove(key, Cause::Removed);
        }
        true
    }

    /// Leaves a leased placeholder where that was asked for and there is room for it, and shows it to its owner.
    fn vivify(&mut self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let Some(expires_at) = read.lease else { return false };
        if !self.has_room(key, 0, read.now) {
            return false;
        }
        let kept = Kept { flags: 0, expires_at, stale: false };
        let mut entry = Entry::new([].into(), kept, self.next_version(), read.now);
        (entry.state, entry.claimed) = (State::Leased, true);
        visit(entry.view(Claim::Won));
        // Its owner has read it, as far as the next reader is concerned.
        entry.read = read.counts;
        self.insert(key, entry);
        true
    }

    pub(super) fn write(&mut self, key: &[u8], value: &[u8], write: Write) -> Written {
        let extends = matches!(write.mode, Mode::Append | Mode::Prepend);
        if !extends && value.len() > self.value_bytes_max {
            return self.refuse(key, write, Written::TooLarge);
        }
        let marks = match self.admits(key, &write) {
            Ok(marks) => marks,
            Err(refused) => return refused,
        };
        let present = self.entries.get(key);
        let kept = Kept { flags: write.flags, expires_at: write.expires_at, stale: marks.stale };
        let (value, kept): (Arc<[u8]>, _) = match present {
            None if extends => return Written::NotStored,
            Some(_) if extends && value.len() > self.value_bytes_max => return Written::TooLarge,
            Some(present) if extends => {
                if present.value.len() + value.len() > self.value_bytes_max {
                    return Written::NotStored;
                }
                let (first, second) = if write.mode == Mode::Prepend {
                    (value, &*present.value)
                } else {
                    (&*present.value, value)
                };
                let kept = Kept { flags: present.flags, expires_at: present.expires_at, ..kept };
                ([first, second].concat().into(), kept)
            }
            // An older value is not loaded anew by being stored, so it lives no longer for it.
            Some(present) if marks.stale => (value.into(), Kept { expires_at: present.expires_at, ..kept }),
            _ => (value.into(), kept),
        };
        if kept.expires_at.is_some_and(|at| at <= write.now) {
            return Written::Stored(self.store_nothing(key));
        }
        if !self.has_room(key, value.len(), write.now) {
            return self.refuse(key, write, Written::NoRoom);
        }
        let version = self.next_version();
        let claimed = marks.claimed;
        self.insert(key, Entry { claimed, ..Entry::new(value, kept, version, write.now) });
        self.mark(key);
        Written::Stored(Version(version))
    }

    /// The end of a write that cannot be carried out: what it would have replaced must not be seen any more.
    fn refuse(&mut self, key: &[u8], write: Write, answer: Written) -> Written {
        if answer == Written::NoRoom {
            self.count_refusal();
        }
        let replaces = write.mode == Mode::Set && !matches!(write.condition, Condition::Version(_));
        if replaces && self.admits(key, &write).is_ok() {
            self.store_nothing(key);
        }
        answer
    }

    /// A write after which the key is absent. It is a write all the same: it has a version, and leases are void.
    fn store_nothing(&mut self, key: &[u8]) -> Version {
        self.remove(key, Cause::Removed);
        let version = self.next_version();
        self.raise_floor(key, version);
        Version(version)
    }

    /// Whether condition and mode allow the write.
    fn admits(&mut self, key: &[u8], write: &Write) -> Result<Marks, Written> {
        self.find(key, write.now);
        let present = self.entries.get(key);
        let mut marks = Marks::default();
        match (write.condition, present) {
            (Condition::None, _) => {}
            (Condition::Version(_), None) => return Err(Written::NotFound),
            (Condition::Version(Version(version)), Some(present)) => {
                if version != present.version {
                    if !write.stale_if_older || write.mode != Mode::Set || version > present.version {
                        return Err(Written::Exists);
                    }
                    marks = Marks { stale: true, claimed: present.claimed };
                }
            }
            (Condition::Lease(Lease(Version(lease))), present) => {
                if self.floor(key).max(present.map_or(0, |present| present.version)) > lease {
                    return Err(Written::Exists);
                }
            }
        }
        match (write.mode, present.is_some()) {
            (Mode::Add, true) | (Mode::Replace | Mode::Append | Mode::Prepend, false) => {
                Err(Written::NotStored)
            }
            _ => Ok(marks),
        }
    }

    pub(super) fn delete(&mut self, key: &[u8], delete: Delete) -> Deleted {
        self.find(key, delete.now);
        let present = self.entries.get(key).map(|entry| entry.version);
        if let (Some(present), Some(version)) = (present, delete.version)
            && present != version.0
        {
            return Deleted::Exists;
        }
        let version = self.next_version();
        self.raise_floor(key, version);
        if present.is_none() {
            return Deleted::NotFound;
        }
        if let Some(emptied) = delete.empties {
            return self.empty(key, version, delete, emptied);
        }
        let Some(new_end) = delete.keep_stale else {
            self.remove(key, Cause::Removed);
            return Deleted::Done;
        };
        if let Some(end) = new_end {
            self.set_end(key, end);
        }
        // A placeholder becomes a stale entry without bytes: what memcached makes of it.
        if let Some(entry) = self.entries.get_mut(key) {
            (entry.version, entry.state, entry.claimed) = (version, State::Stale, false);
        }
        self.mark(key);
        Deleted::Done
    }

    /// Leaves an entry without bytes; one whose end has come is gone. Who loads the entry knows its version, and shall not fill it.
    fn empty(&mut self, key: &[u8], version: u64, delete: Delete, emptied: Emptied) -> Deleted {
        let stale = delete.keep_stale.is_some();
        let present = self.entries.get(key).filter(|entry| !stale && !entry.claimed);
        let version = present.map_or(version, |entry| entry.version);
        let kept = Kept { flags: emptied.flags, expires_at: emptied.expires_at, stale };
        self.insert(key, Entry::new([].into(), kept, version, delete.now));
        self.mark(key);
        Deleted::Done
    }

    pub(super) fn count(&mut self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        if !self.find(key, arithmetic.now) {
            return self.create_counter(key, arithmetic);
        }
        let version = self.version() + 1;
        let Some(entry) = self.entries.get(key) else { return Counted::NotFound };
        if arithmetic.version.is_some_and(|version| version.0 != entry.version) {
            return Counted::Exists;
        }
        let Some(present) = decimal::parse(&entry.value) else { return Counted::NotNumber };
        let number = match arithmetic.step {
            Step::Up => present.wrapping_add(arithmetic.delta),
            Step::Down => present.saturating_sub(arithmetic.delta),
        };
        let text = Decimal::new(number);
        let mut value = vec![0; entry.value.len().max(text.as_bytes().len())];
        text.write_padded(&mut value);
        let expires_at = arithmetic.touch.unwrap_or(entry.expires_at);
        // An invalidated number does not become true by counting: the marks stay.
        let counted = Entry {
            value: value.into(),
            flags: entry.flags,
            version,
            expires_at,
            state: entry.state,
            claimed: entry.claimed,
            read: entry.read,
            accessed_at: second(arithmetic.now),
            position: None,
        };
        self.next_version();
        self.insert(key, counted);
        self.mark(key);
        Counted::Value { number, version: Version(version), expires_at, created: false }
    }

    /// Without room there is none, which is what the caller is told.
    fn create_counter(&mut self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let Some((number, expires_at)) = arithmetic.create else { return Counted::NotFound };
        if !self.has_room(key, 0, arithmetic.now) {
            self.count_refusal();
            return Counted::NotFound;
        }
        let version = self.next_version();
        let text = Decimal::new(number);
        let kept = Kept { flags: 0, expires_at, stale: false };
        self.insert(key, Entry::new(text.as_bytes().into(), kept, version, arithmetic.now));
        self.mark(key);
        Counted::Value { number, version: Version(version), expires_at, created: true }
    }

    pub(super) fn lease(&self) -> Lease {
        Lease(Version(self.version()))
    }
}
