//! The store as a turn uses it: it remembers what must be durable before the turn's answers may be sent.

use forebay_core::entry::{Arithmetic, Counted, Delete, Deleted, Read, View, Write, Written};
use forebay_core::ports::pledges::{Pledge, Pledges};

/// Every verb with a key goes through here, so that none can be answered too early.
pub(crate) struct Told<'a, S> {
    store: &'a S,
    pledge: Option<Pledge>,
}

impl<'a, S> Told<'a, S> {
    pub(crate) fn new(store: &'a S) -> Self {
        Self { store, pledge: None }
    }

    /// The greatest pledge of all that was asked.
    pub(crate) fn pledge(&self) -> Option<Pledge> {
        self.pledge
    }
}

impl<S: Pledges> Told<'_, S> {
    fn note(&mut self, key: &[u8]) {
        self.pledge = self.pledge.max(self.store.pledge(key));
    }

    /// Whether the version of this key's entry may be named.
    pub(crate) fn takes_names(&self, key: &[u8]) -> bool {
        self.store.takes_names(key)
    }

    pub(crate) fn read(&mut self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let hit = self.store.read(key, read, visit);
        self.note(key);
        hit
    }

    pub(crate) fn write(&mut self, key: &[u8], value: &[u8], write: Write) -> Written {
        let written = self.store.write(key, value, write);
        self.note(key);
        written
    }

    pub(crate) fn delete(&mut self, key: &[u8], delete: Delete) -> Deleted {
        let deleted = self.store.delete(key, delete);
        self.note(key);
        deleted
    }

    pub(crate) fn count(&mut self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        let counted = self.store.count(key, arithmetic);
        self.note(key);
        counted
    }
}
