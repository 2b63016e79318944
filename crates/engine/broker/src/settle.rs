//! Ending deliveries, and prolonging them.

use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome};
use forebay_core::error::Result;
use forebay_core::ports::broker::Held;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::engine::Engine;
use crate::moves::Pick;
use crate::records::Record;

impl Engine {
    /// Carries out the outcome and returns the sequence that makes it durable; `None` if the delivery is not held.
    /// One whose hold has run out and was not settled yet still counts as held: the late word of its consumer is worth
    /// more than a guess.
    pub(crate) fn settle(
        &self,
        name: &QueueName,
        id: DeliveryId,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Result<Option<u64>> {
        let found = self.topology.find(name)?;
        let DeliveryId { position, token } = id;
        let queue = found.number;
        if let Outcome::DeadLetter(reason) = outcome {
            return self.dead_letter(&found, Pick::Held(id), reason, note);
        }
        let mut state = found.lock()?;
        if state.unsettled.held(position, token).is_none() {
            return Ok(None);
        }
        let at = match outcome {
            Outcome::Return | Outcome::RetryAt(_) if state.is_overtaken(position) => {
                let at = self.journal.append(&Record::Settle { queue, position })?;
                state.take(position).into_iter().for_each(|entry| self.forget(entry));
                state.counts.dropped += 1;
                at
            }
            Outcome::Done | Outcome::DeadLetter(_) => {
                let at = self.finish(queue, &mut state, position)?;
                state.counts.acked += 1;
                at
            }
            Outcome::Return => {
                let at = self.journal.append(&Record::Return { queue, position })?;
                state.give_back(position);
                at
            }
            Outcome::RetryAt(until) => {
                let at = self.journal.append(&Record::Retry { queue, position, at: until })?;
                state.retry(position, until, self.clock.now());
                state.counts.retried += 1;
                at
            }
        };
        self.changed(&found, &mut state);
        Ok(Some(at.sequence))
    }

    /// What is known of the delivery while it is held. Nothing is read for it: a message that cannot be read can still be
    /// settled.
    pub(crate) fn held(&self, name: &QueueName, id: DeliveryId) -> Result<Option<Held>> {
        let queue = self.topology.find(name)?;
        let state = queue.lock()?;
        let held = state.unsettled.held(id.position, id.token);
        let retry = state.settings.retry;
        Ok(held.map(|held| Held { attempt: held.entry.attempts.into(), retry, held_until: held.until }))
    }

    /// Holds the delivery for longer; not once its end has been offered to somebody else.
    pub(crate) fn extend(&self, name: &QueueName, id: DeliveryId, hold: Duration) -> Result<Option<Instant>> {
        let queue = self.topology.find(name)?;
        let mut state = queue.lock()?;
        if !state.is_held(id.position, id.token) {
            return Ok(None);
        }
        let held_until = self.clock.now() + hold;
        // Like the delivery itself, this is not waited for: without it the hold ends earlier after a crash.
        self.journal.append(&Record::Extend { queue: queue.number, position: id.position, held_until })?;
        state.unsettled.extend(id.position, held_until);
        self.changed(&queue, &mut state);
        Ok(Some(held_until))
    }
}
