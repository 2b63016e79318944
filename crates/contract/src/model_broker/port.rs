//! The port, as the model fills it.

use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;

use super::broker::{ModelBroker, Turn};
use super::letter::HeldLetter;
use super::queue::Queue;
use super::state::State;

impl Broker for ModelBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        BrokerCapabilities {
            delay: true,
            dead_letter: true,
            extend: true,
            attempts: true,
            expired: true,
            place: true,
            lasting_holds: true,
            length_max: true,
            length_bytes_max: true,
            drop_head: true,
            expiry: true,
            message_ttl: true,
            ..BrokerCapabilities::NONE
        }
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            settings.check()?;
            self.capabilities().check(settings)?;
            self.change(|state| {
                let queues = &mut state.open()?.queues;
                let present =
                    queues.entry(settings.name.clone()).or_insert_with(|| Queue::new(settings.clone()));
                if present.settings == *settings {
                    return Ok(());
                }
                let sides = format!("{:?}, not {settings:?}", present.settings);
                Err(Error::new(Kind::Conflict, "declare queue", sides))
            })
        })
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(async move {
            messages.iter().try_for_each(Message::check)?;
            let now = self.clock.now();
            self.change(|state| state.publish(queue, messages, now))
        })
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, asked: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            if asked.count_max == 0 || asked.count_max > limits::RECEIVE_DELIVERIES_MAX {
                let context = format!("{queue}: count_max must be 1 to 1000");
                return Err(Error::new(Kind::Invalid, "receive from queue", context));
            }
            let token = self.clock.random() as u32;
            let turn = Turn::new(self);
            let look = |state: &mut State, now: Instant| {
                if let Err(error) = state.queue(queue) {
                    return Some(Err(error));
                }
                let first = state.turns.iter().find(|(of, _)| of == queue);
                let mine = first.is_none_or(|(_, number)| *number == turn.number);
                let taken = if mine { state.take(queue, asked, now, token) } else { Ok(Vec::new()) };
                if taken.as_ref().is_ok_and(Vec::is_empty) && now < asked.wait_until {
                    if !state.turns.iter().any(|(_, number)| *number == turn.number) {
                        state.turns.push((queue.clone(), turn.number));
                    }
                    return None;
                }
                Some(taken)
            };
            let next = |state: &State| {
                state.next_change(self.clock.now()).into_iter().chain([asked.wait_until]).min()
            };
            self.until(look, next).await
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
            let now = self.clock.now();
            self.change(|state| state.end(queue, delivery, outcome, note, now))
        })
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(async move {
            let mut state = self.state.lock();
            let queue = state.queue(queue)?;
            let retry = queue.settings.retry;
            let of =
                |held: &HeldLetter| Held { attempt: held.letter.attempts + 1, retry, held_until: held.until };
            Ok(queue.held.get(&delivery).map(of))
        })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            let now = self.clock.now();
            self.change(|state| {
                let held = state.queue(queue)?.held.get_mut(&delivery);
                let held = held.filter(|held| held.offered_until.is_none());
                Ok(held.map(|held| {
                    held.until = now + hold;
                    held.until
                }))
            })
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            let look = |state: &mut State, now: Instant| {
                if let Err(closed) = state.open() {
                    return Some(Err(closed));
                }
                Some(state.run_out(now)).filter(|offered| !offered.is_empty()).map(Ok)
            };
            let next = |state: &State| {
                state.queues.values().flat_map(|queue| queue.held.values()).map(HeldLetter::due).min()
            };
            self.until(look, next).await
        })
    }
}
