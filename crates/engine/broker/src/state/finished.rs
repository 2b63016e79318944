//! Finished messages that a queue keeps to be read again.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use forebay_core::time::Instant;

use super::entry::Entry;

/// What one takes, its body apart: the nodes of a tree are filled to two thirds or more.
pub(crate) const FINISHED_BYTES: usize = size_of::<(u64, Entry)>() * 3 / 2;

/// Finished messages by their positions, which is nearly the order in which they were published.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    entries: BTreeMap<u64, Entry>,
}

impl Finished {
    /// What they take, bodies apart.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * FINISHED_BYTES
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn keep(&mut self, entry: Entry) {
        self.entries.insert(entry.position, entry);
    }

    pub(crate) fn get_mut(&mut self, position: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&position)
    }

    pub(crate) fn remove(&mut self, position: u64) -> Option<Entry> {
        self.entries.remove(&position)
    }

    /// The one that goes first.
    pub(crate) fn oldest(&self) -> Option<&Entry> {
        self.entries.first_key_value().map(|(_, entry)| entry)
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Entry> {
        self.entries.pop_first().map(|(_, entry)| entry)
    }

    /// All behind `position`, in order; 0 is before the first.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = &Entry> {
        self.entries.range((Excluded(position), Unbounded)).map(|(_, entry)| entry)
    }

    /// None is from the future: the clock may have been set back, and what seems younger than now would stay longer.
    pub(crate) fn none_younger_than(&mut self, now: Instant) {
        self.entries.values_mut().for_each(|entry| entry.publish_by(now));
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        std::mem::take(&mut self.entries).into_values()
    }
}
