//! Queues that keep only the newest message of a key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use forebay_core::message::Message;

use super::State;
use super::entry::Entry;
use super::marks::shared_bytes;
use crate::records::Status;

/// Places below which a map keeps what it has.
const SHRINK_FROM: usize = 1_024;

/// Which messages have which key; empty in queues that did not ask for it. A message is noted for as long as it waits or is
/// held: beside the key itself that is some 150 bytes a message.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// Positions in order.
    by_key: HashMap<Arc<str>, Vec<u64>>,
    keys: HashMap<u64, Arc<str>>,
    /// What the keys take, of which each is there once.
    keys_bytes: usize,
}

/// What becomes of a message that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has nothing to do with others.
    Alone,
    /// It is the newest of its key, and takes the place of the one at that position; 0 for none.
    Newest { replaces: u64 },
    /// It takes the place of the one with its key that came just before it in the same batch.
    Next,
    /// A later one of the same batch has its key: it comes in and leaves in the same step.
    Overtaken,
}

impl Newest {
    /// What it takes.
    pub(crate) fn bytes(&self) -> usize {
        // One place in eight of a hash map stays free, and each has a byte beside it. A key's first positions have room
        // for four, and further ones for up to twice as many as there are.
        let places = self.by_key.capacity() * 8 / 7;
        let further = self.keys.len().saturating_sub(self.by_key.len());
        places * (size_of::<(Arc<str>, Vec<u64>)>() + 1)
            + self.keys.capacity() * 8 / 7 * (size_of::<(u64, Arc<str>)>() + 1)
            + (self.by_key.len() * 4 + further * 2) * size_of::<u64>()
            + self.keys_bytes
    }

    /// Notes the message in its place: one that was carried forward comes behind newer ones in the log.
    fn note(&mut self, position: u64, key: &str) {
        let known = self.by_key.get_key_value(key).map(|(key, _)| key.clone());
        let key: Arc<str> = known.unwrap_or_else(|| {
            self.keys_bytes += shared_bytes(key);
            key.into()
        });
        let positions = self.by_key.entry(key.clone()).or_default();
        if let Err(place) = positions.binary_search(&position) {
            positions.insert(place, position);
        }
        self.keys.insert(position, key);
    }

    /// True if it was noted.
    pub(crate) fn knows(&self, position: u64) -> bool {
        self.keys.contains_key(&position)
    }

    fn last_with(&self, key: &str) -> Option<u64> {
        self.by_key.get(key)?.last().copied()
    }

    /// The message has left.
    pub(super) fn forget(&mut self, position: u64) {
        let Some(key) = self.keys.remove(&position) else { return };
        let Some(positions) = self.by_key.get_mut(&key) else { return };
        if let Ok(place) = positions.binary_search(&position) {
            positions.remove(place);
        }
        if positions.is_empty() {
            self.by_key.remove(&key);
            self.keys_bytes -= shared_bytes(&key);
        }
        self.shrink();
    }

    /// What a burst has taken is given back once it is over.
    fn shrink(&mut self) {
        if self.keys.capacity() > SHRINK_FROM && self.keys.len() < self.keys.capacity() / 8 {
            self.keys.shrink_to(self.keys.len() * 2);
        }
        if self.by_key.capacity() > SHRINK_FROM && self.by_key.len() < self.by_key.capacity() / 8 {
            self.by_key.shrink_to(self.by_key.len() * 2);
        }
    }

    /// Those that stay when all others leave at once.
    pub(super) fn of<'a>(&self, staying: impl Iterator<Item = &'a Entry>) -> Self {
        let mut newest = Self::default();
        for Entry { position, .. } in staying {
            self.keys.get(position).into_iter().for_each(|key| newest.note(*position, key));
        }
        newest
    }
}

impl State {
    /// What becomes of each of these messages when they come in together, those being new of which `is_new` says so: the
    /// others came before, and overtake nothing. One that is overtaken is written all the same where its dedup id must be
    /// known: were it forgotten, the message would replace a newer one when its publisher tries again.
    pub(crate) fn turns(&mut self, messages: &[Arc<Message>], is_new: impl Fn(usize) -> bool) -> Vec<Turn> {
        if !self.settings.newest_by_key {
            return vec![Turn::Alone; messages.len()];
        }
        let has_window = !self.settings.dedup_window.is_zero();
        let keyed = messages.iter().enumerate().filter(|(index, _)| is_new(*index));
        let keyed = keyed.filter_map(|(index, message)| Some((message.key.as_deref()?, index)));
        let last: HashMap<_, _> = keyed.collect();
        let mut earlier = HashSet::new();
        let mut turns = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            let is_known = has_window && message.dedup_id.is_some();
            turns.push(match message.key.as_deref().filter(|_| is_new(index)) {
                None => Turn::Alone,
                Some(key) if last.get(key) != Some(&index) && !is_known => Turn::Overtaken,
                Some(key) if earlier.insert(key) => {
                    Turn::Newest { replaces: self.waiting_with(key).unwrap_or(0) }
                }
                Some(_) => Turn::Next,
            });
        }
        turns
    }

    /// True if the ready messages have no more bytes of payload than they may when messages come in, each with its turn: all
    /// but those that are overtaken, and in place of those that are replaced. What only replaces may always become shorter.
    pub(crate) fn has_room_for<'a>(&mut self, arriving: impl Iterator<Item = (&'a Message, Turn)>) -> bool {
        if self.settings.length_bytes_max.is_none() {
            return true;
        }
        let (mut more, mut less, mut grows) = (0, 0, false);
        // Of one key the last counts.
        let mut by_key = HashMap::new();
        for (message, turn) in arriving {
            let bytes = message.payload.len() as u64;
            match turn {
                Turn::Overtaken => {}
                Turn::Alone => (more, grows) = (more + bytes, true),
                Turn::Newest { .. } | Turn::Next => drop(by_key.insert(message.key.as_deref(), bytes)),
            }
            if let Turn::Newest { replaces } = turn {
                less += self.ready.payload_bytes_of(replaces);
                grows |= replaces == 0;
            }
        }
        more += by_key.values().sum::<u64>();
        !grows && more <= less || self.has_room(more.saturating_sub(less))
    }

    /// The newest message with this key that waits or is held. If that is held, no other waits.
    pub(crate) fn newest_with(&self, key: &str) -> Option<u64> {
        self.newest.last_with(key)
    }

    /// The newest message with this key, if it waits.
    pub(crate) fn waiting_with(&mut self, key: &str) -> Option<u64> {
        let position = self.newest_with(key)?;
        let waits = matches!(self.find(position), Some((_, Status::Ready | Status::Delayed { .. })));
        waits.then_some(position)
    }

    /// True if there is a newer message with the key of this one.
    pub(crate) fn is_overtaken(&self, position: u64) -> bool {
        let newest = self.newest.keys.get(&position).and_then(|key| self.newest_with(key));
        newest.is_some_and(|newest| newest > position)
    }

    /// Notes the key of a message that comes in: it is noted until it leaves.
    pub(crate) fn note_key(&mut self, position: u64, key: &str) {
        self.newest.note(position, key);
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::delivery::{Outcome, Reason};
    use forebay_core::message::MessageId;
    use forebay_core::queue::{QueueName, QueueSettings};

    use super::*;
    use crate::bench::Bench;

    fn newest(bench: &Bench) -> QueueName {
        let mut settings = QueueSettings::new(QueueName::new("newest").unwrap());
        settings.newest_by_key = true;
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        settings.name
    }

    fn publish(bench: &Bench, queue: &QueueName, key: &str) {
        let message = Message::new(MessageId::given(key).unwrap(), vec![b'x'; 300].into());
        bench.publish_all(queue, vec![Message { key: Some(key.to_owned()), ..message }]).unwrap();
        bench.write();
    }

    #[test]
    fn what_the_keys_take_is_what_is_told() {
        let keys: Vec<_> = (0..10_000).map(|number| format!("key {number}")).collect();
        for rounds in [1, 3] {
            let mut newest = Newest::default();
            let fill = || {
                let notes = (0..rounds).flat_map(|_| keys.iter()).zip(1..);
                notes.for_each(|(key, position)| newest.note(position, key));
            };
            let taken = allocation_counter::measure(fill).bytes_current as usize;
            assert!(
                (taken * 99 / 100..taken * 5 / 4).contains(&newest.bytes()),
                "{} told of {taken}",
                newest.bytes()
            );
            (1..=rounds * 10_000).for_each(|position| newest.forget(position));
            assert!(newest.keys_bytes == 0 && newest.bytes() < taken / 8, "{} are left", newest.bytes());
        }
    }

    fn noted(bench: &Bench, queue: &QueueName) -> usize {
        let found = bench.engine().topology.find(queue).unwrap();
        let state = found.lock().unwrap();
        assert!(state.newest.by_key.len() <= state.newest.keys.len());
        state.newest.keys.len()
    }

    #[test]
    fn the_key_of_a_message_is_forgotten_when_it_leaves_by_whatever_way() {
        let bench = Bench::new(1_000);
        let q = newest(&bench);
        for outcome in [Outcome::Done, Outcome::DeadLetter(Reason::Rejected)] {
            publish(&bench, &q, "a");
            let delivery = bench.receive(&q).unwrap();
            bench.settle(&delivery, Outcome::Return { seen: false });
            assert_eq!(noted(&bench, &q), 1);
            bench.settle(&bench.receive(&q).unwrap(), outcome);
            assert_eq!(noted(&bench, &q), 0);
        }
        publish(&bench, &q, "a");
        let held = bench.receive(&q).unwrap();
        ["a", "a", "b"].into_iter().for_each(|key| publish(&bench, &q, key));
        assert_eq!(noted(&bench, &q), 3);
        bench.until_ready(bench.engine().purge(&q)).unwrap();
        assert_eq!(noted(&bench, &q), 1, "the one that is held");
        bench.write();
        let bench = bench.crash();
        assert_eq!(noted(&bench, &q), 1);
        publish(&bench, &q, "a");
        bench.settle(&held, Outcome::Return { seen: false });
        assert_eq!((noted(&bench, &q), bench.depth(&q)), (1, 1));
        bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
        bench.write();
        let bench = bench.crash();
        assert_eq!(noted(&bench, &q), 0);
        let plain = bench.queue("plain");
        publish(&bench, &plain, "key");
        assert_eq!(noted(&bench, &plain), 0, "only queues that ask pay for it");
    }

    #[test]
    fn a_message_that_was_carried_behind_newer_ones_is_not_taken_for_the_newest() {
        let bench = Bench::new(1_000);
        let (q, busy) = (newest(&bench), bench.queue("busy"));
        publish(&bench, &q, "a");
        let old = bench.receive(&q).unwrap();
        publish(&bench, &q, "a");
        let oldest = *bench.engine().journal.log.segments().start();
        while *bench.engine().journal.log.segments().start() < oldest + 3 {
            bench.publish(&busy, 300);
            bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
            bench.free();
        }
        let bench = bench.crash();
        bench.settle(&old, Outcome::Return { seen: false });
        assert_eq!(bench.depth(&q), 1, "it gave way to the newer one");
        publish(&bench, &q, "a");
        assert_eq!(bench.depth(&q), 1);
    }

    #[test]
    fn of_two_that_are_held_the_older_gives_way_though_the_newest_of_all_has_left() {
        let bench = Bench::new(1_000);
        let q = newest(&bench);
        let mut held = Vec::new();
        for _ in 0..3 {
            publish(&bench, &q, "a");
            held.extend(bench.receive(&q));
        }
        bench.settle(&held.pop().unwrap(), Outcome::Done);
        bench.settle(&held[0], Outcome::Return { seen: false });
        assert_eq!(bench.depth(&q), 1, "only the other one, which is held");
        bench.settle(&held[1], Outcome::Return { seen: false });
        publish(&bench, &q, "a");
        assert_eq!(bench.depth(&q), 1);
    }

    #[test]
    fn a_message_of_a_key_that_is_published_again_and_again_is_alone() {
        let bench = Bench::new(1_000);
        let q = newest(&bench);
        for _ in 0..1_100 {
            publish(&bench, &q, "a");
            assert_eq!(bench.depth(&q), 1);
        }
    }

    #[test]
    fn what_comes_behind_many_that_have_left_is_known() {
        let bench = Bench::new(1_000);
        let q = newest(&bench);
        for number in 0..1_024 {
            publish(&bench, &q, &format!("key {number}"));
            bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
        }
        publish(&bench, &q, "a");
        publish(&bench, &q, "a");
        assert_eq!(bench.depth(&q), 1);
        assert_eq!(bench.crash().depth(&q), 1);
    }

    fn message(key: &str, dedup_id: Option<&str>, payload: &str) -> Message {
        let message = Message::new(MessageId::given(payload).unwrap(), payload.into());
        Message { key: Some(key.to_owned()), dedup_id: dedup_id.map(str::to_owned), ..message }
    }

    #[test]
    fn an_overtaken_message_that_is_published_once_more_does_not_replace_the_newer_one() {
        for crashes in [false, true] {
            let bench = Bench::new(1_000);
            let q = newest(&bench);
            let older = message("a", Some("1"), "older");
            let newer = message("a", Some("2"), "newer");
            bench.publish_all(&q, vec![message("a", None, "first")]).unwrap();
            bench.publish_all(&q, vec![older.clone(), newer.clone()]).unwrap();
            bench.write();
            let bench = if crashes { bench.crash() } else { bench };
            bench.publish_all(&q, vec![older]).unwrap();
            bench.publish_all(&q, vec![newer]).unwrap();
            assert_eq!(bench.depth(&q), 1);
            assert_eq!(bench.receive(&q).unwrap().message.id.as_str(), "newer");
        }
    }

    #[test]
    fn a_repeated_message_does_not_overtake_a_new_one() {
        let bench = Bench::new(1_000);
        let q = newest(&bench);
        let repeated = message("a", Some("1"), "repeated");
        bench.publish_all(&q, vec![repeated.clone()]).unwrap();
        bench.settle(&bench.receive(&q).unwrap(), Outcome::Done);
        bench.publish_all(&q, vec![message("a", None, "new"), repeated]).unwrap();
        assert_eq!(bench.receive(&q).unwrap().message.id.as_str(), "new");
        assert_eq!(bench.depth(&q), 1);
    }
}
