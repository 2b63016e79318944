//! A bus that loses notices and says so, repeats them and reorders them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::bus::{Bus, BusCapabilities, Heard, Listener, Position};
use parking_lot::Mutex;

use crate::random::Random;

/// How many things that are heard at one time may change places.
const SHUFFLED_MAX: usize = 8;

/// Wraps a sound bus.
pub struct BusSaboteur {
    bus: Arc<dyn Bus>,
    random: Arc<Mutex<Random>>,
}

impl BusSaboteur {
    /// Everything it does follows from the seed and the calls.
    pub fn new(bus: Arc<dyn Bus>, seed: u64) -> Self {
        Self { bus, random: Arc::new(Mutex::new(Random::new(seed))) }
    }
}

impl Bus for BusSaboteur {
    fn capabilities(&self) -> BusCapabilities {
        BusCapabilities { ordered: false, once: false, ..self.bus.capabilities() }
    }

    fn publish(&self, notice: Payload) -> BoxFuture<'_, Result<Position>> {
        Box::pin(async move {
            let fails = || Error::new(Kind::Unavailable, "publish notice", "sabotaged");
            let deed = self.random.lock().below(8);
            match deed {
                _ if notice.len() > limits::NOTICE_BYTES_MAX => self.bus.publish(notice).await,
                0 => Err(fails()),
                1 => {
                    self.bus.publish(notice).await?;
                    Err(fails())
                }
                2 => {
                    self.bus.publish(notice.clone()).await?;
                    self.bus.publish(notice).await
                }
                _ => self.bus.publish(notice).await,
            }
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Position>> {
        self.bus.head()
    }

    fn listen(&self, after: Option<Position>) -> BoxFuture<'_, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.bus.listen(after).await?;
            let sabotaged =
                SabotagedListener { listener, random: self.random.clone(), ahead: VecDeque::new() };
            Ok(Box::new(sabotaged) as Box<dyn Listener>)
        })
    }
}

struct SabotagedListener {
    listener: Box<dyn Listener>,
    random: Arc<Mutex<Random>>,
    /// What was heard and is not told yet.
    ahead: VecDeque<Result<Heard>>,
}

impl SabotagedListener {
    /// Hears what there is, at least one thing, and mixes it up. Only the first is waited for, and nothing is held when it is
    /// dropped then.
    async fn hear(&mut self) {
        let first = self.listener.next().await;
        let mut heard = vec![first];
        while heard.len() < SHUFFLED_MAX && heard.iter().all(Result::is_ok) {
            let mut next = self.listener.next();
            let more = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await;
            let Poll::Ready(more) = more else { break };
            heard.push(more);
        }
        let end = if heard.last().is_some_and(Result::is_err) { heard.pop() } else { None };
        let mut random = self.random.lock();
        for heard in heard.into_iter().flatten() {
            let place = random.below(self.ahead.len() as u64 + 1) as usize;
            let deed = random.below(6);
            match heard {
                Heard::Notice { position, .. } if deed == 0 => {
                    let from = Position(position.0.saturating_sub(1));
                    self.ahead.insert(place, Ok(Heard::Gap { from, to: position }));
                }
                _ => {
                    if deed == 1 {
                        self.ahead.push_back(Ok(heard.clone()));
                    }
                    self.ahead.insert(place, Ok(heard));
                }
            }
        }
        self.ahead.extend(end);
    }
}

impl Listener for SabotagedListener {
    fn next(&mut self) -> BoxFuture<'_, Result<Heard>> {
        Box::pin(async move {
            loop {
                if let Some(heard) = self.ahead.pop_front() {
                    return heard;
                }
                self.hear().await;
            }
        })
    }
}
