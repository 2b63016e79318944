//! A message in this program's hands.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use forebay_core::delivery::{Delivery, End, Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::time::Instant;
use forebay_queue::queues::Queues;

/// A message held for this program, until it is settled or its hold runs out. Dropping it settles nothing.
pub struct Held {
    delivery: Delivery,
    queues: Queues,
}

impl Held {
    pub(crate) fn new(delivery: Delivery, queues: Queues) -> Self {
        Self { delivery, queues }
    }

    /// The body.
    pub fn payload(&self) -> &[u8] {
        &self.delivery.message.payload
    }

    /// The work is done, durably. `NotHeld`: the hold had run out before, and somebody else may have the message.
    pub async fn ack(self) -> Result<Settled> {
        self.queues.settle(&self.delivery.queue, self.delivery.id, End::Acked, None).await
    }

    /// The work failed; says what becomes of the message, `None` if it was no longer held.
    pub async fn fail(self, note: &str) -> Result<Option<Outcome>> {
        self.queues.end(&self.delivery.queue, self.delivery.id, End::Failed, Some(note)).await
    }

    /// The work can never be done: the message is a dead letter at once.
    pub async fn reject(self, note: &str) -> Result<Settled> {
        self.queues.settle(&self.delivery.queue, self.delivery.id, End::Rejected, Some(note)).await
    }

    /// Gives the message back untouched; no attempt is used.
    pub async fn give_back(self) -> Result<Settled> {
        self.queues.settle(&self.delivery.queue, self.delivery.id, End::Returned, None).await
    }

    /// Holds it from now for so long; the new end, `None` if it is no longer held.
    pub async fn extend(&self, hold: Duration) -> Result<Option<Instant>> {
        self.queues.extend(&self.delivery.queue, self.delivery.id, hold).await
    }
}

impl Deref for Held {
    type Target = Delivery;

    fn deref(&self) -> &Delivery {
        &self.delivery
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.delivery.fmt(f)
    }
}
