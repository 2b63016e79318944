//! All queues of the model, and the steps by which they change.

use std::collections::BTreeMap;
use std::task::Waker;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Reason, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;

use super::letter::{HeldLetter, Letter};
use super::queue::Queue;

/// Something that happened to a message, as the broker carried it out.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It was taken into this queue.
    Published(QueueName, MessageId),
    /// It was handed out under this id, as attempt number so many.
    Delivered(DeliveryId, MessageId, u32),
    /// The hold of this id ended so.
    Settled(DeliveryId, MessageId, Outcome),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queues: BTreeMap<QueueName, Queue>,
    pub(super) position: u64,
    pub(super) closed: bool,
    pub(super) wakers: Vec<Waker>,
    pub(super) events: Vec<Event>,
    /// Who waits on which queue, in the order of their coming.
    pub(super) turns: Vec<(QueueName, u64)>,
    pub(super) turn_next: u64,
}

impl State {
    pub(super) fn open(&mut self) -> Result<&mut Self> {
        if self.closed { Err(Error::new(Kind::Closed, "ask broker", "it is closed")) } else { Ok(self) }
    }

    pub(super) fn queue(&mut self, name: &QueueName) -> Result<&mut Queue> {
        let queue = self.open()?.queues.get_mut(name);
        queue.ok_or_else(|| Error::new(Kind::NotFound, "find queue", name.to_string()))
    }

    /// Takes all of these messages in, or none.
    pub(super) fn publish(
        &mut self,
        name: &QueueName,
        messages: Vec<Message>,
        now: Instant,
    ) -> Result<Vec<MessageId>> {
        self.expire(now);
        self.queue(name)?.check_room(&messages, now)?;
        let ids = messages.iter().map(|message| message.id.clone()).collect();
        messages.into_iter().for_each(|message| self.add(name, Letter::new(message, now), now));
        Ok(ids)
    }

    fn add(&mut self, name: &QueueName, letter: Letter, now: Instant) {
        self.position += 1;
        self.events.push(Event::Published(name.clone(), letter.message.id.clone()));
        let declare = || Queue::new(QueueSettings::new(name.clone()));
        let queue = self.queues.entry(name.clone()).or_insert_with(declare);
        queue.add(self.position, letter, now);
        queue.drop_overflow(now);
    }

    pub(super) fn take(
        &mut self,
        name: &QueueName,
        asked: Receive,
        now: Instant,
        token: u32,
    ) -> Result<Vec<Delivery>> {
        self.expire(now);
        let queue = self.queue(name)?;
        let held_until = now + asked.hold.unwrap_or(queue.settings.hold);
        let ready = queue.waiting.iter().filter(|(_, letter)| letter.is_ready(now));
        let positions: Vec<u64> = ready.map(|(position, _)| *position).take(asked.count_max).collect();
        let mut deliveries = Vec::new();
        for position in positions {
            let Some(letter) = queue.waiting.remove(&position) else { continue };
            let id = DeliveryId { position, token };
            deliveries.push(letter.deliver(id, name, queue.settings.retry, held_until));
            queue.held.insert(id, HeldLetter { letter, until: held_until, offered_until: None });
        }
        let told = |delivery: &Delivery| {
            Event::Delivered(delivery.id, delivery.message.id.clone(), delivery.attempt)
        };
        self.events.extend(deliveries.iter().map(told));
        Ok(deliveries)
    }

    pub(super) fn end(
        &mut self,
        name: &QueueName,
        id: DeliveryId,
        outcome: Outcome,
        note: Option<&str>,
        now: Instant,
    ) -> Result<Settled> {
        let queue = self.queue(name)?;
        let Some(HeldLetter { mut letter, .. }) = queue.held.remove(&id) else { return Ok(Settled::NotHeld) };
        let message = letter.message.id.clone();
        match outcome {
            Outcome::Done => {}
            Outcome::Return { seen } => {
                letter.attempts += u32::from(seen);
                letter.ready_at = now;
                queue.waiting.insert(id.position, letter);
                queue.drop_overflow(now);
            }
            Outcome::RetryAt(at) => {
                letter.attempts += 1;
                letter.ready_at = at;
                queue.waiting.insert(id.position, letter);
                queue.drop_overflow(now);
            }
            Outcome::DeadLetter(reason) => {
                let to = match &queue.settings.dead_letter {
                    Some(to) => to.clone(),
                    None => QueueName::new(PARKED)?,
                };
                letter.attempts += 1;
                letter.leave(name, reason, note, now);
                self.add(&to, letter, now);
            }
        }
        self.queue(name)?.drop_overflow(now);
        self.events.push(Event::Settled(id, message, outcome));
        Ok(Settled::Done)
    }

    /// What is past its time to live goes to the dead-letter queue that is named, or away.
    fn expire(&mut self, now: Instant) {
        let mut gone = Vec::new();
        for (name, queue) in &mut self.queues {
            let expired = queue.take_expired(now);
            if let Some(to) = &queue.settings.dead_letter {
                gone.extend(expired.into_iter().map(|letter| (name.clone(), to.clone(), letter)));
            }
        }
        for (from, to, mut letter) in gone {
            letter.leave(&from, Reason::Expired, None, now);
            self.add(&to, letter, now);
        }
    }

    /// When something happens by itself next after `now`.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        self.queues.values().filter_map(|queue| queue.next_change(now)).min()
    }

    /// Holds that have run out and lie with nobody who was offered them.
    pub(super) fn run_out(&mut self, now: Instant) -> Vec<Delivery> {
        let mut offered = Vec::new();
        for (name, queue) in &mut self.queues {
            let retry = queue.settings.retry;
            for (id, held) in queue.held.iter_mut().filter(|(_, held)| held.due() <= now) {
                held.offered_until = Some(now + limits::EXPIRED_GRACE);
                offered.push(held.letter.deliver(*id, name, retry, held.until));
            }
        }
        offered
    }
}
