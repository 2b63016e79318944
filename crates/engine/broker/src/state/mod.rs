//! The state of one queue, and the steps by which it changes.
//!
//! Each record of the log is one of these steps. A running broker appends the record and takes the step, under the
//! queue's lock; recovery takes the same steps from the records.

pub(crate) mod entry;
pub(crate) mod finished;
mod lines;
mod list;
pub(crate) mod marks;
pub(crate) mod newest;
pub(crate) mod ready;
pub(crate) mod unsettled;

use forebay_core::message::Message;
use forebay_core::queue::{Order, Overflow, QueueSettings, Retain};
use forebay_core::stats::QueueStats;
use forebay_core::time::Instant;

use crate::records::Status;
use crate::storage::journal::Stored;
use entry::Entry;
use finished::Finished;
use marks::Marks;
use newest::Newest;
use ready::Ready;
use unsettled::{Hold, Unsettled};

/// One queue's messages and settings.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: QueueSettings,
    /// The record that declares it; `None` only while recovery has not come to it yet.
    pub(crate) declared: Option<Stored>,
    /// Set under the lock when the queue is removed; nothing may be appended for it any more.
    pub(crate) deleted: bool,
    /// Nothing is handed out.
    pub(crate) paused: bool,
    pub(crate) ready: Ready,
    pub(crate) unsettled: Unsettled,
    /// Dedup ids of messages that came lately, also of those that have left.
    pub(crate) marks: Marks,
    pub(crate) finished: Finished,
    pub(crate) newest: Newest,
    /// When the timers will look at this queue.
    pub(crate) alarm: Option<Instant>,
    /// What was counted since the start; the depths in it are not kept up.
    pub(crate) counts: QueueStats,
}

impl State {
    pub(crate) fn new(settings: QueueSettings, declared: Option<Stored>) -> Self {
        let mut state = Self {
            ready: Ready::new(settings.priority_max),
            settings,
            declared,
            deleted: false,
            paused: false,
            unsettled: Unsettled::default(),
            marks: Marks::default(),
            finished: Finished::default(),
            newest: Newest::default(),
            alarm: None,
            counts: QueueStats::default(),
        };
        state.keep_order();
        state
    }

    /// Recovery has come to the queue's declaration.
    pub(crate) fn declare(&mut self, settings: QueueSettings, paused: bool, declared: Stored) {
        self.ready.tell_apart(settings.priority_max);
        self.settings = settings;
        self.paused = paused;
        self.declared = Some(declared);
    }

    /// From now on the steps keep the order that the settings ask for. Recovery does not know these from the beginning,
    /// and takes its steps as they were taken.
    pub(crate) fn keep_order(&mut self) {
        self.ready.settle_order();
        if self.settings.length_bytes_max.is_none() {
            self.ready.forget_other_payloads(std::iter::empty());
        }
        if self.settings.order == Order::Key {
            self.ready.keep_keys_in_order();
            self.unsettled
                .iter_mut()
                .filter(|entry| is_between_attempts(entry))
                .for_each(|entry| self.ready.hold(entry));
        }
    }

    /// All messages, ready, held and delayed; finished ones do not count.
    pub(crate) fn len(&self) -> u64 {
        (self.ready.len() + self.unsettled.held_len() + self.unsettled.delayed_len()) as u64
    }

    /// All of them but those in consumers' hands.
    pub(crate) fn waiting_len(&self) -> u64 {
        (self.ready.len() + self.unsettled.delayed_len()) as u64
    }

    /// A message has come, or is to be tried again: ready now or at a later time.
    pub(crate) fn arrive(&mut self, mut entry: Entry, not_before: Option<Instant>, now: Instant) {
        match not_before.filter(|at| *at > now) {
            // What its publisher delays lets others of its key pass.
            Some(at) if entry.attempts == 0 => self.unsettled.delay(entry, at),
            Some(at) => self.wait(entry, at),
            None => {
                self.ready.release(&mut entry);
                self.ready.insert(entry);
            }
        }
    }

    /// It waits until then, and others of its key wait for it.
    fn wait(&mut self, mut entry: Entry, until: Instant) {
        self.ready.hold(&mut entry);
        self.unsettled.delay(entry, until);
    }

    /// It is in a consumer's hands.
    pub(crate) fn hold(&mut self, mut entry: Entry, token: u32, until: Instant) {
        self.ready.hold(&mut entry);
        self.unsettled.hold(entry, token, until);
    }

    /// It is left alone until then, in its place.
    pub(crate) fn put_off(&mut self, position: u64, until: Instant) {
        self.lift(position).into_iter().for_each(|entry| self.wait(entry, until));
    }

    /// It goes into a consumer's hands. False if it is not here.
    pub(crate) fn deliver(&mut self, position: u64, attempt: u32, token: u32, until: Instant) -> bool {
        let Some(mut entry) = self.lift(position) else { return false };
        entry.attempts = counted(attempt);
        self.hold(entry, token, until);
        true
    }

    /// It is tried again from `at`.
    pub(crate) fn retry(&mut self, position: u64, at: Instant, now: Instant) -> bool {
        let Some(entry) = self.lift(position) else { return false };
        self.arrive(entry, Some(at), now);
        true
    }

    /// It is ready in its old place, and the attempt counts only if its consumer has seen it.
    pub(crate) fn give_back(&mut self, position: u64, seen: bool) -> bool {
        let Some(mut entry) = self.lift(position) else { return false };
        entry.attempts = entry.attempts.saturating_sub(u16::from(!seen));
        self.ready.insert(entry);
        true
    }

    /// The process has ended for whose life messages were held: they are ready in their old places. What a newer one has
    /// overtaken has run out, and is left to whoever settles such.
    pub(crate) fn end_holds_of_process(&mut self, now: Instant) {
        let mut held: Vec<_> = self.unsettled.of_process().collect();
        held.sort_unstable();
        for position in held {
            if self.is_overtaken(position) {
                self.unsettled.extend(position, now);
            } else {
                self.give_back(position, true);
            }
        }
    }

    /// It leaves, from wherever it is.
    pub(crate) fn take(&mut self, position: u64) -> Option<Entry> {
        self.newest.forget(position);
        let taken = self.lift(position);
        self.ready.forget_payload(position);
        taken
    }

    /// It goes from one place in the queue to another.
    fn lift(&mut self, position: u64) -> Option<Entry> {
        let waiting = self.unsettled.release(position).or_else(|| self.unsettled.undelay(position));
        let mut entry = waiting.or_else(|| self.ready.remove(position))?;
        self.ready.release(&mut entry);
        Some(entry)
    }

    /// All ready and delayed messages leave.
    pub(crate) fn purge(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let mut leaving = self.ready.clear().chain(self.unsettled.clear_delayed());
        for held in self.unsettled.iter_mut() {
            held.set_holds_key(false);
            self.ready.hold(held);
        }
        self.ready.forget_other_payloads(self.unsettled.iter().map(|held| held.position));
        let staying = self.newest.of(self.unsettled.iter());
        let newest = std::mem::replace(&mut self.newest, staying);
        std::iter::from_fn(move || {
            // What was noted goes with them, when the queue is free for others again.
            let _ = &newest;
            leaving.next()
        })
    }

    /// The message and where it is.
    pub(crate) fn find(&mut self, position: u64) -> Option<(&mut Entry, Status)> {
        let ready = &mut self.ready;
        let finished = &mut self.finished;
        let waiting = self.unsettled.find(position);
        waiting
            .or_else(|| ready.get_mut(position).map(|entry| (entry, Status::Ready)))
            .or_else(|| finished.get_mut(position).map(|entry| (entry, Status::Finished)))
    }

    /// Every entry that has a body in the log, in no particular order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.ready.iter().chain(self.unsettled.iter()).chain(self.finished.after(0))
    }

    /// Until when a message that was published then is kept once it is finished.
    pub(crate) fn retained_until(&self, published_at: Instant) -> Option<Instant> {
        match self.settings.retain {
            Retain::Nothing => None,
            Retain::For(time) => Some(published_at + time),
        }
    }

    /// Takes the oldest finished message whose time is over.
    pub(crate) fn pop_unretained(&mut self, now: Instant) -> Option<Entry> {
        let oldest = self.finished.oldest()?.published_at();
        if self.retained_until(oldest).is_some_and(|until| until > now) {
            return None;
        }
        self.finished.pop_oldest()
    }

    /// True while the consumer's own hold has not been offered to others.
    pub(crate) fn is_held(&self, position: u64, token: u32) -> bool {
        self.unsettled.held(position, token).is_some_and(|held| held.hold == Hold::Running)
    }

    /// True if there may be something to be handed out.
    pub(crate) fn has_next(&self) -> bool {
        !self.paused && self.ready.head().is_some()
    }

    /// True if the next to be delivered is past its time to live.
    pub(crate) fn head_has_expired(&self, now: Instant) -> bool {
        self.ready.head().is_some_and(|head| head.expires_at() <= now)
    }

    /// When a message that is published now expires: its own time, or that of the queue.
    pub(crate) fn expires_at(&self, message: &Message, now: Instant) -> Option<Instant> {
        let by_queue = self.settings.message_ttl.map(|ttl| now + ttl);
        message.expires_at.into_iter().chain(by_queue).min()
    }

    /// True if the ready messages have no more bytes of payload than they may when so many are added to them.
    pub(crate) fn has_room(&self, more: u64) -> bool {
        self.settings
            .length_bytes_max
            .is_none_or(|max| self.ready.payload_bytes().saturating_add(more) <= max)
    }

    /// Notes how long the payload of a message is that is about to come, where that counts. Recovery notes all until it has
    /// come to the declaration.
    pub(crate) fn note_payload(&mut self, position: u64, bytes: usize) {
        if self.settings.length_bytes_max.is_some() || self.declared.is_none() {
            self.ready.note_payload(position, bytes);
        }
    }

    /// True if the queue has more than it may, and gives up its oldest messages for that.
    pub(crate) fn is_over(&self) -> bool {
        self.settings.overflow == Overflow::DropHead
            && (self.ready.len() as u64 > self.settings.length_max || !self.has_room(0))
    }

    /// The message that is to go first through the dead-letter exchange because the queue has more than it may.
    pub(crate) fn to_be_shed(&self) -> Option<u64> {
        let sheds = self.settings.dead_letter_exchange.is_some() && self.is_over();
        self.ready.least().filter(|_| sheds).map(|least| least.position)
    }

    /// When something in this queue comes to its time next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let expiry = self.ready.head().map(|head| head.expires_at()).filter(|at| *at != entry::NEVER);
        let oldest = self.finished.oldest().and_then(|entry| self.retained_until(entry.published_at()));
        // Once a second is often enough for what is only forgotten.
        let retained = oldest.map(|at| Instant::from_ms(at.as_ms().next_multiple_of(1_000)));
        let overflow = self.to_be_shed().map(|_| Instant::from_ms(0));
        [self.unsettled.next_due(), expiry, retained, overflow].into_iter().flatten().min()
    }

    pub(crate) fn stats(&self, now: Instant) -> QueueStats {
        let oldest = self.ready.oldest().map_or(now, Entry::published_at);
        QueueStats {
            ready: self.ready.len() as u64,
            held: self.unsettled.held_len() as u64,
            delayed: self.unsettled.delayed_len() as u64,
            retained: self.finished.len() as u64,
            oldest_ms: u64::try_from(now.since(oldest).as_millis()).unwrap_or(u64::MAX),
            ..self.counts
        }
    }
}

/// True of what was delivered and has not ended: held, or waiting for its next attempt.
fn is_between_attempts(entry: &Entry) -> bool {
    entry.attempts > 0
}

/// Attempts as an entry counts them.
pub(crate) fn counted(attempts: u32) -> u16 {
    u16::try_from(attempts).unwrap_or(u16::MAX)
}
