//! The store as a turn uses it: it remembers what must be durable before the turn's answers may be sent, and tells whoever
//! watches.

use forebay_core::entry::{Arithmetic, Claim, Counted, Delete, Deleted, Read, State, View, Write, Written};
use forebay_core::ports::pledges::{Pledge, Pledges};
use forebay_core::time::Instant;

use crate::watch::events::{Events, Seen};

/// Every verb with a key goes through here, so that none can be answered too early, or go untold.
pub(crate) struct Told<'a, S> {
    store: &'a S,
    events: Events<'a>,
    pledge: Option<Pledge>,
}

impl<'a, S> Told<'a, S> {
    pub(crate) fn new(store: &'a S, events: Events<'a>) -> Self {
        Self { store, events, pledge: None }
    }

    /// The greatest pledge of all that was asked.
    pub(crate) fn pledge(&self) -> Option<Pledge> {
        self.pledge
    }

    /// A value was not taken in for its size.
    pub(crate) fn too_large(&self, key: &[u8], now: Instant) {
        self.events.too_large(key, now);
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
        let hit = if self.events.is_unwatched() {
            self.store.read(key, read, visit)
        } else {
            self.read_watched(key, read, visit)
        };
        self.note(key);
        hit
    }

    pub(crate) fn write(&mut self, key: &[u8], value: &[u8], write: Write) -> Written {
        let written = if self.events.is_unwatched() {
            self.store.write(key, value, write)
        } else {
            let before = self.look(key, write.now);
            let written = self.store.write(key, value, write);
            self.events.stored(key, value.len(), write, before, written);
            written
        };
        self.note(key);
        written
    }

    pub(crate) fn delete(&mut self, key: &[u8], delete: Delete) -> Deleted {
        self.look_if_told(key, delete.now);
        let deleted = self.store.delete(key, delete);
        self.note(key);
        deleted
    }

    pub(crate) fn count(&mut self, key: &[u8], arithmetic: Arithmetic) -> Counted {
        self.look_if_told(key, arithmetic.now);
        let counted = self.store.count(key, arithmetic);
        if let Counted::Value { number, expires_at, created: true, .. } = counted {
            // memcached adds what it did not find, and looks once more for it.
            self.events.fetched(key, None, arithmetic.now);
            let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
            self.events.counter_made(key, digits, expires_at, arithmetic.now);
        }
        self.note(key);
        counted
    }

    #[cold]
    fn read_watched(&self, key: &[u8], read: Read, visit: &mut dyn FnMut(View<'_>)) -> bool {
        let mut seen = None;
        let hit = self.store.read(key, read, &mut |view| {
            let is_new = view.state == State::Leased && view.claim == Claim::Won;
            seen = (!is_new).then_some(Seen { bytes: view.value.len(), expires_at: view.expires_at });
            visit(view);
        });
        self.events.fetched(key, seen, read.now);
        hit
    }

    /// What a verb finds that is neither read nor write: nobody else wants to know.
    fn look_if_told(&self, key: &[u8], now: Instant) {
        if self.events.tells_reads() {
            self.look(key, now);
        }
    }

    /// What a verb that is no read finds: memcached's watchers are told of that too.
    #[cold]
    fn look(&self, key: &[u8], now: Instant) -> Option<Seen> {
        let mut seen = None;
        self.store.read(key, Read { counts: false, ..Read::at(now) }, &mut |view| {
            seen = Some(Seen { bytes: view.value.len(), expires_at: view.expires_at });
        });
        self.events.fetched(key, seen, now);
        seen
    }
}
