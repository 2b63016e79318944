//! Moving a message from one queue to another in one atomic record: dead letters, and dead letters sent back.

pub(crate) mod dead_letter;

use std::sync::Arc;

use forebay_core::delivery::{DeliveryId, History};
use forebay_core::error::{Kind, Result};
use forebay_core::payload::Payload;

use crate::engine::Engine;
use crate::records::message::Glance;
use crate::records::{MessageBytes, Record, history, message};
use crate::state::State;
use crate::state::entry::{Entry, NEVER};
use crate::storage::journal::Stored;
use crate::topology::{Locked, Queue};

/// Which message is meant, and in what state it must be to be moved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pick {
    /// The one in this consumer's hands.
    Held(DeliveryId),
    /// The ready one at this position.
    Ready(u64),
}

impl Pick {
    pub(crate) fn position(self) -> u64 {
        match self {
            Self::Held(id) => id.position,
            Self::Ready(position) => position,
        }
    }

    pub(crate) fn find(self, state: &mut State) -> Option<&Entry> {
        match self {
            Self::Held(id) => state.unsettled.held(id.position, id.token).map(|held| &held.entry),
            Self::Ready(position) => state.ready.get_mut(position).map(|entry| &*entry),
        }
    }
}

/// A message as it is sent to other queues.
struct Sent<'a> {
    message: MessageBytes<'a>,
    history: Vec<History>,
    /// Its departure; `None` where it goes back to where it came from, if that takes it.
    line: Option<History>,
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
    /// The other queue takes nothing back, or not this; nothing was changed.
    Refused,
}

impl Engine {
    /// Sends a dead letter back to the queue it came from last, with fresh attempts, unless that is gone or at its
    /// length.
    pub(crate) fn redrive_one(&self, from: &Queue, position: u64) -> Result<Option<u64>> {
        let Some(body) = self.body(from, Pick::Ready(position))? else { return Ok(None) };
        let record = Record::decode(&body)?;
        let history = record.clone().into_history();
        let Some(newest) = history.last() else { return Ok(None) };
        let Ok(to) = self.topology.find(&newest.queue) else { return Ok(None) };
        if to.number == from.number {
            return Ok(None);
        }
        let message = MessageBytes { head: record.message().head, payload: &[] };
        let sent = Sent { message, history, line: None };
        match self.send(from, Pick::Ready(position), &[to], sent)? {
            Moved::Done(sequence) => Ok(Some(sequence)),
            Moved::Gone | Moved::NoDestination | Moved::Refused => Ok(None),
        }
    }

    /// The record that brought the message here, if it is here in that state.
    fn body(&self, queue: &Queue, pick: Pick) -> Result<Option<Payload>> {
        // The lock is given back before anything is read: who cannot read looks again.
        let stored = pick.find(&mut *queue.lock()?).map(Entry::stored);
        match stored {
            Some(stored) => self.body_at(queue, pick, stored),
            None => Ok(None),
        }
    }

    fn body_at(&self, queue: &Queue, pick: Pick, stored: Stored) -> Result<Option<Payload>> {
        match self.read(queue, pick.position(), stored) {
            // It was settled and its segment released since it was seen.
            Err(error) if error.kind() == Kind::NotFound && pick.find(&mut *queue.lock()?).is_none() => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Sends the message to all of these queues, in one step. Its body was read before the locks are taken, and is the same
    /// wherever it has been carried in between. It is written again, so that where it lies it is found under its new name: once
    /// for each queue, and with the last it leaves its own. A queue at its length takes it all the same.
    fn send(&self, from: &Queue, pick: Pick, to: &[Arc<Queue>], sent: Sent<'_>) -> Result<Moved> {
        let mut glance = message::glance(sent.message.head)?;
        if glance.claim.is_none() {
            glance.payload_bytes += sent.message.payload.len();
        }
        let position = pick.position();
        let mut locked = Locked::lock(from, to);
        if to.iter().any(|to| locked.to(to.number).deleted) {
            return Ok(Moved::NoDestination);
        }
        let is_redriven = sent.line.is_none();
        if is_redriven && !to.iter().all(|to| takes_back(locked.to(to.number), &glance)) {
            return Ok(Moved::Refused);
        }
        let present = if locked.from.deleted { None } else { pick.find(&mut locked.from) };
        let Some(entry) = present else { return Ok(Moved::Gone) };
        let at = self.clock.now();
        let mut history = sent.history;
        if let Some(line) = sent.line {
            history::add(&mut history, History { at, attempts: entry.attempts.into(), ..line });
        }
        let count = to.len();
        let mut record = |index: usize, to: &Queue, history: &[History]| {
            let settings = &locked.to(to.number).settings;
            Record::Move {
                from: from.number,
                position,
                to: to.number,
                at,
                expires_at: settings.message_ttl.map(|ttl| at + ttl),
                stays: index + 1 < count,
                is_newest: is_redriven && settings.newest_by_key && glance.key.is_some(),
                history: history.to_vec(),
                message: sent.message,
            }
        };
        let mut records = |history: &[History]| -> Vec<_> {
            to.iter().enumerate().map(|(index, to)| record(index, to, history)).collect()
        };
        let mut all = records(&history);
        while !all.iter().all(|record| self.journal.fits(record)) && history::shorten(&mut history) {
            all = records(&history);
        }
        let stored = self.journal.append_moves(&all)?;
        let last = stored.last().map_or(0, |stored| stored.location.sequence);
        if let Some(claim) = glance.claim {
            let copies = stored.iter().rev().skip(1);
            copies.for_each(|stored| self.journal.claims.keep(stored.location.sequence, claim));
            self.journal.claims.moved(position, last);
        }
        if let Some(left) = locked.from.take(position) {
            self.forget(left);
        }
        for ((to, stored), record) in to.iter().zip(stored).zip(&all) {
            let Record::Move { expires_at, is_newest, .. } = record else { continue };
            let state = locked.to(to.number);
            let mut arrived = Entry::new(stored.location.sequence, stored, at, glance.rank());
            arrived.expire_at(expires_at.unwrap_or(NEVER));
            glance.claim.iter().for_each(|_| arrived.set_claim());
            let key = glance.key.filter(|_| *is_newest);
            key.into_iter().for_each(|key| state.note_key(stored.location.sequence, key));
            state.note_payload(stored.location.sequence, glance.payload_bytes);
            state.arrive(arrived, None, at);
            self.drop_overflow(to, state);
            self.changed(to, state);
        }
        self.changed(from, &mut locked.from);
        Ok(Moved::Done(last))
    }
}

/// Where only the newest of a key is kept, what comes back is not the newest if one is there.
fn takes_back(state: &mut State, glance: &Glance<'_>) -> bool {
    state.waiting_len() < state.settings.length_max
        && state.has_room(glance.payload_bytes as u64)
        && glance.key.is_none_or(|key| state.newest_with(key).is_none())
}

#[cfg(test)]
mod tests {
    use forebay_core::delivery::{Outcome, Reason};
    use forebay_core::error::Error;
    use forebay_core::message::{Message, MessageId};
    use forebay_core::queue::{Overflow, PARKED, QueueName, QueueSettings};

    use super::*;
    use crate::bench::Bench;

    #[test]
    fn a_message_that_goes_while_it_is_being_read_is_gone_and_that_is_no_error() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 300);
        let found = bench.engine().topology.find(&q).unwrap();
        let delivery = bench.receive(&q).unwrap();
        let pick = Pick::Held(delivery.id);
        let stored = pick.find(&mut found.lock().unwrap()).unwrap().stored();
        for _ in 0..100 {
            bench.publish(&q, 300);
        }
        bench.settle(&delivery, Outcome::Done);
        bench.until_ready(bench.engine().purge(&q)).unwrap();
        bench.free();
        assert!(bench.engine().read(&found, delivery.id.position, stored).is_err(), "its segment is gone");
        assert!(bench.engine().body_at(&found, pick, stored).unwrap().is_none());
    }

    #[test]
    fn what_fails_where_it_is_parked_waits_there_and_is_not_written_again() {
        let bench = Bench::new(1_000);
        let parked = bench.queue(PARKED);
        bench.publish(&parked, 300);
        for attempt in 1..5 {
            let delivery = bench.receive(&parked).unwrap();
            assert_eq!(delivery.attempt, attempt, "it is the same message");
            let before = bench.engine().journal.log.stats().bytes;
            bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
            assert!(bench.engine().journal.log.stats().bytes - before < 100);
            assert!(bench.receive(&parked).is_none(), "nobody spins on it");
            assert_eq!(bench.depth(&parked), 1);
            bench.clock.advance(QueueSettings::new(parked.clone()).retry.backoff.longest);
        }
    }

    #[test]
    fn a_late_word_about_an_unreadable_message_leaves_its_next_hold_alone() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 1);
        let first = bench.receive(&q).unwrap();
        bench.settle(&first, Outcome::Return { seen: false });
        let second = bench.receive(&q).unwrap();
        let found = bench.engine().topology.find(&q).unwrap();
        let error = Error::new(Kind::Damaged, "read log record", "a test");
        bench.engine().put_off(&found, Pick::Held(first.id), &error);
        bench.engine().put_off(&found, Pick::Ready(first.id.position), &error);
        assert!(bench.engine().held(&q, second.id).unwrap().is_some());
        bench.settle(&second, Outcome::Done);
    }

    #[test]
    fn dead_letters_find_a_place_in_a_full_log() {
        let bench = Bench::new(12);
        let q = bench.queue("q");
        while bench.try_publish(&q, 300).is_ok() {
            bench.write();
        }
        let message = Message::new(MessageId::given("m").unwrap(), "".into());
        assert_eq!(bench.publish_all(&q, vec![message]), Err(Kind::Full));
        let delivery = bench.receive(&q).unwrap();
        bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
        assert_eq!(bench.depth(&QueueName::new(PARKED).unwrap()), 1);
    }

    fn newest(bench: &Bench) -> QueueName {
        let mut settings = QueueSettings::new(QueueName::new("newest").unwrap());
        settings.newest_by_key = true;
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        settings.name
    }

    fn publish(bench: &Bench, queue: &QueueName, payload: &str) {
        let message = Message::new(MessageId::given("m").unwrap(), payload.into());
        bench.publish_all(queue, vec![Message { key: Some("a".to_owned()), ..message }]).unwrap();
        bench.write();
    }

    fn redrive(bench: &Bench) -> u64 {
        let parked = QueueName::new(PARKED).unwrap();
        bench.until_ready(bench.engine().redrive(&parked, usize::MAX)).unwrap().0
    }

    #[test]
    fn of_dead_letters_with_one_key_one_comes_back_and_is_replaced_by_a_newer_message() {
        for crashes in [false, true] {
            let bench = Bench::new(1_000);
            let q = newest(&bench);
            for payload in ["1", "2"] {
                publish(&bench, &q, payload);
                let delivery = bench.receive(&q).unwrap();
                bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
                bench.write();
            }
            assert_eq!((redrive(&bench), bench.depth(&q)), (1, 1));
            bench.write();
            let bench = if crashes { bench.crash() } else { bench };
            assert_eq!((redrive(&bench), bench.depth(&q)), (0, 1));
            let held = bench.receive(&q).unwrap();
            publish(&bench, &q, "3");
            bench.settle(&held, Outcome::Return { seen: false });
            assert_eq!(bench.depth(&q), 1, "what came back gave way to the newer one");
            assert_eq!(&*bench.receive(&q).unwrap().message.payload, b"3");
        }
    }

    #[test]
    fn what_came_back_is_known_by_its_key_wherever_the_log_has_carried_it_and_its_queue() {
        for released in 1..12 {
            let bench = Bench::new(1_000);
            let (q, busy) = (newest(&bench), bench.queue("busy"));
            let oldest = *bench.engine().journal.log.segments().start();
            let work = || {
                bench.publish(&busy, 300);
                bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
            };
            (0..30).for_each(|_| work());
            publish(&bench, &q, "1");
            let delivery = bench.receive(&q).unwrap();
            bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
            assert_eq!(redrive(&bench), 1);
            while *bench.engine().journal.log.segments().start() < oldest + released {
                work();
                bench.write();
                drop(bench.engine().free_step());
            }
            bench.write();
            let bench = bench.crash();
            publish(&bench, &q, "2");
            assert_eq!(bench.depth(&q), 1, "{released} segments were released");
        }
    }

    #[test]
    fn dead_letters_that_come_in_are_left_alone_where_only_the_newest_of_a_key_is_kept() {
        let bench = Bench::new(1_000);
        let last = newest(&bench);
        let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
        settings.dead_letter = Some(last.clone());
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        for payload in ["1", "2"] {
            publish(&bench, &settings.name, payload);
            let delivery = bench.receive(&settings.name).unwrap();
            bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
        }
        publish(&bench, &last, "3");
        assert_eq!(bench.depth(&last), 3);
        let bench = bench.crash();
        publish(&bench, &last, "4");
        assert_eq!(bench.depth(&last), 3);
    }

    #[test]
    fn dead_letters_beyond_the_length_of_their_queue_drop_its_oldest_where_it_asks_for_that() {
        let bench = Bench::new(1_000);
        let mut last = QueueSettings::new(QueueName::new("last").unwrap());
        (last.length_max, last.overflow) = (2, Overflow::DropHead);
        let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
        settings.dead_letter = Some(last.name.clone());
        for settings in [&last, &settings] {
            bench.engine().topology.declare(&bench.engine().journal, settings, usize::MAX).unwrap();
        }
        for bytes in 1..=5 {
            bench.publish(&settings.name, bytes);
            let delivery = bench.receive(&settings.name).unwrap();
            bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
            bench.write();
        }
        let bench = bench.crash();
        assert_eq!(bench.depth(&last.name), 2);
        assert_eq!(bench.receive(&last.name).unwrap().message.payload.len(), 4);
    }
}
