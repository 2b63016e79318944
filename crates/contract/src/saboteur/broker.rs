//! A broker that fails before and after it has done something, is slow, loses holds, repeats itself, and can be poisoned.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::random::Random;

/// The longest that it is slow.
pub const SLOW_MAX: Duration = Duration::from_secs(2);
/// Offered deliveries that it remembers, to offer them again after they were settled.
const OFFERED_MAX: usize = 16;

/// Wraps a sound broker.
pub struct BrokerSaboteur {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    random: Random,
    calm: bool,
    poisoned: bool,
    offered: VecDeque<Delivery>,
}

/// What happens to one call.
enum Deed {
    Nothing,
    FailBefore,
    FailAfter,
    LoseHold,
}

impl BrokerSaboteur {
    /// Everything it does follows from the seed and the calls.
    pub fn new(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let state =
            State { random: Random::new(seed), calm: false, poisoned: false, offered: VecDeque::new() };
        Self { broker, clock, state: Mutex::new(state) }
    }

    /// Does no more harm from now on.
    pub fn calm(&self) {
        self.state.lock().calm = true;
    }

    /// Refuses everything from now on, as a log does whose sync has failed.
    pub fn poison(&self) {
        self.state.lock().poisoned = true;
    }

    /// Is slow now and then, and draws what is to happen.
    async fn draw(&self) -> Result<Deed> {
        let (deed, wait_ms) = {
            let mut state = self.state.lock();
            if state.poisoned {
                return Err(Error::new(Kind::Poisoned, "ask broker", "sabotaged"));
            }
            if state.calm {
                return Ok(Deed::Nothing);
            }
            let slow = state.random.one_in(4);
            let wait_ms = state.random.below(SLOW_MAX.as_millis() as u64);
            (state.random.below(10), wait_ms * u64::from(slow))
        };
        if wait_ms > 0 {
            self.clock.sleep_until(self.clock.now() + Duration::from_millis(wait_ms)).await;
        }
        Ok(match deed {
            0 => Deed::FailBefore,
            1 => Deed::FailAfter,
            2 => Deed::LoseHold,
            _ => Deed::Nothing,
        })
    }

    /// Asks the sound broker, or fails before or after that.
    async fn ask<T>(&self, ask: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        match self.draw().await? {
            Deed::FailBefore => Err(fails()),
            Deed::FailAfter => {
                ask().await?;
                Err(fails())
            }
            Deed::Nothing | Deed::LoseHold => ask().await,
        }
    }

    /// Ends the hold as if the connection had broken; the message is ready again.
    async fn lose(&self, queue: &QueueName, delivery: DeliveryId) {
        let _ = self.broker.settle(queue, delivery, Outcome::Return { seen: false }, None).await;
    }
}

fn fails() -> Error {
    Error::new(Kind::Unavailable, "ask broker", "sabotaged")
}

impl Broker for BrokerSaboteur {
    fn capabilities(&self) -> BrokerCapabilities {
        self.broker.capabilities()
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.ask(async || self.broker.ensure(settings).await))
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(self.ask(async || self.broker.publish(queue, messages).await))
    }

    /// A failure after the fact leaves the deliveries held by nobody who knows of them.
    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(self.ask(async move || self.broker.receive(queue, receive).await))
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(async move {
            match self.draw().await? {
                Deed::FailBefore => return Err(fails()),
                Deed::LoseHold => self.lose(queue, delivery).await,
                Deed::FailAfter => {
                    self.broker.settle(queue, delivery, outcome, note).await?;
                    return Err(fails());
                }
                Deed::Nothing => {}
            }
            self.broker.settle(queue, delivery, outcome, note).await
        })
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(self.ask(async move || self.broker.held(queue, delivery).await))
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            match self.draw().await? {
                Deed::FailBefore => return Err(fails()),
                Deed::LoseHold => self.lose(queue, delivery).await,
                Deed::FailAfter => {
                    self.broker.extend(queue, delivery, hold).await?;
                    return Err(fails());
                }
                Deed::Nothing => {}
            }
            self.broker.extend(queue, delivery, hold).await
        })
    }

    /// Offers deliveries again that may have been settled since.
    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            let mut offered = match self.draw().await? {
                Deed::FailBefore => return Err(fails()),
                Deed::FailAfter => {
                    self.broker.expired().await?;
                    return Err(fails());
                }
                Deed::Nothing | Deed::LoseHold => self.broker.expired().await?,
            };
            let mut state = self.state.lock();
            let fresh = offered.clone();
            if !state.calm && state.random.one_in(2) {
                offered.extend(state.offered.iter().cloned());
            }
            state.offered.extend(fresh);
            while state.offered.len() > OFFERED_MAX {
                state.offered.pop_front();
            }
            Ok(offered)
        })
    }
}
