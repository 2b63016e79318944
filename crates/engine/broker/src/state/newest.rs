//! Queues that keep only the newest message of a key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use forebay_core::message::Message;

use super::State;
use crate::records::Status;

/// How many keys may be noted beyond two for each message before those of messages that have left are looked for.
const LEFT_MAX: usize = 1_024;

/// Which messages have which key; empty in queues that did not ask for it. A message that leaves stays noted for a
/// while: there are never more than two keys for each message, and a thousand. Beside the key itself that is some 100
/// bytes a message.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    by_key: HashMap<Arc<str>, u64>,
    keys: HashMap<u64, Arc<str>>,
}

/// What becomes of a message that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has nothing to do with others.
    Alone,
    /// It is the newest of its key, and takes the place of the one at that position; 0 for none.
    Newest { replaces: u64 },
    /// A later one of the same batch has its key: it comes in and leaves in the same step.
    Overtaken,
}

impl Newest {
    /// Notes the message, and that it is the newest of its key if no newer one was noted: one that was carried forward
    /// comes behind newer ones in the log.
    fn note(&mut self, position: u64, key: &str) {
        let key: Arc<str> = key.into();
        let newest = self.by_key.entry(key.clone()).or_insert(position);
        *newest = position.max(*newest);
        self.keys.insert(position, key);
    }

    /// True if it was noted.
    pub(crate) fn knows(&self, position: u64) -> bool {
        self.keys.contains_key(&position)
    }

    fn forget(&mut self, position: u64) {
        if let Some(key) = self.keys.remove(&position)
            && self.by_key.get(&key) == Some(&position)
        {
            self.by_key.remove(&key);
        }
    }
}

impl State {
    /// What becomes of each of these messages when they come in together.
    pub(crate) fn turns(&mut self, messages: &[Message]) -> Vec<Turn> {
        if !self.settings.newest_by_key {
            return vec![Turn::Alone; messages.len()];
        }
        let mut later = HashSet::new();
        let mut turn = |message: &Message| match &message.key {
            None => Turn::Alone,
            Some(key) if !later.insert(key.clone()) => Turn::Overtaken,
            Some(key) => Turn::Newest { replaces: self.waiting_with(key).unwrap_or(0) },
        };
        let mut turns: Vec<_> = messages.iter().rev().map(&mut turn).collect();
        turns.reverse();
        turns
    }

    fn waiting_with(&mut self, key: &str) -> Option<u64> {
        let position = *self.newest.by_key.get(key)?;
        let waits = matches!(self.find(position), Some((_, Status::Ready | Status::Delayed { .. })));
        waits.then_some(position)
    }

    /// True if a message with this key waits or is held.
    pub(crate) fn has_key(&mut self, key: &str) -> bool {
        let position = self.newest.by_key.get(key).copied();
        position.is_some_and(|position| self.is_unfinished(position))
    }

    /// True if there is a newer message with the key of this one.
    pub(crate) fn is_overtaken(&mut self, position: u64) -> bool {
        let newest = self.newest.keys.get(&position).and_then(|key| self.newest.by_key.get(key)).copied();
        newest.is_some_and(|newest| newest > position && self.is_unfinished(newest))
    }

    /// Notes the key of a message that has come in.
    pub(crate) fn note_key(&mut self, position: u64, key: &str) {
        self.newest.note(position, key);
        if self.newest.keys.len() > 2 * self.len() as usize + LEFT_MAX {
            let mut left: Vec<_> = self.newest.keys.keys().copied().collect();
            left.retain(|position| !self.is_unfinished(*position));
            left.into_iter().for_each(|position| self.newest.forget(position));
        }
    }

    /// A message that was held waits again, and no newer one is there: it is the newest of its key once more.
    pub(super) fn came_back(&mut self, position: u64) {
        if let Some(key) = self.newest.keys.get(&position).cloned() {
            self.newest.by_key.insert(key, position);
        }
    }

    fn is_unfinished(&mut self, position: u64) -> bool {
        self.find(position).is_some_and(|(_, status)| status != Status::Finished)
    }
}
