//! Messages in the order of their positions: a class or a line of the ready ones.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use super::entry::Entry;

/// Entries below which the list grows as it likes; above it grows by an eighth, so that a deep queue wastes little.
const GROW_FREELY: usize = 4096;

/// A list of those that came in order, and a map of those that came back to their old place.
#[derive(Debug, Default)]
pub(super) struct List {
    fresh: VecDeque<Entry>,
    returned: BTreeMap<u64, Entry>,
}

impl List {
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.returned.is_empty()
    }

    /// Adds at the end, or in its place if later ones are there.
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.fresh.back().is_some_and(|last| last.position > entry.position) {
            self.returned.insert(entry.position, entry);
            return;
        }
        if self.fresh.len() == self.fresh.capacity() && self.fresh.len() >= GROW_FREELY {
            self.fresh.reserve_exact(self.fresh.len() / 8);
        }
        self.fresh.push_back(entry);
    }

    fn returned_first(&self) -> bool {
        match (self.returned.first_key_value(), self.fresh.front()) {
            (Some((position, _)), Some(fresh)) => *position < fresh.position,
            (returned, _) => returned.is_some(),
        }
    }

    /// The one to be delivered next.
    pub(super) fn head(&self) -> Option<&Entry> {
        if self.returned_first() {
            self.returned.first_key_value().map(|(_, entry)| entry)
        } else {
            self.fresh.front()
        }
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        if self.returned_first() {
            return self.returned.pop_first().map(|(_, entry)| entry);
        }
        let entry = self.fresh.pop_front()?;
        self.shrink();
        Some(entry)
    }

    /// Takes out the one at `position`. Cheap near the ends, where almost all are taken.
    pub(super) fn remove(&mut self, position: u64) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&position) {
            return Some(entry);
        }
        let index = self.fresh.binary_search_by_key(&position, |entry| entry.position).ok()?;
        let entry = self.fresh.remove(index)?;
        self.shrink();
        Some(entry)
    }

    /// What a backlog took is given back as it drains: somebody may wait for that memory.
    fn shrink(&mut self) {
        if self.fresh.capacity() > GROW_FREELY && self.fresh.len() < self.fresh.capacity() / 2 {
            self.fresh.shrink_to(self.fresh.len() + self.fresh.len() / 8);
        }
    }

    /// The last entry whose body is kept. Behind one without a body none is kept, but for those that came back.
    pub(super) fn last_kept(&mut self) -> Option<&mut Entry> {
        let kept = self.fresh.partition_point(|entry| entry.body.is_some());
        self.fresh.get_mut(kept.checked_sub(1)?)
    }

    /// What it takes, bodies apart.
    pub(super) fn bytes(&self) -> usize {
        // The nodes of a map are filled to two thirds or more.
        self.fresh.capacity() * size_of::<Entry>() + self.returned.len() * size_of::<(u64, Entry)>() * 3 / 2
    }

    /// The entry at `position`, whose body must stay as it is.
    pub(super) fn get_mut(&mut self, position: u64) -> Option<&mut Entry> {
        let index = self.fresh.binary_search_by_key(&position, |entry| entry.position);
        match index {
            Ok(index) => self.fresh.get_mut(index),
            Err(_) => self.returned.get_mut(&position),
        }
    }

    /// All behind `position`, in order; 0 is before the first.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = &Entry> {
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
    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> + use<> {
        self.fresh.into_iter().chain(self.returned.into_values())
    }

    /// Makes one list of all: after recovery, when what was carried forward has come in behind what was not.
    pub(super) fn settle_order(&mut self) {
        if self.returned.is_empty() {
            return;
        }
        let all = std::mem::take(self);
        let mut entries: Vec<_> = all.fresh.into_iter().chain(all.returned.into_values()).collect();
        entries.sort_unstable_by_key(|entry| entry.position);
        self.fresh = entries.into();
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Rank, at};
    use super::*;

    fn entry(position: u64) -> Entry {
        at(position, Rank::default())
    }

    fn order(list: &mut List) -> Vec<u64> {
        let looked_at: Vec<_> = list.after(0).map(|entry| entry.position).collect();
        let heads = std::iter::from_fn(|| {
            let head = list.head().map(|entry| entry.position);
            assert_eq!(list.pop().map(|entry| entry.position), head);
            head
        });
        let taken: Vec<_> = heads.collect();
        assert_eq!(looked_at, taken);
        taken
    }

    #[test]
    fn a_returned_message_is_delivered_in_its_old_place() {
        let mut list = List::default();
        (1..=5).for_each(|position| list.insert(entry(position)));
        let (first, second) = (list.pop().unwrap(), list.pop().unwrap());
        list.insert(second);
        assert_eq!(list.head().unwrap().position, 2);
        list.insert(first);
        assert!(list.remove(4).is_some() && list.remove(4).is_none());
        assert_eq!(list.get_mut(1).unwrap().position, 1);
        assert_eq!(list.get_mut(5).unwrap().position, 5);
        assert!(list.get_mut(4).is_none());
        assert_eq!(list.after(2).map(|entry| entry.position).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(order(&mut list), [1, 2, 3, 5]);
    }

    #[test]
    fn after_recovery_one_list_holds_all_in_order() {
        let mut list = List::default();
        [5, 7, 1, 6, 9].into_iter().for_each(|position| list.insert(entry(position)));
        list.settle_order();
        assert!(list.returned.is_empty());
        assert_eq!(order(&mut list), [1, 5, 6, 7, 9]);
        assert!(list.is_empty());
    }

    #[test]
    fn a_deep_list_grows_by_an_eighth_and_gives_its_memory_back() {
        let mut list = List::default();
        let count = 20 * GROW_FREELY as u64;
        for position in 0..count {
            list.insert(entry(position));
            let len = list.fresh.len();
            assert!(len <= GROW_FREELY || list.fresh.capacity() <= len + len / 8 + 1);
        }
        while list.pop().is_some() {}
        assert!(list.fresh.capacity() <= GROW_FREELY);
    }
}
