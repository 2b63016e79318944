//! How deliveries end. What goes on elsewhere, or later, is published anew before the old message is settled: whoever dies in
//! between leaves two of them, never none. In a queue whose order is kept what failed stays in its place.

use std::sync::Arc;

use forebay_core::delivery::{DeliveryId, Outcome, Reason, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::queue::{Order, PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use tokio::sync::oneshot;
use tokio::time;

use crate::inner::Inner;
use crate::queue::commit::{Change, Fate};
use crate::queue::contiguous::Tries;
use crate::queue::letter::Letter;
use crate::queue::{Grip, Queue};

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
        self.check_open(SETTLE)?;
        let Some(queue) = self.known(name) else { return Ok(Settled::NotHeld) };
        if outcome == Outcome::Done {
            let Some(fate) = queue.settle(delivery.position, delivery.token) else {
                return Ok(Settled::NotHeld);
            };
            return self.settled(&queue, fate, false).await;
        }
        let Some(grip) = queue.grip(delivery.position, delivery.token) else { return Ok(Settled::NotHeld) };
        if outcome == (Outcome::Return { seen: false }) {
            grip.put_back();
            return Ok(Settled::Done);
        }
        self.bounded(SETTLE, self.elsewhere(&queue, grip, outcome, note)).await
    }

    /// Carries out what has a message go on.
    async fn elsewhere(
        self: &Arc<Self>,
        queue: &Queue,
        grip: Grip<'_>,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Result<Settled> {
        let now = self.clock.now();
        match outcome {
            Outcome::Done => self.end(queue, grip, Change::Settled, false).await,
            Outcome::Return { .. } => self.again(queue, grip, now).await,
            Outcome::RetryAt(at) => self.again(queue, grip, at.max(now)).await,
            Outcome::DeadLetter(reason) => {
                let Some(letter) = grip.letter().filter(|_| grip.is_ours()).cloned() else {
                    return Ok(Settled::NotHeld);
                };
                let attempts = letter.envelope.attempt();
                self.dead_letter(queue, &letter, reason, attempts, note).await?;
                self.end(queue, grip, Change::Settled, true).await
            }
        }
    }

    /// Commits what has become of a message here.
    pub(crate) async fn end(
        &self,
        queue: &Queue,
        grip: Grip<'_>,
        change: Change,
        copied: bool,
    ) -> Result<Settled> {
        let Some(fate) = grip.begin(change, copied) else { return Ok(Settled::NotHeld) };
        self.settled(queue, fate, copied).await
    }

    /// Waits for the commit. That has an end: whoever commits gives each batch its time, and tells all that wait, or lets go of
    /// them, when it ends itself.
    async fn settled(&self, queue: &Queue, fate: oneshot::Receiver<Fate>, copied: bool) -> Result<Settled> {
        let failed = || Error::new(Kind::Unavailable, SETTLE, queue.name().as_str());
        let fate = fate.await;
        if fate != Ok(Fate::Committed) {
            self.check_open(SETTLE)?;
        }
        match fate {
            Ok(Fate::Committed) => Ok(Settled::Done),
            // Its partition is another process's, which hands it out again; a copy is there besides.
            Ok(Fate::Lost) if copied => Err(failed()),
            Ok(Fate::Lost) => Ok(Settled::NotHeld),
            Ok(Fate::Failed | Fate::Unsure) => Err(failed().because("the commit was not answered")),
            Err(_) => Err(failed()),
        }
    }

    /// Has it come again, with its attempts counted.
    async fn again(&self, queue: &Queue, grip: Grip<'_>, at: Instant) -> Result<Settled> {
        let Some(letter) = grip.letter().filter(|_| grip.is_ours()).cloned() else {
            return Ok(Settled::NotHeld);
        };
        let attempts = letter.envelope.attempt();
        if queue.settings.order == Order::Key && letter.key().is_some() {
            let tries = Tries { attempts, due_ms: at.as_ms() };
            return self.end(queue, grip, Change::Tried(tries), false).await;
        }
        let (envelope, origin) = letter.again();
        let envelope = Envelope { attempts, due: at, ..envelope };
        self.put(queue, vec![(envelope, origin)], SETTLE).await?;
        self.end(queue, grip, Change::Settled, true).await
    }

    /// Publishes it where dead letters of the queue go.
    async fn dead_letter(
        &self,
        queue: &Queue,
        letter: &Letter,
        reason: Reason,
        attempts: u32,
        note: Option<&str>,
    ) -> Result<()> {
        let parked = QueueName::new(PARKED)?;
        let to = queue.settings.dead_letter.as_ref().unwrap_or(&parked);
        let destination = match self.queue(to, SETTLE).await {
            Err(error) if error.kind() == Kind::NotFound => {
                self.declare(&QueueSettings::new(to.clone())).await?
            }
            found => found?,
        };
        let left = letter.envelope.leave(queue.name(), reason, attempts, note, self.clock.now());
        self.put(&destination, vec![(left, None)], SETTLE).await?;
        self.mark_gone(queue, letter.gone(), SETTLE).await
    }
}

/// A message past its time to live: it goes to the dead-letter queue, if its queue has one, and is not retained. If that fails
/// it lies here as before.
pub(crate) async fn expire(inner: Arc<Inner>, queue: Arc<Queue>, letter: Arc<Letter>, generation: u64) {
    const EXPIRE: &str = "expire message";
    let leave = async {
        if queue.settings.dead_letter.is_some() {
            let attempts = letter.envelope.attempts;
            inner.dead_letter(&queue, &letter, Reason::Expired, attempts, None).await
        } else {
            inner.mark_gone(&queue, letter.gone(), EXPIRE).await
        }
    };
    if let Err(error) = inner.bounded(EXPIRE, leave).await {
        tracing::warn!(queue = %queue.name(), %error, "kafka: an expired message stays where it is");
        // Whoever receives meets it again at once.
        time::sleep(limits::PAUSE).await;
        queue.change(|shelf| shelf.put_back(letter, generation));
        return;
    }
    // What nobody holds stays settled, and goes with a later commit if this one fails.
    drop(queue.finish(letter, generation).await);
}
