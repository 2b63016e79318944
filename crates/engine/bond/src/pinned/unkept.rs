//! The keys whose last change is not durable yet, in the order in which they go to the disk.

use std::collections::{HashMap, VecDeque};

use super::entry::Key;

/// A key that changes again before its turn keeps its place: what is written is how it is then. One that changes after its turn
/// takes a new place. So all places up to the one that was last made durable are done with, and no key is there twice.
#[derive(Default)]
pub(super) struct Unkept {
    places: HashMap<Key, u64>,
    queue: VecDeque<Key>,
    /// The last place whose turn has been.
    taken: u64,
}

impl Unkept {
    /// The place of the key's last change, if that is not durable.
    pub(super) fn place(&self, key: &[u8]) -> Option<u64> {
        self.places.get(key).copied()
    }

    /// The last place that was given.
    pub(super) fn last(&self) -> u64 {
        self.taken + self.queue.len() as u64
    }

    /// The key has changed.
    pub(super) fn mark(&mut self, key: &Key) {
        let next = self.last() + 1;
        match self.places.get_mut(key) {
            Some(place) if *place > self.taken => return,
            Some(place) => *place = next,
            None => drop(self.places.insert(key.clone(), next)),
        }
        self.queue.push_back(key.clone());
    }

    /// Whose turn is next.
    pub(super) fn next(&self) -> Option<&Key> {
        self.queue.front()
    }

    /// The turn of the next key is over; its place.
    pub(super) fn take(&mut self) -> u64 {
        if self.queue.pop_front().is_some() {
            self.taken += 1;
        }
        self.taken
    }

    /// What was taken at this place is durable. True if the key has not changed since.
    pub(super) fn keep(&mut self, key: &[u8], place: u64) -> bool {
        let same = self.place(key) == Some(place);
        if same {
            self.places.remove(key);
        }
        same
    }
}

#[cfg(test)]
impl Unkept {
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.places.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_place_until_its_turn_and_takes_a_new_one_after_it() {
        let (a, b): (Key, Key) = (b"a"[..].into(), b"b"[..].into());
        let mut unkept = Unkept::default();
        for key in [&a, &b, &a] {
            unkept.mark(key);
        }
        assert_eq!((unkept.place(&a), unkept.place(&b), unkept.last()), (Some(1), Some(2), 2));
        assert_eq!(unkept.take(), 1);
        unkept.mark(&a);
        unkept.mark(&a);
        assert_eq!((unkept.place(&a), unkept.last()), (Some(3), 3));
        assert!(!unkept.keep(&a, 1));
        assert_eq!((unkept.take(), unkept.take(), unkept.next()), (2, 3, None));
        assert!(unkept.keep(&b, 2) && unkept.keep(&a, 3));
        assert_eq!((unkept.place(&a), unkept.place(&b)), (None, None));
    }
}
