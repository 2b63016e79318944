//! One queue of the model, and what it has too much of.

use std::collections::BTreeMap;

use forebay_core::delivery::DeliveryId;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::Message;
use forebay_core::queue::{Overflow, QueueSettings};
use forebay_core::time::Instant;

use super::letter::{HeldLetter, Letter};

pub(super) struct Queue {
    pub(super) settings: QueueSettings,
    /// By place; a message that comes back comes back to its own.
    pub(super) waiting: BTreeMap<u64, Letter>,
    pub(super) held: BTreeMap<DeliveryId, HeldLetter>,
}

impl Queue {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self { settings, waiting: BTreeMap::new(), held: BTreeMap::new() }
    }

    /// A message comes in, and is worth nothing after the queue's time to live.
    pub(super) fn add(&mut self, position: u64, mut letter: Letter, now: Instant) {
        let by_queue = self.settings.message_ttl.map(|ttl| now + ttl);
        letter.expires_at = letter.expires_at.into_iter().chain(by_queue).min();
        self.waiting.insert(position, letter);
    }

    /// `Full`: the queue refuses these messages at its length. `TooLarge`: they are more than it ever takes.
    pub(super) fn check_room(&self, messages: &[Message], now: Instant) -> Result<()> {
        if self.settings.overflow == Overflow::DropHead || messages.is_empty() {
            return Ok(());
        }
        let refuse = |kind| Err(Error::new(kind, "publish to queue", self.settings.name.to_string()));
        let more = messages.len() as u64;
        if more > self.settings.length_max {
            return refuse(Kind::TooLarge);
        }
        let bytes = messages.iter().map(|message| message.payload.len() as u64).sum::<u64>();
        match self.is_beyond(more, bytes, now) {
            true => refuse(Kind::Full),
            false => Ok(()),
        }
    }

    /// Drops the oldest ready messages that are too many, where the settings ask for that.
    pub(super) fn drop_overflow(&mut self, now: Instant) {
        while self.settings.overflow == Overflow::DropHead && self.is_beyond(0, 0, now) {
            let oldest = self.waiting.iter().find(|(_, letter)| letter.is_ready(now));
            let Some(position) = oldest.map(|(position, _)| *position) else { return };
            self.waiting.remove(&position);
        }
    }

    /// Takes out what is worth nothing any more.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Letter> {
        self.waiting.extract_if(.., |_, letter| letter.has_expired(now)).map(|(_, letter)| letter).collect()
    }

    /// When a message that waits becomes ready, or expires, next after `now`.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let times = self.waiting.values().flat_map(|letter| [Some(letter.ready_at), letter.expires_at]);
        times.flatten().filter(|at| *at > now).min()
    }

    fn is_beyond(&self, more: u64, more_bytes: u64, now: Instant) -> bool {
        let ready = self.waiting.values().filter(|letter| letter.is_ready(now));
        let length = match self.settings.overflow {
            Overflow::DropHead => ready.clone().count(),
            Overflow::Reject | Overflow::RejectDeadLetter => self.waiting.len(),
        } as u64;
        let bytes: u64 = ready.map(|letter| letter.message.payload.len() as u64).sum();
        length + more > self.settings.length_max
            || self.settings.length_bytes_max.is_some_and(|max| bytes + more_bytes > max)
    }
}
