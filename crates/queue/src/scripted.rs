//! A broker of one queue for the tests of the rules: it records what it is asked, and refuses when told to.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings, RetryPolicy};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::queues::Queues;
use crate::race::race;

pub(crate) struct Scripted {
    pub(crate) clock: SimClock,
    pub(crate) capabilities: BrokerCapabilities,
    pub(crate) retry: RetryPolicy,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) ready: VecDeque<Message>,
    pub(crate) held: BTreeMap<DeliveryId, Delivery>,
    pub(crate) expired: Vec<Delivery>,
    pub(crate) settled: Vec<(String, Outcome, Option<String>)>,
    pub(crate) extended: Vec<Instant>,
    pub(crate) refuse: VecDeque<Kind>,
    pub(crate) refuse_receive: Option<Kind>,
    /// Why nothing is answered at present, in an outage.
    pub(crate) down: Option<Kind>,
    pub(crate) closed: bool,
    /// When it was asked for deliveries, ready or expired ones.
    pub(crate) asked: Vec<Instant>,
    waiters: Vec<Waker>,
}

impl Scripted {
    pub(crate) fn new(attempt_max: u32) -> Arc<Self> {
        let capabilities = BrokerCapabilities { delay: true, expiry: true, ..BrokerCapabilities::NONE };
        let retry = RetryPolicy { attempt_max, ..RetryPolicy::default() };
        Arc::new(Self { clock: SimClock::new(7), capabilities, retry, state: Mutex::default() })
    }

    pub(crate) fn queues(self: &Arc<Self>) -> Queues {
        Queues::new(self.clone(), Arc::new(self.clock.clone()))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.waiters.drain(..).for_each(Waker::wake);
    }

    pub(crate) fn add(&self, names: &[&str]) {
        self.change(|state| {
            for name in names {
                state.ready.push_back(Message::new(MessageId::given(name).unwrap(), (*name).into()));
            }
        });
    }

    /// What was settled, as `name outcome`.
    pub(crate) fn settled(&self) -> Vec<String> {
        let name = |outcome: &Outcome| match outcome {
            Outcome::Done => "done",
            Outcome::Return { .. } => "return",
            Outcome::RetryAt(_) => "retry",
            Outcome::DeadLetter(reason) => reason.as_str(),
        };
        self.state.lock().settled.iter().map(|(id, outcome, _)| format!("{id} {}", name(outcome))).collect()
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if let Some(found) = look(&mut state) {
                return Poll::Ready(found);
            }
            state.waiters.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn refusal(&self) -> Result<()> {
        let mut state = self.state.lock();
        let refusal = state.refuse.pop_front().or_else(|| state.is_away());
        refusal.map_or(Ok(()), |kind| Err(Error::new(kind, "ask", "script")))
    }

    fn note_asked(&self) {
        let now = self.clock.now();
        self.state.lock().asked.push(now);
    }
}

impl State {
    fn is_away(&self) -> Option<Kind> {
        if self.closed { Some(Kind::Closed) } else { self.down }
    }
}

impl Broker for Scripted {
    fn capabilities(&self) -> BrokerCapabilities {
        self.capabilities
    }

    fn ensure<'a>(&'a self, _: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn publish<'a>(
        &'a self,
        _: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(async move {
            self.refusal()?;
            let ids = messages.iter().map(|message| message.id.clone()).collect();
            self.change(|state| state.ready.extend(messages));
            Ok(ids)
        })
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            if let Some(kind) = self.state.lock().refuse_receive.take() {
                return Err(Error::new(kind, "ask", "script"));
            }
            self.note_asked();
            let look = |state: &mut State| !state.ready.is_empty() || state.is_away().is_some();
            let some = self.until(|state| look(state).then_some(()));
            race(some, self.clock.sleep_until(receive.wait_until)).await;
            let mut state = self.state.lock();
            if let Some(kind) = state.is_away() {
                return Err(Error::new(kind, "ask", "script"));
            }
            let count = receive.count_max.min(state.ready.len());
            let now = self.clock.now();
            let messages: Vec<_> = state.ready.drain(..count).collect();
            Ok(messages
                .into_iter()
                .map(|message| {
                    let id = DeliveryId { position: self.clock.random(), token: 1 };
                    let delivery = Delivery {
                        id,
                        queue: queue.clone(),
                        message: message.into(),
                        attempt: 1,
                        retry: self.retry,
                        held_until: now + receive.hold.unwrap_or(Duration::from_secs(30)),
                        published_at: now,
                        history: Vec::new(),
                    };
                    state.held.insert(id, delivery.clone());
                    delivery
                })
                .collect())
        })
    }

    fn settle<'a>(
        &'a self,
        _: &'a QueueName,
        id: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(async move {
            self.refusal()?;
            let mut state = self.state.lock();
            let Some(delivery) = state.held.remove(&id) else { return Ok(Settled::NotHeld) };
            let name = delivery.message.id.as_str().to_owned();
            state.settled.push((name, outcome, note.map(str::to_owned)));
            Ok(Settled::Done)
        })
    }

    fn held<'a>(&'a self, _: &'a QueueName, id: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(async move {
            let of = |delivery: &Delivery| {
                let Delivery { attempt, retry, held_until, .. } = *delivery;
                Held { attempt, retry, held_until }
            };
            Ok(self.state.lock().held.get(&id).map(of))
        })
    }

    fn extend<'a>(
        &'a self,
        _: &'a QueueName,
        id: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            self.refusal()?;
            let until = self.clock.now() + hold;
            let mut state = self.state.lock();
            if !state.held.contains_key(&id) {
                return Ok(None);
            }
            state.extended.push(until);
            Ok(Some(until))
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        self.note_asked();
        Box::pin(self.until(|state| {
            if let Some(kind) = state.is_away() {
                return Some(Err(Error::new(kind, "wait for expired holds", "script")));
            }
            (!state.expired.is_empty()).then(|| Ok(std::mem::take(&mut state.expired)))
        }))
    }
}
