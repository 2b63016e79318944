//! How deliveries end. What goes on elsewhere, or later, is sent anew before the old message is deleted: whoever dies in
//! between leaves two of them, never none. Where order is kept a message stays in its place instead, hidden.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome, Reason, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;

use crate::inner::Inner;
use crate::queue::shelf::Letter;
use crate::queue::{Grip, Queue, acks};
use crate::wire::Change;

const SETTLE: &str = "settle delivery";

impl Inner {
    /// Carries out the outcome of a held delivery.
    pub(crate) async fn settle(
        self: &Arc<Self>,
        name: &QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Result<Settled> {
        let Some(queue) = self.known(name) else { return Ok(Settled::NotHeld) };
        let now = self.clock.now();
        let Some(grip) = queue.grip(delivery.position, delivery.token, now) else {
            return Ok(Settled::NotHeld);
        };
        match outcome {
            Outcome::Done => return self.end(&queue, grip, false).await,
            Outcome::Return { seen: false } => {
                return self.put_back(&queue, grip, Duration::ZERO, true).await;
            }
            Outcome::Return { seen: true } | Outcome::RetryAt(_) if queue.is_ordered() => {
                let wait = if let Outcome::RetryAt(at) = outcome { at.since(now) } else { Duration::ZERO };
                let hide = hidden(wait, now.since(grip.letter.received_at)).ok_or_else(|| {
                    let context = format!("{name}: where order is kept a retry waits at most 11 hours");
                    Error::new(Kind::Unsupported, SETTLE, context)
                })?;
                return self.put_back(&queue, grip, hide, false).await;
            }
            Outcome::Return { seen: true } => self.again(&queue, &grip, now).await?,
            Outcome::RetryAt(at) => self.again(&queue, &grip, at.max(now)).await?,
            Outcome::DeadLetter(reason) => {
                self.dead_letter(&queue, &grip.letter, reason, grip.attempt, note).await?;
            }
        }
        self.end(&queue, grip, true).await
    }

    /// Deletes the old message. `copied`: it goes on elsewhere.
    pub(crate) async fn end(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        grip: Grip<'_>,
        copied: bool,
    ) -> Result<Settled> {
        let deleted = acks::delete(self, queue, &grip.letter).await;
        match deleted.map_err(|refusal| refusal.during(SETTLE, queue.settings.name.as_str())) {
            Ok(true) => {
                if !copied {
                    self.drop_claim(&grip.letter).await;
                }
                grip.finish();
                Ok(Settled::Done)
            }
            // It was no longer ours: SQS hands it out again.
            Ok(false) => {
                grip.finish();
                if copied {
                    Err(Error::new(Kind::Unavailable, SETTLE, queue.settings.name.as_str()))
                } else {
                    Ok(Settled::NotHeld)
                }
            }
            Err(error) if error.kind() == Kind::NotFound => {
                self.forget(&queue.settings.name);
                Ok(Settled::NotHeld)
            }
            Err(error) => Err(error),
        }
    }

    /// Leaves it in its place, to be handed out again after so long.
    async fn put_back(
        &self,
        queue: &Queue,
        grip: Grip<'_>,
        hide: Duration,
        untouched: bool,
    ) -> Result<Settled> {
        let change = [Change { receipt: grip.letter.receipt.clone(), hide }];
        // What was said before has arrived then, and nothing more is said.
        queue.change_quietly(|shelf| shelf.hide(grip.letter.number));
        drop(queue.hiding.lock().await);
        let changed = self.wire.change_surely(&queue.url, &change).await;
        let ours = changed.map_err(|refusal| refusal.during(SETTLE, queue.settings.name.as_str()))?;
        let ours = ours.first().copied().unwrap_or(false);
        if ours && untouched {
            queue.change_quietly(|shelf| shelf.gave_back(&grip.letter));
        }
        grip.finish();
        Ok(if ours { Settled::Done } else { Settled::NotHeld })
    }

    /// Sends it for its next attempt.
    async fn again(&self, queue: &Queue, grip: &Grip<'_>, at: Instant) -> Result<()> {
        let envelope = Envelope { attempts: grip.attempt, due: at, ..grip.letter.envelope.clone() };
        self.put(queue, vec![(envelope, grip.letter.claim.clone())], SETTLE).await
    }

    /// Sends it where dead letters of the queue go.
    pub(crate) async fn dead_letter(
        &self,
        queue: &Queue,
        letter: &Letter,
        reason: Reason,
        attempts: u32,
        note: Option<&str>,
    ) -> Result<()> {
        let parked = QueueName::new(PARKED)?;
        let to = queue.settings.dead_letter.as_ref().unwrap_or(&parked);
        let left = letter.envelope.leave(&queue.settings.name, reason, attempts, note, self.clock.now());
        let left = vec![(left, letter.claim.clone())];
        let destination = self.destination(to).await?;
        match self.put(&destination, left.clone(), SETTLE).await {
            // It was deleted since it was last seen.
            Err(error) if error.kind() == Kind::NotFound => {
                self.put(&*self.destination(to).await?, left, SETTLE).await
            }
            put => put,
        }
    }

    async fn destination(&self, to: &QueueName) -> Result<Arc<Queue>> {
        match self.queue(to, SETTLE).await {
            Err(error) if error.kind() == Kind::NotFound => {
                self.declare(&QueueSettings::new(to.clone())).await
            }
            found => found,
        }
    }

    async fn drop_claim(&self, letter: &Letter) {
        if let (Some(claim), Some(claims)) = (&letter.claim, &self.claims) {
            claims.remove(claim).await;
        }
    }
}

/// For how long a message is hidden that waits so long, having been received so long ago: whole seconds, and not too early, but
/// no longer than SQS lets it be away. `None` if it waits longer than any can.
fn hidden(wait: Duration, since_received: Duration) -> Option<Duration> {
    let seconds = |time: Duration| Duration::from_secs(time.as_millis().div_ceil(1_000) as u64);
    let room = limits::sqs::IN_FLIGHT_MAX.saturating_sub(seconds(since_received));
    (wait <= limits::sqs::HIDDEN_MAX).then(|| seconds(wait).min(room))
}

/// A message past its time to live: it goes to the dead-letter queue, if its queue has one, or is dropped. If that fails SQS
/// hands it out again, and it is tried again then.
pub(crate) async fn expire(inner: Arc<Inner>, queue: Arc<Queue>, letter: Arc<Letter>) {
    let kept = queue.settings.dead_letter.is_some();
    if kept {
        let attempts = letter.envelope.attempts;
        let sent = inner.dead_letter(&queue, &letter, Reason::Expired, attempts, None).await;
        if let Err(error) = sent {
            tracing::warn!(queue = %queue.settings.name, %error, "sqs: an expired message stays where it is");
            queue.change(|shelf| shelf.remove(letter.number));
            return;
        }
    }
    let deleted = acks::delete(&inner, &queue, &letter).await;
    if matches!(deleted, Ok(true)) && !kept {
        inner.drop_claim(&letter).await;
    }
    queue.change(|shelf| shelf.remove(letter.number));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_retry_in_its_place_waits_as_long_as_sqs_lets_it_and_no_longer_is_promised() {
        let short = Duration::from_millis(1_200);
        assert_eq!(hidden(short, HOUR * 2), Some(Duration::from_secs(2)), "never too early");
        assert_eq!(hidden(HOUR * 11, HOUR / 2), Some(HOUR * 11));
        let late = hidden(HOUR * 11, HOUR * 2 + short).unwrap();
        assert!(late + HOUR * 2 + short < HOUR * 12 && late > HOUR * 10 - HOUR / 10, "{late:?}");
        assert_eq!(hidden(HOUR * 11, HOUR * 13), Some(Duration::ZERO));
        assert_eq!(hidden(HOUR * 11 + short, Duration::ZERO), None);
    }
}
