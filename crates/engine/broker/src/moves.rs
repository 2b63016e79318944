//! Moving a message from one queue to another in one atomic record: dead letters, and dead letters sent back.

use forebay_core::delivery::{DeliveryId, History, Reason};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::queue::{PARKED, QueueName};

use crate::engine::Engine;
use crate::records::{MessageBytes, Record, history};
use crate::state::State;
use crate::state::entry::Entry;
use crate::topology::{Pair, Queue};

/// How often a destination may vanish while a message is on its way before the caller is told.
const DESTINATIONS_MAX: usize = 3;

/// Which message is meant, and in what state it must be to be moved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    /// The one in this consumer's hands.
    Held(DeliveryId),
    /// The ready one at this position.
    Ready(u64),
}

impl Pick {
    fn position(self) -> u64 {
        match self {
            Self::Held(id) => id.position,
            Self::Ready(position) => position,
        }
    }

    fn find(self, state: &mut State) -> Option<&Entry> {
        match self {
            Self::Held(id) => state.unsettled.held(id.position, id.token).map(|held| &held.entry),
            Self::Ready(position) => state.ready.get_mut(position).map(|entry| &*entry),
        }
    }
}

/// What became of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// It is in the other queue once this sequence is durable.
    Done(u64),
    /// It was not where it was thought to be; nothing was changed.
    Gone,
    /// The other queue is gone; nothing was changed.
    NoDestination,
}

impl Engine {
    /// Moves the message to its queue's dead-letter queue, which is declared if it is not there: what was confirmed is
    /// not dropped for want of a destination, nor refused because that is at its length.
    pub(crate) fn dead_letter(
        &self,
        from: &Queue,
        pick: Pick,
        reason: Reason,
        note: Option<&str>,
    ) -> Result<Option<u64>> {
        for _ in 0..DESTINATIONS_MAX {
            let name = match from.lock()?.settings.dead_letter.clone() {
                Some(name) => name,
                None => QueueName::new(PARKED)?,
            };
            let to = self.topology.find_or_declare(&self.journal, &name)?;
            let depart = |entry: &Entry, history: &mut Vec<History>| {
                let newest = History {
                    queue: from.name.clone(),
                    reason,
                    count: 1,
                    at: self.clock.now(),
                    attempts: entry.attempts,
                    note: note.map(str::to_owned),
                };
                history::add(history, newest);
            };
            match self.relocate(from, pick, &to, depart)? {
                Moved::Done(sequence) => {
                    from.state.lock().counts.dead_lettered += 1;
                    return Ok(Some(sequence));
                }
                Moved::Gone => return Ok(None),
                Moved::NoDestination => {}
            }
        }
        Err(Error::new(Kind::Unavailable, "dead-letter message of queue", from.name.to_string()))
    }

    /// Sends a dead letter back to the queue it came from last, with fresh attempts, unless that is gone or at its
    /// length.
    pub(crate) fn redrive_one(&self, from: &Queue, position: u64) -> Result<Option<u64>> {
        let Some(body) = self.body(from, Pick::Ready(position))? else { return Ok(None) };
        let Some(newest) = Record::decode(&body)?.into_history().pop() else { return Ok(None) };
        let Ok(to) = self.topology.find(&newest.queue) else { return Ok(None) };
        let has_room = to.lock().is_ok_and(|state| state.len() < state.settings.length_max);
        if to.number == from.number || !has_room {
            return Ok(None);
        }
        match self.relocate(from, Pick::Ready(position), &to, |_, _| ())? {
            Moved::Done(sequence) => Ok(Some(sequence)),
            Moved::Gone | Moved::NoDestination => Ok(None),
        }
    }

    /// The record that brought the message here, if it is here in that state.
    fn body(&self, queue: &Queue, pick: Pick) -> Result<Option<Payload>> {
        let stored = pick.find(&mut *queue.lock()?).map(Entry::stored);
        stored.map(|stored| self.read(queue, pick.position(), stored)).transpose()
    }

    /// The body is read before the locks are taken, and is the same wherever it has been carried in between. It is
    /// written again, so that where it lies it is found under its new name.
    fn relocate(
        &self,
        from: &Queue,
        pick: Pick,
        to: &Queue,
        depart: impl FnOnce(&Entry, &mut Vec<History>),
    ) -> Result<Moved> {
        let Some(body) = self.body(from, pick)? else { return Ok(Moved::Gone) };
        let record = Record::decode(&body)?;
        let message = MessageBytes { head: record.message().head, payload: &[] };
        let mut history = record.clone().into_history();
        let position = pick.position();
        let mut pair = Pair::lock(from, to);
        if pair.to().deleted {
            return Ok(Moved::NoDestination);
        }
        let present = if pair.from.deleted { None } else { pick.find(&mut pair.from) };
        let Some(entry) = present else { return Ok(Moved::Gone) };
        depart(entry, &mut history);
        let at = self.clock.now();
        let record =
            |history| Record::Move { from: from.number, position, to: to.number, at, history, message };
        while !self.journal.fits(&record(history.clone())) && history::shorten(&mut history) {}
        let stored = self.journal.append_body(&record(history))?;
        if let Some(left) = pair.from.take(position) {
            self.forget(left);
        }
        let sequence = stored.location.sequence;
        pair.to().ready.insert(Entry::new(sequence, stored, at));
        self.changed(to, pair.to());
        self.changed(from, &mut pair.from);
        Ok(Moved::Done(sequence))
    }
}
