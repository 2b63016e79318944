//! How deliveries end. What goes on elsewhere, or later, is published anew before the old message is acknowledged: whoever
//! dies in between leaves two of them, never none.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome, Reason, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{Order, PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use futures_util::future::try_join_all;
use lapin::options::BasicAckOptions;

use crate::inner::Inner;
use crate::queue::letter::Letter;
use crate::queue::names::Lane;
use crate::queue::told::{Batch, Fate, Word};
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
        let Some(grip) = queue.grip(delivery.position, delivery.token) else { return Ok(Settled::NotHeld) };
        let now = self.clock.now();
        match outcome {
            Outcome::Done => {}
            Outcome::Return { seen: false } => {
                grip.put_back();
                return Ok(Settled::Done);
            }
            Outcome::Return { seen: true } => self.again(&queue, &grip, now).await?,
            Outcome::RetryAt(at) => self.again(&queue, &grip, at.max(now)).await?,
            Outcome::DeadLetter(reason) => {
                let attempts = grip.letter().envelope.attempt();
                self.dead_letter(&queue, &grip.letter().envelope, reason, attempts, note).await?;
            }
        }
        let copied = outcome != Outcome::Done;
        self.end(&queue, grip, copied).await
    }

    /// Acknowledges the old message.
    pub(crate) async fn end(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        grip: Grip<'_>,
        copied: bool,
    ) -> Result<Settled> {
        let (letter, epoch) = grip.give();
        match self.ack(queue, letter, epoch).await? {
            true => Ok(Settled::Done),
            // Its channel is gone: the server hands it out again.
            false if copied => Err(Error::new(Kind::Unavailable, SETTLE, queue.settings.name.as_str())),
            false => Ok(Settled::NotHeld),
        }
    }

    /// Whether the server was told. RabbitMQ answers nothing to that: should the connection end now, the message comes again.
    /// What was gripped is let go.
    async fn ack(self: &Arc<Self>, queue: &Arc<Queue>, letter: Arc<Letter>, epoch: u64) -> Result<bool> {
        let Some((fate, is_first)) = queue.change_quietly(|shelf| shelf.settle(letter, epoch)) else {
            return Ok(false);
        };
        if is_first {
            self.run(tell(self.clone(), queue.clone(), epoch));
        }
        // What waits after the close is seen to by nobody.
        self.check_open(SETTLE)?;
        match fate.await {
            Ok(Fate::Told) => Ok(true),
            Ok(Fate::Unsure) => Err(Error::new(Kind::Unavailable, SETTLE, self.settings.address())),
            Ok(Fate::Lost) | Err(_) => self.check_open(SETTLE).map(|()| false),
        }
    }

    /// Publishes it for its next attempt.
    async fn again(&self, queue: &Queue, grip: &Grip<'_>, at: Instant) -> Result<()> {
        let letter = grip.letter();
        let envelope = Envelope { attempts: letter.envelope.attempt(), due: at, ..letter.envelope.clone() };
        if queue.settings.order != Order::Key || letter.key().is_none() {
            let lane = if letter.lane == Lane::Again { Lane::Class(0) } else { letter.lane };
            return self.put(queue, vec![(lane, envelope)], SETTLE).await;
        }
        let expected = Expected::of(queue, letter.key());
        self.put(queue, vec![(Lane::Again, envelope)], SETTLE).await?;
        expected.comes();
        Ok(())
    }

    /// Publishes it where dead letters of the queue go.
    async fn dead_letter(
        &self,
        queue: &Queue,
        envelope: &Envelope,
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
        let left = envelope.leave(&queue.settings.name, reason, attempts, note, self.clock.now());
        let lane = destination.lane(left.message.priority);
        self.put(&destination, vec![(lane, left)], SETTLE).await
    }

    /// What was to be done with a letter that is in nobody's hands has failed: waits a while, and says whether to try again,
    /// which is as long as its channel is there. Nobody is handed it meanwhile: its time may not have come, or be over.
    async fn tries_again(
        &self,
        queue: &Queue,
        letter: &Letter,
        epoch: u64,
        pause: &mut Duration,
        error: Error,
    ) -> bool {
        tracing::warn!(queue = %queue.settings.name, %error, "rabbitmq: a message stays where it is");
        self.clock.sleep_until(self.clock.now() + *pause).await;
        *pause = (*pause * 2).min(limits::rabbitmq::AGAIN_MAX);
        let is_ours = queue.look(|shelf| shelf.epoch() == epoch);
        if !is_ours {
            queue.change(|shelf| shelf.holds.let_go(letter.number));
        }
        is_ours
    }
}

/// Tells the server of what is settled, until nothing of it waits. If that fails the channel is given up: what came over it
/// comes again.
async fn tell(inner: Arc<Inner>, queue: Arc<Queue>, epoch: u64) {
    while let Some(batch) = queue.change_quietly(|shelf| shelf.batch(epoch)) {
        let fate = tell_batch(&inner, &queue, &batch).await;
        queue.change(|shelf| shelf.told(batch, fate));
        if fate != Fate::Told {
            inner.drop_channel(&queue, epoch);
        }
    }
}

async fn tell_batch(inner: &Inner, queue: &Queue, batch: &Batch) -> Fate {
    let Some(link) = inner.link_now() else { return Fate::Lost };
    let word = |Word { letter, multiple }: &Word| {
        let (acker, options) = (letter.acker.clone(), BasicAckOptions { multiple: *multiple });
        async move { acker.ack(options).await }
    };
    match link.ask(try_join_all(batch.words.iter().map(word))).await {
        Ok(told) if told.iter().all(|told| *told) => Fate::Told,
        Ok(told) if !told.contains(&true) => Fate::Lost,
        Ok(_) => Fate::Unsure,
        Err(refusal) => {
            tracing::debug!(queue = %queue.settings.name, ?refusal, "rabbitmq: acknowledging");
            Fate::Unsure
        }
    }
}

/// A copy of which it is not known yet whether it comes. If whoever sends it fails, or goes away meanwhile, it does not: others
/// of its key would wait for it for ever.
struct Expected<'a> {
    queue: &'a Queue,
    key: Option<&'a str>,
}

impl<'a> Expected<'a> {
    fn of(queue: &'a Queue, key: Option<&'a str>) -> Self {
        queue.change(|shelf| shelf.expect(key));
        Self { queue, key }
    }

    fn comes(mut self) {
        self.key = None;
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.queue.change(|shelf| shelf.expect_no_more(self.key));
    }
}

/// A message that is nobody's.
pub(crate) async fn leave(inner: Arc<Inner>, queue: Arc<Queue>, letter: Arc<Letter>, epoch: u64) {
    // If the server was not told its channel is gone, and it comes again.
    let _ = inner.ack(&queue, letter, epoch).await;
}

/// A message whose time has not come by far: it waits on the server.
pub(crate) async fn put_off(inner: Arc<Inner>, queue: Arc<Queue>, letter: Arc<Letter>, epoch: u64) {
    let mut pause = limits::rabbitmq::AGAIN;
    let copy = || vec![(letter.lane, letter.envelope.clone())];
    while let Err(error) = inner.put(&queue, copy(), "put off message").await {
        if !inner.tries_again(&queue, &letter, epoch, &mut pause, error).await {
            return;
        }
    }
    // If the server was not told its channel is gone, and it comes again.
    let _ = inner.ack(&queue, letter, epoch).await;
}

/// A message past its time to live: it goes to the dead-letter queue, if its queue has one.
pub(crate) async fn expire(inner: Arc<Inner>, queue: Arc<Queue>, letter: Arc<Letter>, epoch: u64) {
    let (envelope, mut pause) = (&letter.envelope, limits::rabbitmq::AGAIN);
    while queue.settings.dead_letter.is_some()
        && let Err(error) =
            inner.dead_letter(&queue, envelope, Reason::Expired, envelope.attempts, None).await
    {
        if !inner.tries_again(&queue, &letter, epoch, &mut pause, error).await {
            return;
        }
    }
    // If the server was not told its channel is gone, and it comes again.
    let _ = inner.ack(&queue, letter, epoch).await;
}

#[cfg(test)]
mod tests {
    use forebay_contract::clock::SimClock;
    use forebay_core::message::{Message, MessageId};
    use forebay_core::ports::clock::Clock;
    use lapin::message::Delivery;
    use tokio::time::timeout;

    use super::*;
    use crate::queue::names::Names;
    use crate::settings::RabbitSettings;

    #[tokio::test]
    async fn what_cannot_be_put_off_is_not_handed_out_before_its_time() {
        let settings = RabbitSettings::parse("amqp://host/?wait_ms=1").unwrap();
        let clock = Arc::new(SimClock::new(1));
        let (inner, _errands) = Inner::new(settings, clock.clone());
        let name = QueueName::new("q").unwrap();
        let names = Names::new("", &name).unwrap();
        let queue = inner.remember(Queue::new(QueueSettings::new(name), names));
        let (now, message) = (clock.now(), Message::new(MessageId::given("m").unwrap(), "".into()));
        let envelope = Envelope { due: now + Duration::from_secs(60), ..Envelope::new(message, now) };
        let acker = Delivery::mock(1, "".into(), "".into(), false, Vec::new()).acker;
        let lane = Lane::Class(0);
        let letter = Arc::new(Letter { envelope, lane, number: 1, tag: 1, acker, arrived_at: now });
        let epoch = queue.change(|shelf| {
            shelf.arrive_to_leave(&letter);
            shelf.epoch()
        });
        // There is no server to put it off on.
        let putting_off = put_off(inner.clone(), queue.clone(), letter, epoch);
        let _ = timeout(Duration::from_millis(100), putting_off).await;
        let soon = now + Duration::from_secs(30);
        let found = queue.change(|shelf| shelf.take(1, soon, 7, soon));
        assert!(found.taken.is_empty(), "it was handed out early");
        assert!(queue.look(|shelf| !shelf.holds.is_empty()), "it is seen to still");
    }
}
