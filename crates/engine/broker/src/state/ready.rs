//! The ready messages of a queue, in the order of their positions.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use super::entry::Entry;

/// Entries below which the list grows as it likes; above it grows by an eighth, so that a deep queue wastes little.
const GROW_FREELY: usize = 4096;

/// Ready messages: a list of those that came in order, and a map of those that came back to their old place.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    fresh: VecDeque<Entry>,
    returned: BTreeMap<u64, Entry>,
    /// How many in `fresh` have no body in memory.
    cold: usize,
}

impl Ready {
    pub(crate) fn len(&self) -> usize {
        self.fresh.len() + self.returned.len()
    }

    /// True if a body kept for the next fresh message will be needed as soon as those that are kept now. Memory is for
    /// the front of the list: behind a message that must be read from the log, nothing is kept.
    pub(crate) fn is_hot(&self) -> bool {
        self.cold == 0
    }

    /// Adds at the end, or in its place if later ones are there.
    pub(crate) fn insert(&mut self, entry: Entry) {
        if self.fresh.back().is_some_and(|last| last.position > entry.position) {
            self.returned.insert(entry.position, entry);
            return;
        }
        if self.fresh.len() == self.fresh.capacity() && self.fresh.len() >= GROW_FREELY {
            self.fresh.reserve_exact(self.fresh.len() / 8);
        }
        self.cold += usize::from(entry.body.is_none());
        self.fresh.push_back(entry);
    }

    fn returned_first(&self) -> bool {
        match (self.returned.first_key_value(), self.fresh.front()) {
            (Some((position, _)), Some(fresh)) => *position < fresh.position,
            (returned, _) => returned.is_some(),
        }
    }

    /// The one to be delivered next.
    pub(crate) fn head(&self) -> Option<&Entry> {
        if self.returned_first() {
            self.returned.first_key_value().map(|(_, entry)| entry)
        } else {
            self.fresh.front()
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        if self.returned_first() {
            return self.returned.pop_first().map(|(_, entry)| entry);
        }
        let entry = self.fresh.pop_front()?;
        self.took(&entry);
        Some(entry)
    }

    /// Takes out the one at `position`. Cheap near the ends, where almost all are taken.
    pub(crate) fn remove(&mut self, position: u64) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&position) {
            return Some(entry);
        }
        let index = self.fresh.binary_search_by_key(&position, |entry| entry.position).ok()?;
        let entry = self.fresh.remove(index)?;
        self.took(&entry);
        Some(entry)
    }

    fn took(&mut self, entry: &Entry) {
        self.cold -= usize::from(entry.body.is_none());
        // What a backlog took is given back as it drains: somebody may wait for that memory.
        if self.fresh.capacity() > GROW_FREELY && self.fresh.len() < self.fresh.capacity() / 2 {
            self.fresh.shrink_to(self.fresh.len() + self.fresh.len() / 8);
        }
    }

    /// The last entry whose body is kept, which the caller must take: from here on it counts as one without.
    pub(crate) fn cool_last(&mut self) -> Option<&mut Entry> {
        let last_hot = (self.fresh.len() - self.cold).checked_sub(1)?;
        let entry = self.fresh.get_mut(last_hot).filter(|entry| entry.body.is_some())?;
        self.cold += 1;
        Some(entry)
    }

    /// What the list and the map take, bodies apart.
    pub(crate) fn bytes(&self) -> usize {
        // The nodes of a map are filled to two thirds or more.
        self.fresh.capacity() * size_of::<Entry>() + self.returned.len() * size_of::<(u64, Entry)>() * 3 / 2
    }

    /// The entry at `position`, whose body must stay as it is.
    pub(crate) fn get_mut(&mut self, position: u64) -> Option<&mut Entry> {
        let index = self.fresh.binary_search_by_key(&position, |entry| entry.position);
        match index {
            Ok(index) => self.fresh.get_mut(index),
            Err(_) => self.returned.get_mut(&position),
        }
    }

    /// All behind `position`, in order; 0 is before the first.
    pub(crate) fn after(&self, position: u64) -> impl Iterator<Item = &Entry> {
        let first = self.fresh.partition_point(|entry| entry.position <= position);
        let mut fresh = self.fresh.range(first..).peekable();
        let mut returned =
            self.returned.range((Excluded(position), Unbounded)).map(|(_, entry)| entry).peekable();
        std::iter::from_fn(move || match (returned.peek(), fresh.peek()) {
            (Some(back), Some(first)) if back.position < first.position => returned.next(),
            (Some(_), None) => returned.next(),
            _ => fresh.next(),
        })
    }

    /// Takes all out, in no particular order.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let all = std::mem::take(self);
        all.fresh.into_iter().chain(all.returned.into_values())
    }

    /// Makes one list of all: after recovery, when what was carried forward has come in behind what was not.
    pub(crate) fn settle_order(&mut self) {
        if self.returned.is_empty() {
            return;
        }
        let all = std::mem::take(self);
        let mut entries: Vec<_> = all.fresh.into_iter().chain(all.returned.into_values()).collect();
        entries.sort_unstable_by_key(|entry| entry.position);
        self.cold = entries.iter().filter(|entry| entry.body.is_none()).count();
        self.fresh = entries.into();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay_core::message::{Message, MessageId};
    use forebay_core::payload::Payload;
    use forebay_core::time::Instant;

    use super::super::entry::Location;
    use super::*;
    use crate::storage::journal::Stored;

    fn entry(position: u64, hot: bool) -> Entry {
        let message = || Arc::new(Message::new(MessageId::given("m").unwrap(), Payload::empty()));
        let stored = Stored { location: Location { sequence: position, segment: 1, offset: 0 }, bytes: 1 };
        let mut entry = Entry::new(position, stored, Instant::from_ms(0));
        entry.body = hot.then(message);
        entry
    }

    fn order(ready: &mut Ready) -> Vec<u64> {
        let looked_at: Vec<_> = ready.after(0).map(|entry| entry.position).collect();
        let heads = std::iter::from_fn(|| {
            let head = ready.head().map(|entry| entry.position);
            assert_eq!(ready.pop().map(|entry| entry.position), head);
            head
        });
        let taken: Vec<_> = heads.collect();
        assert_eq!(looked_at, taken);
        taken
    }

    #[test]
    fn a_returned_message_is_delivered_in_its_old_place() {
        let mut ready = Ready::default();
        (1..=5).for_each(|position| ready.insert(entry(position, false)));
        let (first, second) = (ready.pop().unwrap(), ready.pop().unwrap());
        ready.insert(second);
        assert_eq!(ready.head().unwrap().position, 2);
        ready.insert(first);
        assert!(ready.remove(4).is_some() && ready.remove(4).is_none());
        assert_eq!(ready.get_mut(1).unwrap().position, 1);
        assert_eq!(ready.get_mut(5).unwrap().position, 5);
        assert!(ready.get_mut(4).is_none());
        assert_eq!(ready.len(), 4);
        assert_eq!(ready.after(2).map(|entry| entry.position).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(order(&mut ready), [1, 2, 3, 5]);
    }

    #[test]
    fn after_recovery_one_list_holds_all_in_order() {
        let mut ready = Ready::default();
        [5, 7, 1, 6, 9].into_iter().for_each(|position| ready.insert(entry(position, false)));
        ready.settle_order();
        assert!(ready.returned.is_empty() && !ready.is_hot());
        assert_eq!(order(&mut ready), [1, 5, 6, 7, 9]);
        assert!(ready.is_hot());
    }

    #[test]
    fn bodies_are_kept_only_while_all_before_them_are() {
        let mut ready = Ready::default();
        ready.insert(entry(1, true));
        assert!(ready.is_hot());
        ready.insert(entry(2, false));
        assert!(!ready.is_hot());
        ready.pop();
        assert!(!ready.is_hot());
        ready.remove(2);
        assert!(ready.is_hot());
    }

    #[test]
    fn a_deep_list_grows_by_an_eighth_and_gives_its_memory_back() {
        let mut ready = Ready::default();
        let count = 20 * GROW_FREELY as u64;
        for position in 0..count {
            ready.insert(entry(position, false));
            let len = ready.fresh.len();
            assert!(len <= GROW_FREELY || ready.fresh.capacity() <= len + len / 8 + 1);
        }
        while ready.pop().is_some() {}
        assert!(ready.fresh.capacity() <= GROW_FREELY);
    }
}
