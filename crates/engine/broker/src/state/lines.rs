//! Which messages wait for another of their key, in a queue that keeps order by key.

use std::collections::{BTreeMap, HashMap};

use super::entry::{Entry, NO_KEY};
use super::list::List;

/// A line for each key of which a message is in a consumer's hands or waits for its next attempt, and for each that had
/// others behind such a one. There are no more lines than messages that were held at one time: a key whose messages are
/// all ready has none.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<u32, Line>,
    /// The first message of each line, and its key.
    firsts: BTreeMap<u64, u32>,
}

#[derive(Debug, Default)]
struct Line {
    /// How many messages keep the others waiting.
    holders: u32,
    waiting: List,
}

impl Lines {
    /// What they take beside the lists of who waits.
    pub(super) fn bytes(&self) -> usize {
        // One place in eight of a hash map stays free, and each has a byte beside it; a tree's nodes are filled to two thirds.
        self.lines.capacity() * 8 / 7 * (size_of::<(u32, Line)>() + 1)
            + self.firsts.len() * size_of::<(u64, u32)>() * 3 / 2
    }

    /// True while messages with this key have to wait.
    pub(super) fn is_held(&self, key: u32) -> bool {
        key != NO_KEY && self.lines.get(&key).is_some_and(|line| line.holders > 0)
    }

    /// Messages with this key wait from now on.
    pub(super) fn hold(&mut self, key: u32) {
        self.lines.entry(key).or_default().holders += 1;
    }

    /// Takes back one [`hold`](Self::hold). After the last of them the [`next`](Self::next) comes out.
    pub(super) fn release(&mut self, key: u32) -> Option<Entry> {
        let line = self.lines.get_mut(&key)?;
        line.holders = line.holders.saturating_sub(1);
        self.next(key)
    }

    /// The first that waits with this key, if nothing holds it any more.
    pub(super) fn next(&mut self, key: u32) -> Option<Entry> {
        let is_free = self.lines.get(&key).is_some_and(|line| line.holders == 0);
        if is_free { self.take(key, List::pop) } else { None }
    }

    /// Lets a message wait in its line.
    pub(super) fn wait(&mut self, entry: Entry) {
        let key = entry.key;
        self.take(key, |waiting| {
            waiting.insert(entry);
            None
        });
    }

    /// The oldest that waits.
    pub(super) fn oldest(&self) -> Option<&Entry> {
        let (_, key) = self.firsts.first_key_value()?;
        self.lines.get(key)?.waiting.head()
    }

    /// Takes out the one at `position`. Looks into every line.
    pub(super) fn remove(&mut self, position: u64) -> Option<Entry> {
        let key =
            self.lines.iter_mut().find_map(|(key, line)| line.waiting.get_mut(position).map(|_| *key))?;
        self.take(key, |waiting| waiting.remove(position))
    }

    pub(super) fn get_mut(&mut self, position: u64) -> Option<&mut Entry> {
        self.lines.values_mut().find_map(|line| line.waiting.get_mut(position))
    }

    /// All lines, in no particular order.
    pub(super) fn lists(&self) -> impl Iterator<Item = &List> {
        self.lines.values().map(|line| &line.waiting)
    }

    pub(super) fn lists_mut(&mut self) -> impl Iterator<Item = &mut List> {
        self.lines.values_mut().map(|line| &mut line.waiting)
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = Entry> + use<> {
        self.lines.into_values().flat_map(|line| line.waiting.into_entries())
    }

    /// Changes one line, notes its first message, and forgets the line when nothing is in it.
    fn take(&mut self, key: u32, change: impl FnOnce(&mut List) -> Option<Entry>) -> Option<Entry> {
        let line = self.lines.entry(key).or_default();
        let first = |line: &Line| line.waiting.head().map(|entry| entry.position);
        let before = first(line);
        let taken = change(&mut line.waiting);
        let after = first(line);
        if line.holders == 0 && after.is_none() {
            self.lines.remove(&key);
            // What a burst has taken is given back once it is over.
            if self.lines.capacity() > SHRINK_FROM && self.lines.len() < self.lines.capacity() / 8 {
                self.lines.shrink_to(self.lines.len() * 2);
            }
        }
        if before != after {
            if let Some(position) = before {
                self.firsts.remove(&position);
            }
            if let Some(position) = after {
                self.firsts.insert(position, key);
            }
        }
        taken
    }

    /// How many lines there are, and how many firsts are noted, and should be.
    #[cfg(test)]
    pub(super) fn audit(&self) -> (usize, usize, usize) {
        let waiting = self.lines.values().filter(|line| !line.waiting.is_empty()).count();
        (self.lines.len(), self.firsts.len(), waiting)
    }
}

/// Places below which the map keeps what it has.
const SHRINK_FROM: usize = 1024;
