//! A broker in memory that is too simple to be wrong: one lock, no disk, everything durable at once. The rules are tested
//! over it; it keeps the suite of every broker as far as its capabilities go.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, History, Outcome, Reason, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;
use parking_lot::Mutex;

/// The broker, and what it has seen.
pub struct ModelBroker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

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

/// A receiver's place among those who wait, given up when it ends or is dropped.
struct Turn<'a> {
    broker: &'a ModelBroker,
    number: u64,
}

impl<'a> Turn<'a> {
    fn new(broker: &'a ModelBroker) -> Self {
        let number = broker.change(|state| {
            state.turn_next += 1;
            state.turn_next
        });
        Self { broker, number }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.broker.change(|state| state.turns.retain(|(_, number)| *number != self.number));
    }
}

#[derive(Default)]
struct State {
    queues: BTreeMap<QueueName, Queue>,
    position: u64,
    closed: bool,
    wakers: Vec<Waker>,
    events: Vec<Event>,
    /// Who waits on which queue, in the order of their coming.
    turns: Vec<(QueueName, u64)>,
    turn_next: u64,
}

struct Queue {
    settings: QueueSettings,
    /// By place; a message that comes back comes back to its own.
    waiting: BTreeMap<u64, Letter>,
    held: BTreeMap<DeliveryId, HeldLetter>,
}

#[derive(Clone)]
struct Letter {
    message: Arc<Message>,
    /// Attempts that count.
    attempts: u32,
    ready_at: Instant,
    published_at: Instant,
    history: Vec<History>,
}

struct HeldLetter {
    letter: Letter,
    until: Instant,
    /// Until when it stays with whoever was offered it after its hold ran out.
    offered_until: Option<Instant>,
}

impl ModelBroker {
    /// Without queues.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    /// Ends all waits with `Closed` and takes nothing more.
    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// What a new process finds: all messages, and nobody who waits.
    pub fn restarted(&self) -> Arc<Self> {
        let state = std::mem::take(&mut *self.state.lock());
        let state = State { closed: false, wakers: Vec::new(), ..state };
        Arc::new(Self { clock: self.clock.clone(), state: Mutex::new(state) })
    }

    /// Everything that happened, in order.
    pub fn events(&self) -> Vec<Event> {
        self.state.lock().events.clone()
    }

    /// The messages that lie in a queue, held ones included.
    pub fn messages(&self, queue: &QueueName) -> Vec<MessageId> {
        let state = self.state.lock();
        let of = |queue: &Queue| {
            let held = queue.held.values().map(|held| &held.letter);
            queue.waiting.values().chain(held).map(|letter| letter.message.id.clone()).collect()
        };
        state.queues.get(queue).map_or(Vec::new(), of)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (output, wakers) = {
            let mut state = self.state.lock();
            (change(&mut state), std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        output
    }

    /// Waits until `look` finds something; looks again at every change and at `next`.
    async fn until<T>(
        &self,
        look: impl Fn(&mut State, Instant) -> Option<T>,
        next: impl Fn(&State) -> Option<Instant>,
    ) -> T {
        let mut sleep: Option<BoxFuture<'static, ()>> = None;
        poll_fn(|context| {
            loop {
                let mut state = self.state.lock();
                let now = self.clock.now();
                if let Some(found) = look(&mut state, now) {
                    return Poll::Ready(found);
                }
                // What is due already waits for something else: a change will say.
                sleep = next(&state).filter(|at| *at > now).map(|at| self.clock.sleep_until(at));
                state.wakers.push(context.waker().clone());
                drop(state);
                let slept = sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
                if !slept {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

impl State {
    fn open(&mut self) -> Result<&mut Self> {
        if self.closed { Err(Error::new(Kind::Closed, "ask broker", "it is closed")) } else { Ok(self) }
    }

    fn queue(&mut self, name: &QueueName) -> Result<&mut Queue> {
        let queue = self.open()?.queues.get_mut(name);
        queue.ok_or_else(|| Error::new(Kind::NotFound, "find queue", name.to_string()))
    }

    fn add(&mut self, queue: &QueueName, letter: Letter) {
        self.position += 1;
        let position = self.position;
        self.events.push(Event::Published(queue.clone(), letter.message.id.clone()));
        let declare = || Queue {
            settings: QueueSettings::new(queue.clone()),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        self.queues.entry(queue.clone()).or_insert_with(declare).waiting.insert(position, letter);
    }

    fn take(&mut self, name: &QueueName, asked: Receive, now: Instant, token: u32) -> Result<Vec<Delivery>> {
        let queue = self.queue(name)?;
        let hold = asked.hold.unwrap_or(queue.settings.hold);
        let ready = queue.waiting.iter().filter(|(_, letter)| letter.ready_at <= now);
        let positions: Vec<u64> = ready.map(|(position, _)| *position).take(asked.count_max).collect();
        let mut deliveries = Vec::new();
        for position in positions {
            let Some(letter) = queue.waiting.remove(&position) else { continue };
            let delivery = Delivery {
                id: DeliveryId { position, token },
                queue: name.clone(),
                message: letter.message.clone(),
                attempt: letter.attempts + 1,
                retry: queue.settings.retry,
                held_until: now + hold,
                published_at: letter.published_at,
                history: letter.history.clone(),
            };
            queue.held.insert(delivery.id, HeldLetter { letter, until: now + hold, offered_until: None });
            deliveries.push(delivery);
        }
        let told = |delivery: &Delivery| {
            Event::Delivered(delivery.id, delivery.message.id.clone(), delivery.attempt)
        };
        self.events.extend(deliveries.iter().map(told));
        Ok(deliveries)
    }

    fn end(
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
            }
            Outcome::RetryAt(at) => {
                letter.attempts += 1;
                letter.ready_at = at;
                queue.waiting.insert(id.position, letter);
            }
            Outcome::DeadLetter(reason) => {
                let to = match &queue.settings.dead_letter {
                    Some(to) => to.clone(),
                    None => QueueName::new(PARKED)?,
                };
                letter.leave(name, reason, note, now);
                self.add(&to, letter);
            }
        }
        self.events.push(Event::Settled(id, message, outcome));
        Ok(Settled::Done)
    }

    /// Holds that have run out and lie with nobody who was offered them.
    fn run_out(&mut self, now: Instant) -> Vec<Delivery> {
        let mut offered = Vec::new();
        for (name, queue) in &mut self.queues {
            let retry = queue.settings.retry;
            for (id, held) in queue.held.iter_mut().filter(|(_, held)| held.due() <= now) {
                held.offered_until = Some(now + limits::EXPIRED_GRACE);
                offered.push(Delivery {
                    id: *id,
                    queue: name.clone(),
                    message: held.letter.message.clone(),
                    attempt: held.letter.attempts + 1,
                    retry,
                    held_until: held.until,
                    published_at: held.letter.published_at,
                    history: held.letter.history.clone(),
                });
            }
        }
        offered
    }
}

impl HeldLetter {
    fn due(&self) -> Instant {
        self.offered_until.unwrap_or(self.until)
    }
}

impl Letter {
    /// Writes its departure into the history, and begins anew.
    fn leave(&mut self, queue: &QueueName, reason: Reason, note: Option<&str>, at: Instant) {
        let attempts = std::mem::take(&mut self.attempts) + 1;
        let same = |entry: &History| entry.queue == *queue && entry.reason == reason;
        let count = self.history.iter().find(|entry| same(entry)).map_or(0, |entry| entry.count) + 1;
        self.history.retain(|entry| !same(entry));
        let note = note.map(str::to_owned);
        let line = History::new(queue.clone(), reason, at, attempts);
        self.history.push(History { count, note, ..line });
        if self.history.len() > limits::HISTORY_ENTRIES_MAX {
            self.history.remove(0);
        }
        self.ready_at = at;
    }
}

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
            ..BrokerCapabilities::NONE
        }
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            settings.check()?;
            self.change(|state| {
                let queues = &mut state.open()?.queues;
                let present = queues.entry(settings.name.clone()).or_insert_with(|| Queue {
                    settings: settings.clone(),
                    waiting: BTreeMap::new(),
                    held: BTreeMap::new(),
                });
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
            self.change(|state| {
                state.queue(queue)?;
                let ids = messages.iter().map(|message| message.id.clone()).collect();
                for message in messages {
                    let ready_at = message.not_before.unwrap_or(now);
                    let history = Vec::new();
                    let message = Arc::new(message);
                    state.add(queue, Letter { message, attempts: 0, ready_at, published_at: now, history });
                }
                Ok(ids)
            })
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
                let waiting = state.queues.get(queue).into_iter().flat_map(|queue| queue.waiting.values());
                let ready = waiting.map(|letter| letter.ready_at).filter(|at| *at > self.clock.now());
                ready.chain([asked.wait_until]).min()
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
