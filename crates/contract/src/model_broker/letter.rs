//! A message in a queue of the model, and how it leaves.

use std::sync::Arc;

use forebay_core::delivery::{Delivery, DeliveryId, History, Reason};
use forebay_core::limits;
use forebay_core::message::Message;
use forebay_core::queue::{QueueName, RetryPolicy};
use forebay_core::time::Instant;

/// A message that waits.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) message: Arc<Message>,
    /// Attempts that count.
    pub(super) attempts: u32,
    pub(super) ready_at: Instant,
    pub(super) expires_at: Option<Instant>,
    pub(super) published_at: Instant,
    pub(super) history: Vec<History>,
}

/// A message in somebody's hands.
pub(super) struct HeldLetter {
    pub(super) letter: Letter,
    pub(super) until: Instant,
    /// Until when it stays with whoever was offered it after its hold ran out.
    pub(super) offered_until: Option<Instant>,
}

impl HeldLetter {
    pub(super) fn due(&self) -> Instant {
        self.offered_until.unwrap_or(self.until)
    }
}

impl Letter {
    /// As it comes into a queue.
    pub(super) fn new(message: Message, now: Instant) -> Self {
        Self {
            attempts: 0,
            ready_at: message.not_before.unwrap_or(now),
            expires_at: message.expires_at,
            published_at: now,
            history: Vec::new(),
            message: Arc::new(message),
        }
    }

    pub(super) fn is_ready(&self, now: Instant) -> bool {
        self.ready_at <= now
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.is_ready(now) && self.expires_at.is_some_and(|at| at <= now)
    }

    pub(super) fn deliver(
        &self,
        id: DeliveryId,
        queue: &QueueName,
        retry: RetryPolicy,
        held_until: Instant,
    ) -> Delivery {
        Delivery {
            id,
            queue: queue.clone(),
            message: self.message.clone(),
            attempt: self.attempts + 1,
            retry,
            held_until,
            published_at: self.published_at,
            history: self.history.clone(),
        }
    }

    /// Writes its departure into the history, and begins anew.
    pub(super) fn leave(&mut self, queue: &QueueName, reason: Reason, note: Option<&str>, at: Instant) {
        let attempts = std::mem::take(&mut self.attempts);
        let same = |entry: &History| entry.queue == *queue && entry.reason == reason;
        let count = self.history.iter().find(|entry| same(entry)).map_or(0, |entry| entry.count) + 1;
        self.history.retain(|entry| !same(entry));
        let note = note.map(str::to_owned);
        let line = History::new(queue.clone(), reason, at, attempts);
        self.history.push(History { count, note, ..line });
        if self.history.len() > limits::HISTORY_ENTRIES_MAX {
            self.history.remove(0);
        }
        (self.ready_at, self.expires_at) = (at, None);
    }
}
