//! Messages in the order of their positions: a class or a line of the ready ones.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use super::entry::Entry;

/// Entries below which the list grows as it likes; above it grows by an eighth, so that a deep queue wastes little.
const GROW_FREELY: usize = 4096;

/// Of this many places in the list one may be the mark of a message that has left.
const MARKS_SHARE: usize = 4;

/// A list of those that came in order, and a map of those that came back to their old place.
///
/// What leaves from the middle of the list leaves a mark there, so that nothing is moved for one message; when a quarter
/// of the places are marks all go at once. Neither end of the list is ever a mark.
#[derive(Debug, Default)]
pub(super) struct List {
    fresh: VecDeque<Entry>,
    marks: usize,
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
        self.tidy();
        Some(entry)
    }

    /// Takes out the one at `position`, wherever in the list it is.
    pub(super) fn remove(&mut self, position: u64) -> Option<Entry> {
        if let Some(entry) = self.returned.remove(&position) {
            return Some(entry);
        }
        let index = self.index_of(position)?;
        let entry = self.fresh.get_mut(index)?.leave();
        self.marks += 1;
        self.tidy();
        Some(entry)
    }

    /// Where in the list the one at `position` is.
    fn index_of(&self, position: u64) -> Option<usize> {
        let index = self.fresh.binary_search_by_key(&position, |entry| entry.position).ok()?;
        self.fresh.get(index).filter(|entry| !entry.is_gone())?;
        Some(index)
    }

    /// Takes the marks away that are at an end or too many. What a backlog took is given back as it drains: somebody may
    /// wait for that memory.
    fn tidy(&mut self) {
        while self.fresh.front().is_some_and(Entry::is_gone) {
            self.fresh.pop_front();
            self.marks -= 1;
        }
        while self.fresh.back().is_some_and(Entry::is_gone) {
            self.fresh.pop_back();
            self.marks -= 1;
        }
        if self.marks * MARKS_SHARE > self.fresh.len() {
            self.fresh.retain(|entry| !entry.is_gone());
            self.marks = 0;
        }
        if self.fresh.capacity() > GROW_FREELY && self.fresh.len() < self.fresh.capacity() / 2 {
            self.fresh.shrink_to(self.fresh.len() + self.fresh.len() / 8);
        }
    }

    /// The last entry whose body is kept. Behind one without a body none is kept, but for those that came back.
    pub(super) fn last_kept(&mut self) -> Option<&mut Entry> {
        let mut kept = self.fresh.partition_point(Entry::counts_as_kept);
        loop {
            kept = kept.checked_sub(1)?;
            let last = self.fresh.get_mut(kept)?;
            if !last.is_gone() {
                return self.fresh.get_mut(kept);
            }
            // The next look does not come by here.
            last.count_as_cold();
        }
    }

    /// Every entry whose body is kept, those that came back included, in no particular order.
    pub(super) fn kept(&mut self) -> impl Iterator<Item = &mut Entry> {
        let all = self.fresh.iter_mut().chain(self.returned.values_mut());
        all.filter(|entry| entry.body.is_some())
    }

    /// What it takes, bodies apart.
    pub(super) fn bytes(&self) -> usize {
        // The nodes of a map are filled to two thirds or more.
        self.fresh.capacity() * size_of::<Entry>() + self.returned.len() * size_of::<(u64, Entry)>() * 3 / 2
    }

    /// The entry at `position`, whose body must stay as it is.
    pub(super) fn get_mut(&mut self, position: u64) -> Option<&mut Entry> {
        match self.index_of(position) {
            Some(index) => self.fresh.get_mut(index),
            None => self.returned.get_mut(&position),
        }
    }

    /// All behind `position`, in order; 0 is before the first.
    pub(super) fn after(&self, position: u64) -> impl Iterator<Item = &Entry> {
        let first = self.fresh.partition_point(|entry| entry.position <= position);
        let mut fresh = self.fresh.range(first..).filter(|entry| !entry.is_gone()).peekable();
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
        self.fresh.into_iter().filter(|entry| !entry.is_gone()).chain(self.returned.into_values())
    }

    /// Makes one list of all: after recovery, when what was carried forward has come in behind what was not.
    pub(super) fn settle_order(&mut self) {
        if self.returned.is_empty() {
            return;
        }
        let mut entries: Vec<_> = std::mem::take(self).into_entries().collect();
        entries.sort_unstable_by_key(|entry| entry.position);
        self.fresh = entries.into();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use forebay_core::message::{Message, MessageId};

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

    fn places(list: &List) -> HashMap<u64, *const Entry> {
        list.after(0).map(|entry| (entry.position, &raw const *entry)).collect()
    }

    #[test]
    fn what_leaves_from_the_middle_of_a_deep_list_moves_few_of_the_others() {
        const COUNT: u64 = 4_000;
        let mut list = List::default();
        (0..COUNT).for_each(|position| list.insert(entry(position + 1)));
        let (mut moved, mut left) = (0, 0);
        let mut before = places(&list);
        for number in 0..COUNT / 2 {
            let position = number * 1_597 % COUNT + 1;
            assert!(list.remove(position).is_some() && list.remove(position).is_none());
            assert!(list.get_mut(position).is_none());
            left += 1;
            let now = places(&list);
            assert_eq!(now.len() as u64, COUNT - left);
            moved += now.iter().filter(|(position, place)| before[position] != **place).count() as u64;
            before = now;
        }
        assert!(moved <= MARKS_SHARE as u64 * left, "{moved} were moved for {left} that left");
        let mut rest: Vec<_> = before.into_keys().collect();
        rest.sort_unstable();
        assert_eq!(order(&mut list), rest);
        assert!(list.is_empty() && list.fresh.is_empty() && list.marks == 0);
    }

    #[test]
    fn what_comes_back_to_where_it_left_a_mark_is_there_once() {
        let mut list = List::default();
        (1..=9).for_each(|position| list.insert(entry(position)));
        let back = list.remove(5).unwrap();
        list.insert(back);
        assert_eq!(list.get_mut(5).unwrap().position, 5);
        assert_eq!(list.after(3).map(|entry| entry.position).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
        list.settle_order();
        assert_eq!(order(&mut list), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn the_last_body_that_is_kept_is_found_among_marks() {
        let body = Arc::new(Message::new(MessageId::given("m").unwrap(), "".into()));
        let mut list = List::default();
        for position in 1..=20 {
            let mut entry = entry(position);
            entry.body = (position <= 12).then(|| body.clone());
            list.insert(entry);
        }
        [11, 12, 16].into_iter().for_each(|position| drop(list.remove(position)));
        let kept: Vec<_> = std::iter::from_fn(|| {
            let last = list.last_kept()?;
            last.body = None;
            Some(last.position)
        })
        .collect();
        assert_eq!(kept, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
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
