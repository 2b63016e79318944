//! A broker with a fault: sound underneath, and wrong in what it asks of that and in what it makes of the answers.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use forebay_broker::EmbeddedBroker;
use forebay_contract::clock::SimClock;
use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Reason, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerAdmin, BrokerCapabilities, Held, QueueInfo, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, Overflow, QueueName, QueueSettings, Retain};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::fault::Fault;
use crate::waiting::{Waiting, window};

/// Longer than any case lasts.
const LONG: Duration = Duration::from_secs(24 * 3_600);

pub(crate) struct Broken {
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) clock: SimClock,
    fault: Fault,
    /// It was opened again.
    again: bool,
    pub(crate) known: Arc<Mutex<Known>>,
}

/// What it has seen, also before it was opened again: what a fault needs to do its work.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) queues: Vec<QueueName>,
    pub(crate) published: Vec<(QueueName, Message)>,
    pub(crate) delivered: Vec<Delivery>,
    pub(crate) settled: Vec<(DeliveryId, Outcome)>,
    offered: Vec<Delivery>,
    /// What was confirmed and is to be done with the next call.
    pub(crate) late: Vec<Late>,
    /// Receives that wait.
    pub(crate) waiting: usize,
    pub(crate) redriven: Vec<(QueueName, Message)>,
    pub(crate) purged: Vec<(QueueName, Message)>,
    pub(crate) paused: Vec<QueueName>,
}

impl Known {
    fn is_held(&self, delivery: &Delivery) -> bool {
        self.settled.iter().all(|(id, _)| *id != delivery.id)
    }

    fn held(&self) -> impl DoubleEndedIterator<Item = &Delivery> {
        self.delivered.iter().filter(|delivery| self.is_held(delivery))
    }
}

pub(crate) enum Late {
    Publish(QueueName, Vec<Message>),
    Settle(QueueName, DeliveryId, Outcome, Option<String>),
}

impl Broken {
    pub(crate) fn new(
        broker: Arc<EmbeddedBroker>,
        clock: SimClock,
        fault: Fault,
        again: bool,
        known: Arc<Mutex<Known>>,
    ) -> Self {
        Self { broker, clock, fault, again, known }
    }

    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub(crate) fn forgets(&self, fault: Fault) -> bool {
        self.again && self.is(fault)
    }

    /// Does what it has confirmed already.
    pub(crate) async fn catch_up(&self) {
        let late = std::mem::take(&mut self.known.lock().late);
        for late in late {
            match late {
                Late::Publish(queue, messages) => {
                    let _ = self.broker.publish(&queue, messages).await;
                }
                Late::Settle(queue, delivery, outcome, note) => {
                    let _ = self.broker.settle(&queue, delivery, outcome, note.as_deref()).await;
                }
            }
        }
    }

    /// What it shows of a delivery.
    pub(crate) fn show(&self, mut delivery: Delivery) -> Delivery {
        if self.is(Fault::ForgetsAttempts) || self.forgets(Fault::ForgetsAttemptsOnRestart) {
            delivery.attempt = 1;
        }
        if self.is(Fault::CountsOnAsDeadLetter) {
            delivery.attempt += delivery.history.iter().map(|entry| entry.attempts).sum::<u32>();
        }
        if self.is(Fault::TellsNoTime) {
            delivery.published_at = Instant::from_ms(0);
        }
        if self.is(Fault::NoHistory) {
            delivery.history.clear();
        }
        for entry in &mut delivery.history {
            match self.fault {
                Fault::NoReason => entry.reason = Reason::Expired,
                Fault::NoNote => entry.note = None,
                Fault::CountsNoDepartures => entry.count = 1,
                _ => {}
            }
        }
        delivery
    }

    fn settings(&self, settings: &QueueSettings) -> QueueSettings {
        let mut kept = settings.clone();
        match self.fault {
            Fault::NoOrder => kept.order = Order::Arrival,
            Fault::NoPriorities => kept.priority_max = 0,
            Fault::AlwaysPriorities => kept.priority_max = u8::MAX,
            Fault::NoWindow => kept.dedup_window = Duration::ZERO,
            Fault::LongWindow => kept.dedup_window = LONG,
            Fault::RetainsNothing => kept.retain = Retain::Nothing,
            Fault::RetainsLong if kept.retain != Retain::Nothing => kept.retain = Retain::For(LONG),
            Fault::KeepsAllOfAKey => kept.newest_by_key = false,
            Fault::NoQueueTtl => kept.message_ttl = None,
            Fault::NoLength => {
                let plain = QueueSettings::new(kept.name.clone());
                (kept.length_max, kept.length_bytes_max) = (plain.length_max, plain.length_bytes_max);
            }
            Fault::RejectsAtLength => kept.overflow = Overflow::Reject,
            Fault::NoExchange if kept.dead_letter_exchange.is_some() => {
                (kept.dead_letter_exchange, kept.overflow) = (None, Overflow::Reject);
            }
            _ => {}
        }
        kept
    }

    fn message(&self, mut message: Message) -> Message {
        match self.fault {
            Fault::NoHeaders => message.headers = Default::default(),
            Fault::CutsPayloads if message.payload.len() > 1 << 20 => {
                message.payload = Payload::from(&message.payload[..1 << 20]);
            }
            Fault::NoDelay => message.not_before = None,
            Fault::DelaysTwice => {
                message.not_before = message.not_before.map(|at| at + at.since(self.clock.now()));
            }
            Fault::NoTtl => message.expires_at = None,
            Fault::ForgetsDedupOnRestart if self.again => message.dedup_id = None,
            Fault::NoKeyIsAKey => message.key = message.key.or_else(|| Some("none".to_owned())),
            Fault::OneDedup => message.dedup_id = Some("always".to_owned()),
            _ => {}
        }
        message
    }
}

impl Broker for Broken {
    fn capabilities(&self) -> BrokerCapabilities {
        let can = Broker::capabilities(&*self.broker);
        match self.fault {
            Fault::TakesWhatItDoesNotKeep => BrokerCapabilities { priorities: false, ..can },
            _ => can,
        }
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.is(Fault::DeclaresOnce) && self.knows(settings.name.as_str()) {
                return Err(Error::new(Kind::Conflict, "declare queue", settings.name.to_string()));
            }
            self.known.lock().queues.push(settings.name.clone());
            if self.is(Fault::RefusesWhatItKeeps) && settings.priority_max > 0 {
                return Err(Error::new(Kind::Unsupported, "declare queue", "x: priority_max"));
            }
            match self.broker.ensure(&self.settings(settings)).await {
                Err(error) if error.kind() == Kind::Conflict && self.is(Fault::NoConflict) => Ok(()),
                Err(error) if error.kind() == Kind::Conflict && self.forgets(Fault::ForgetsSettings) => {
                    Ok(())
                }
                Err(error) if error.kind() == Kind::Conflict && self.is(Fault::ConflictWithoutName) => {
                    Err(Error::new(Kind::Conflict, "declare queue", "it differs"))
                }
                Err(error) if error.kind() == Kind::Invalid && self.is(Fault::TakesAnySettings) => Ok(()),
                ensured => ensured,
            }
        })
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(async move {
            self.catch_up().await;
            let mut ids: Vec<_> = messages.iter().map(|message| message.id.clone()).collect();
            let mut messages: Vec<_> = messages.into_iter().map(|message| self.message(message)).collect();
            self.known
                .lock()
                .published
                .extend(messages.iter().map(|message| (queue.clone(), message.clone())));
            match self.fault {
                Fault::ConfirmsBeforeKeeping => {
                    self.known.lock().late.push(Late::Publish(queue.clone(), messages));
                    return Ok(ids);
                }
                Fault::LosesTheLast if messages.len() > 1 => drop(messages.pop()),
                Fault::PublishesTwice => messages.extend(messages.clone()),
                Fault::SwapsABatch => messages.reverse(),
                Fault::SwapsIds => ids.reverse(),
                Fault::HeldCounts | Fault::FinishedCounts => {
                    let QueueInfo { stats, settings, .. } = self.broker.queue(queue).await?;
                    let present = stats.ready + stats.delayed + stats.held;
                    let length = if self.is(Fault::HeldCounts) { present } else { stats.published };
                    if length + messages.len() as u64 > settings.length_max {
                        return Err(Error::new(Kind::Full, "publish to queue", queue.to_string()));
                    }
                }
                Fault::EmptyIsInvalid if messages.is_empty() => return Err(invalid(queue)),
                Fault::PastIsInvalid if self.has_past(&messages) => return Err(invalid(queue)),
                Fault::OneWindow => messages.retain(|message| !self.was_taken_elsewhere(queue, message)),
                _ => {}
            }
            let parts = messages.clone();
            match self.broker.publish(queue, messages).await {
                Err(error) if error.kind() == Kind::NotFound && self.is(Fault::DeclaresByItself) => {
                    self.broker.ensure(&QueueSettings::new(queue.clone())).await?;
                    self.broker.publish(queue, parts).await?;
                    Ok(ids)
                }
                Err(error) if self.is(Fault::TakesAPart) => {
                    for message in parts {
                        let _ = self.broker.publish(queue, vec![message]).await;
                    }
                    Err(error)
                }
                Err(error) if error.kind() == Kind::Full && self.is(Fault::FullIsFinal) => {
                    Err(Error::new(Kind::TooLarge, "publish to queue", queue.to_string()))
                }
                Err(error) => Err(self.tell(error)),
                Ok(_) => Ok(ids),
            }
        })
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            self.catch_up().await;
            let mut asked = receive;
            match self.fault {
                Fault::IgnoresTheReceiversHold => asked.hold = None,
                Fault::HandsOutMore if asked.count_max > 0 => asked.count_max += 1,
                Fault::NeverWaits => asked.wait_until = self.clock.now(),
                Fault::WaitsTooLong => asked.wait_until = asked.wait_until + LONG,
                Fault::DelayedHoldUpOthers if self.has_delayed() => return Ok(Vec::new()),
                Fault::OneAtATime if self.has_held(queue).await? => return Ok(Vec::new()),
                Fault::OneAtATime => asked.count_max = asked.count_max.min(1),
                _ => {}
            }
            let mut waits = Waiting::begin(self, queue);
            if self.is(Fault::OneReceiver) && self.known.lock().waiting > 1 {
                pending::<()>().await;
            }
            let mut received = self.broker.receive(queue, asked).await;
            waits.is_over = true;
            if self.is(Fault::LosesWhatIsDropped) {
                window().await;
            }
            match &received {
                Err(error) if error.kind() == Kind::Closed && self.is(Fault::CloseLeavesWaiting) => {
                    pending::<()>().await;
                }
                Err(error) if error.kind() == Kind::NotFound && self.is(Fault::DeletionLeavesWaiting) => {
                    pending::<()>().await;
                }
                Err(error) if error.kind() == Kind::NotFound && self.is(Fault::EmptyForNotFound) => {
                    received = Ok(Vec::new());
                }
                _ => {}
            }
            let mut deliveries: Vec<_> = received
                .map_err(|error| self.tell(error))?
                .into_iter()
                .map(|found| self.show(found))
                .collect();
            let before: Vec<_> = self.known.lock().held().cloned().collect();
            self.known.lock().delivered.extend(deliveries.iter().cloned());
            if self.is(Fault::HandsOutWhatIsHeld) {
                let room = receive.count_max - deliveries.len();
                let held = before.into_iter().filter(|held| held.queue == *queue);
                deliveries.extend(held.take(room));
            }
            if self.is(Fault::SwapsDeliveries) {
                deliveries.reverse();
            }
            Ok(deliveries)
        })
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(async move {
            self.catch_up().await;
            let known = self.known.lock().delivered.iter().rev().find(|known| known.id == delivery).cloned();
            self.known.lock().settled.push((delivery, outcome));
            let (mut end, mut queue) = (outcome, queue.clone());
            match (self.fault, outcome) {
                (Fault::ConfirmsBeforeSettling, _) => {
                    let late = Late::Settle(queue, delivery, outcome, note.map(str::to_owned));
                    self.known.lock().late.push(late);
                    return Ok(Settled::Done);
                }
                (Fault::DoneComesBack, Outcome::Done) => {
                    end = Outcome::RetryAt(self.clock.now() + Duration::from_secs(1));
                }
                (Fault::CountsReturns, Outcome::Return { .. }) => end = Outcome::Return { seen: true },
                (Fault::CountsNothingSeen, Outcome::Return { .. }) => end = Outcome::Return { seen: false },
                (Fault::RetriesAtOnce, Outcome::RetryAt(_)) => end = Outcome::RetryAt(self.clock.now()),
                (Fault::RetriesLate, Outcome::RetryAt(at)) => end = Outcome::RetryAt(at + LONG),
                (Fault::DropsDeadLetters, Outcome::DeadLetter(_)) => end = Outcome::Done,
                (Fault::DeadLettersStay, Outcome::DeadLetter(_)) => {
                    let message = known.as_ref().map(|known| (*known.message).clone());
                    self.broker.publish(&queue, message.into_iter().collect()).await?;
                }
                (Fault::NoDeadLetterQueue, Outcome::DeadLetter(_)) if !self.knows("d") => {
                    return Err(Error::new(Kind::NotFound, "find queue", "d"));
                }
                (Fault::LosesPlaces, Outcome::Return { .. })
                | (Fault::LosesRetriedPlaces, Outcome::RetryAt(_)) => {
                    let not_before = if let Outcome::RetryAt(at) = outcome { Some(at) } else { None };
                    let message =
                        known.as_ref().map(|known| Message { not_before, ..(*known.message).clone() });
                    self.broker.publish(&queue, message.into_iter().collect()).await?;
                    end = Outcome::Done;
                }
                (Fault::SettlesInAnyQueue, _) => {
                    queue = known.as_ref().map_or(queue, |known| known.queue.clone())
                }
                (Fault::SettlesByPosition, _) => {
                    let last =
                        self.known.lock().held().rfind(|held| held.id.position == delivery.position).cloned();
                    if let Some(last) = last {
                        return self.broker.settle(&queue, last.id, end, note).await;
                    }
                }
                _ => {}
            }
            let settled = self.broker.settle(&queue, delivery, end, note).await;
            match settled {
                Ok(Settled::NotHeld) if self.is(Fault::SettlesTwice) => Ok(Settled::Done),
                Err(error) => Err(self.tell(error)),
                settled => settled,
            }
        })
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(async move {
            self.catch_up().await;
            let held = self.broker.held(queue, delivery).await?;
            if self.is(Fault::HeldForEver) && held.is_none() {
                let retry = QueueSettings::new(queue.clone()).retry;
                return Ok(Some(Held { attempt: 1, retry, held_until: self.clock.now() }));
            }
            Ok(held.filter(|_| !self.is(Fault::HeldIsUnknown)))
        })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            if self.is(Fault::ExtendsNothing) {
                return Ok(Some(self.clock.now() + hold));
            }
            self.broker.extend(queue, delivery, hold).await
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            if self.is(Fault::OffersNothing) {
                pending::<()>().await;
            }
            let before = self.known.lock().offered.clone();
            if self.is(Fault::OffersTwice) && !before.is_empty() {
                return Ok(before);
            }
            let done = {
                let known = self.known.lock();
                known.delivered.iter().find(|delivery| !known.is_held(delivery)).cloned()
            };
            if self.is(Fault::OffersWhatWasDone)
                && let Some(done) = done
            {
                return Ok(vec![done]);
            }
            let offered = self.broker.expired().await;
            if offered.is_err() && self.is(Fault::CloseLeavesWaiting) {
                pending::<()>().await;
            }
            let offered = offered?;
            if self.is(Fault::OffersOnce)
                && offered.iter().any(|known| before.iter().any(|one| one.id == known.id))
            {
                pending::<()>().await;
            }
            self.known.lock().offered.extend(offered.iter().cloned());
            if self.is(Fault::GivesBackWhatRanOut) {
                for delivery in &offered {
                    let end = Outcome::Return { seen: true };
                    self.broker.settle(&delivery.queue, delivery.id, end, None).await?;
                }
            }
            Ok(offered)
        })
    }
}

impl Broken {
    /// What it says of an error.
    pub(crate) fn tell(&self, error: Error) -> Error {
        match error.kind() {
            Kind::Closed if self.is(Fault::ClosedIsAway) => {
                Error::new(Kind::Unavailable, "ask broker", "it is away")
            }
            _ => error,
        }
    }

    fn knows(&self, queue: &str) -> bool {
        self.known.lock().queues.iter().any(|known| known.as_str() == queue)
    }

    fn has_past(&self, messages: &[Message]) -> bool {
        messages.iter().any(|message| message.not_before.is_some_and(|at| at < self.clock.now()))
    }

    fn was_taken_elsewhere(&self, queue: &QueueName, message: &Message) -> bool {
        let is_one = |(there, other): &(QueueName, Message)| {
            there != queue && other.dedup_id.is_some() && other.dedup_id == message.dedup_id
        };
        self.known.lock().published.iter().any(is_one)
    }

    fn has_delayed(&self) -> bool {
        let now = self.clock.now();
        let waits = |(_, message): &(QueueName, Message)| message.not_before.is_some_and(|at| at > now);
        self.known.lock().published.iter().any(waits)
    }

    async fn has_held(&self, queue: &QueueName) -> Result<bool> {
        Ok(self.broker.queue(queue).await?.stats.held > 0)
    }
}

fn invalid(queue: &QueueName) -> Error {
    Error::new(Kind::Invalid, "publish to queue", queue.to_string())
}
