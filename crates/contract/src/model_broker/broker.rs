//! The broker's one lock, and whoever waits for what happens under it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use forebay_core::message::MessageId;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use parking_lot::Mutex;

use super::queue::Queue;
use super::state::{Event, State};

/// The broker, and what it has seen.
pub struct ModelBroker {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<State>,
}

/// A receiver's place among those who wait, given up when it ends or is dropped.
pub(super) struct Turn<'a> {
    broker: &'a ModelBroker,
    pub(super) number: u64,
}

impl<'a> Turn<'a> {
    pub(super) fn new(broker: &'a ModelBroker) -> Self {
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

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (output, wakers) = {
            let mut state = self.state.lock();
            (change(&mut state), std::mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        output
    }

    /// Waits until `look` finds something; looks again at every change and at `next`.
    pub(super) async fn until<T>(
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
