//! Handing messages out, and waiting for them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;
use std::task::Poll;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::Message;
use forebay_core::payload::Payload;
use forebay_core::ports::broker::Receive;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, RetryPolicy};
use forebay_core::time::Instant;
use forebay_log::Class;

use crate::engine::Engine;
use crate::moves::Pick;
use crate::records::message::{Claim, Decoded};
use crate::records::{Record, SMALL_BYTES_MAX, message};
use crate::state::State;
use crate::state::entry::Entry;
use crate::storage::journal::Stored;
use crate::topology::Queue;

/// How often a receiver looks for a message that can be read.
const TRIES_MAX: usize = 8;

/// A message on its way out of the lock; its body may still have to be read.
pub(crate) struct Handed {
    pub(crate) id: DeliveryId,
    stored: Stored,
    body: Option<Arc<Message>>,
    attempt: u32,
    published_at: Instant,
    held_until: Instant,
    retry: RetryPolicy,
}

impl Handed {
    pub(crate) fn new(
        id: DeliveryId,
        entry: &Entry,
        body: Option<Arc<Message>>,
        held_until: Instant,
        retry: RetryPolicy,
    ) -> Self {
        let (attempt, published_at) = (entry.attempts.into(), entry.published_at());
        Self { id, stored: entry.stored(), body, attempt, published_at, held_until, retry }
    }

    /// As it would be handed out, of an entry that was not.
    pub(crate) fn into_next_attempt(mut self) -> Self {
        self.attempt = self.attempt.saturating_add(1);
        self
    }
}

/// A delivery whose payload may still lie in a file of its own.
pub(crate) struct Loaded {
    pub(crate) delivery: Delivery,
    claim: Option<Claim>,
}

/// Deliveries that are still being read. Should whoever asked for them give up meanwhile, they go back.
struct Promised<'a> {
    engine: &'a Engine,
    queue: &'a Queue,
    ids: Vec<DeliveryId>,
}

impl Drop for Promised<'_> {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.engine.take_back(self.queue, *id));
    }
}

/// A receiver's place among those who wait on a queue; given up also when its future is dropped.
struct Place<'a> {
    queue: &'a Queue,
    clock: &'a dyn Clock,
}

impl<'a> Place<'a> {
    fn take(queue: &'a Queue, clock: &'a dyn Clock) -> Result<Self> {
        let place = Self { queue, clock };
        if queue.receivers.fetch_add(1, AcqRel) >= limits::RECEIVERS_MAX {
            let context = format!("{}: too many receivers wait", queue.name);
            return Err(Error::new(Kind::Full, "receive from queue", context));
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.touch(self.clock.now());
        self.queue.receivers.fetch_sub(1, AcqRel);
    }
}

impl Engine {
    /// Takes what is ready, or waits for it. A dropped future has taken nothing: what it was about to return it gives back.
    pub(crate) async fn receive(&self, name: &QueueName, receive: Receive) -> Result<Vec<Delivery>> {
        if receive.count_max == 0 || receive.count_max > limits::RECEIVE_DELIVERIES_MAX {
            return Err(Error::new(Kind::Invalid, "receive from queue", format!("{name}: count_max")));
        }
        let queue = self.topology.find(name)?;
        let _place = Place::take(&queue, &*self.clock)?;
        loop {
            // Enlisted before looking, so that nothing that arrives in between goes unnoticed. A notification that was
            // received and not used passes on to the next receiver when `arrival` is dropped.
            let mut arrival = pin!(queue.arrivals.notified());
            arrival.as_mut().enable();
            self.check_open("receive from queue")?;
            let deliveries = self.take(&queue, &receive).await?;
            if !deliveries.is_empty() || self.clock.now() >= receive.wait_until {
                return Ok(deliveries);
            }
            let mut timeout = self.clock.sleep_until(receive.wait_until);
            poll_fn(|context| match arrival.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => timeout.as_mut().poll(context),
            })
            .await;
        }
    }

    /// Takes what is ready now. Messages that cannot be read are passed over; only when there is no other is that an
    /// error.
    pub(crate) async fn take(&self, queue: &Queue, receive: &Receive) -> Result<Vec<Delivery>> {
        let now = self.clock.now();
        let mut unread = None;
        for _ in 0..TRIES_MAX {
            let hand_out = || self.hand_out_ready(queue, receive, now);
            let handed = self.when_ready(Class::Step, SMALL_BYTES_MAX, hand_out).await?;
            if handed.is_empty() {
                break;
            }
            let deliveries = self.read_handed(queue, handed, receive.hold, &mut unread).await;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
        }
        unread.map_or(Ok(Vec::new()), Err)
    }

    fn hand_out_ready(&self, queue: &Queue, receive: &Receive, now: Instant) -> Result<Vec<Handed>> {
        while !queue.lock()?.ready.pass_over(limits::SLICE_MESSAGES_MAX) {}
        let handed = self.hand_out(queue, receive, now)?;
        if handed.is_empty() && self.expire_heads(queue, now)? {
            return self.hand_out(queue, receive, now);
        }
        Ok(handed)
    }

    /// Reads what was handed out. What cannot be read is put off, and the reason noted. Only for claimed payloads is
    /// anything awaited.
    async fn read_handed(
        &self,
        queue: &Queue,
        handed: Vec<Handed>,
        hold: Option<Duration>,
        unread: &mut Option<Error>,
    ) -> Vec<Delivery> {
        let mut promised = Promised { engine: self, queue, ids: Vec::new() };
        let mut loaded = Vec::with_capacity(handed.len());
        for (handed, body) in self.read_together(handed) {
            let id = handed.id;
            match self.load_read(queue, handed, body) {
                Ok(one) => loaded.push(one),
                Err(error) => {
                    self.put_off(queue, Pick::Held(id), &error);
                    *unread = Some(error);
                }
            }
        }
        let is_slow = loaded.iter().any(|loaded| loaded.claim.is_some());
        if is_slow {
            promised.ids.extend(loaded.iter().map(|loaded| loaded.delivery.id));
            self.hold_while_reading(queue, &promised.ids);
        }
        let mut deliveries = Vec::with_capacity(loaded.len());
        for loaded in loaded {
            let id = loaded.delivery.id;
            match self.complete(loaded).await {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => {
                    match error.kind() {
                        // It is not the message that is at fault.
                        Kind::Full | Kind::Unavailable | Kind::Closed => self.take_back(queue, id),
                        // It has left its queue meanwhile.
                        Kind::NotFound => continue,
                        _ => self.put_off(queue, Pick::Held(id), &error),
                    }
                    *unread = Some(error);
                }
            }
        }
        promised.ids.clear();
        if is_slow {
            deliveries.retain_mut(|delivery| self.hold_from_now(queue, delivery, hold));
        }
        deliveries
    }

    /// Nobody's hold runs out while a large payload is read. Neither this nor that the hold begins anew afterwards is written
    /// down: a crash ends the reading, too, and then the first end holds.
    fn hold_while_reading(&self, queue: &Queue, ids: &[DeliveryId]) {
        let Ok(mut state) = queue.lock() else { return };
        let until = self.clock.now() + limits::CLAIM_READ_HOLD;
        for id in ids {
            if state.is_held(id.position, id.token) {
                state.unsettled.extend(id.position, until);
            }
        }
    }

    /// The receiver has its whole hold before it. False if the message has left.
    fn hold_from_now(&self, queue: &Queue, delivery: &mut Delivery, hold: Option<Duration>) -> bool {
        let DeliveryId { position, token } = delivery.id;
        let Ok(mut state) = queue.lock() else { return false };
        if !state.is_held(position, token) {
            return false;
        }
        delivery.held_until = self.clock.now() + hold.unwrap_or(state.settings.hold);
        state.unsettled.extend(position, delivery.held_until);
        self.changed(queue, &mut state);
        true
    }

    fn hand_out(&self, queue: &Queue, receive: &Receive, now: Instant) -> Result<Vec<Handed>> {
        let mut state = queue.lock()?;
        self.come_due(queue, &mut state, now);
        let (mut handed, mut bytes, mut refused) = (Vec::new(), 0, Ok(()));
        while !state.paused
            && handed.len() < receive.count_max
            && state.ready.pass_over(limits::SLICE_MESSAGES_MAX)
            && !state.head_has_expired(now)
        {
            let Some(head) = state.ready.head() else { break };
            bytes += self.journal.bytes(head);
            if !handed.is_empty() && bytes > limits::RECEIVE_BYTES_MAX {
                break;
            }
            match self.hand_out_head(queue, &mut state, receive.hold, now) {
                Ok(head) => handed.extend(head),
                Err(error) => {
                    refused = Err(error);
                    break;
                }
            }
        }
        // Also after a refusal: this receiver may give up, and what woke it is still there for the others.
        self.changed(queue, &mut state);
        if handed.is_empty() { refused.map(|()| handed) } else { Ok(handed) }
    }

    fn hand_out_head(
        &self,
        queue: &Queue,
        state: &mut State,
        hold: Option<Duration>,
        now: Instant,
    ) -> Result<Option<Handed>> {
        let Some(head) = state.ready.head() else { return Ok(None) };
        let (position, attempts) = (head.position, head.attempts.saturating_add(1));
        let token = self.clock.random() as u32;
        let held_until = now + hold.unwrap_or(state.settings.hold);
        // Nobody waits for this record to be durable: should it be lost with the process, so is the hold, and the
        // message is delivered again as if for the first time.
        let attempt = attempts.into();
        let record = Record::Deliver { queue: queue.number, position, attempt, token, held_until };
        self.journal.append(&record)?;
        let Some(mut entry) = state.ready.pop() else { return Ok(None) };
        entry.attempts = attempts;
        let body = self.hot.take(&mut entry);
        let id = DeliveryId { position, token };
        let handed = Handed::new(id, &entry, body, held_until, state.settings.retry);
        state.hold(entry, token, held_until);
        state.counts.delivered += 1;
        Ok(Some(handed))
    }

    /// Reads all bodies that are not in memory, neighbours in the log together. What cannot be read so is left out.
    fn read_together(&self, handed: Vec<Handed>) -> Vec<(Handed, Option<Payload>)> {
        let cold = handed.iter().filter(|handed| handed.body.is_none());
        let locations: Vec<_> = cold.map(|handed| handed.stored.location).collect();
        let mut bodies = self.journal.read_many(&locations).into_iter();
        let with_body = |handed: Handed| {
            let body = if handed.body.is_none() { bodies.next() } else { None };
            (handed, body.and_then(Result::ok))
        };
        handed.into_iter().map(with_body).collect()
    }

    /// Completes a delivery with its body, all but a claimed payload.
    pub(crate) fn load(&self, queue: &Queue, handed: Handed) -> Result<Loaded> {
        self.load_read(queue, handed, None)
    }

    /// As [`load`](Self::load), if need be with a body that was read before.
    fn load_read(&self, queue: &Queue, handed: Handed, read: Option<Payload>) -> Result<Loaded> {
        let (message, claim, history) = match handed.body {
            // Only what was published here is kept in memory, and that has no history.
            Some(message) => (message, None, Vec::new()),
            None => {
                let body = match read {
                    Some(body) => body,
                    None => self.read(queue, handed.id.position, handed.stored)?,
                };
                let record = Record::decode(&body)?;
                let start = body.len() - record.message().head.len();
                let Decoded { message, claim } = message::decode(&body, start)?;
                (Arc::new(message), claim, record.into_history())
            }
        };
        let delivery = Delivery {
            id: handed.id,
            queue: queue.name.clone(),
            message,
            attempt: handed.attempt,
            retry: handed.retry,
            held_until: handed.held_until,
            published_at: handed.published_at,
            history,
        };
        Ok(Loaded { delivery, claim })
    }

    /// Reads the claimed payload, if there is one.
    pub(crate) async fn complete(&self, loaded: Loaded) -> Result<Delivery> {
        let Loaded { mut delivery, claim } = loaded;
        if let Some(claim) = claim {
            Arc::make_mut(&mut delivery.message).payload = self.journal.fetch(claim).await?;
        }
        Ok(delivery)
    }

    /// The record with a message's body. Whoever read its place did so under the lock, which it no longer holds: the
    /// body may have been carried forward since, and its old segment released.
    pub(crate) fn read(&self, queue: &Queue, position: u64, stored: Stored) -> Result<Payload> {
        let mut place = stored.location;
        loop {
            let error = match self.journal.read(place) {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let now_at = queue.lock()?.find(position).map(|(entry, _)| entry.stored().location);
            match now_at.filter(|now_at| *now_at != place) {
                Some(elsewhere) => place = elsewhere,
                None => return Err(error),
            }
        }
    }

    /// Leaves a message alone for a while that cannot be read. It stays in its queue, the others pass it, and nothing
    /// is counted against it: a disk may be mended, and what was confirmed is not thrown away.
    pub(crate) fn put_off(&self, queue: &Queue, pick: Pick, error: &Error) {
        let position = pick.position();
        let Ok(mut state) = queue.lock() else { return };
        // Somebody else may have it by now, or it is gone.
        if pick.find(&mut state).is_none() {
            return;
        }
        tracing::error!(queue = %queue.name, position, %error, "message cannot be read, and is put off");
        if matches!(pick, Pick::Held(_)) && !self.return_held(queue, &mut state, position) {
            return;
        }
        // That it waits is not written down: after a restart it is tried at once.
        let until = self.clock.now() + limits::QUEUE_PAUSE;
        state.put_off(position, until);
        self.changed(queue, &mut state);
    }

    /// Nobody has got this delivery: the message is ready in its old place, and the attempt does not count.
    fn take_back(&self, queue: &Queue, id: DeliveryId) {
        let Ok(mut state) = queue.lock() else { return };
        if Pick::Held(id).find(&mut state).is_some() && self.return_held(queue, &mut state, id.position) {
            self.changed(queue, &mut state);
        }
    }

    /// False if the log does not take that: then it is held until its time is up.
    fn return_held(&self, queue: &Queue, state: &mut State, position: u64) -> bool {
        let returned =
            self.journal.append(&Record::Return { queue: queue.number, position, seen: false }).is_ok();
        returned && state.give_back(position, false)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use forebay_contract::clock::SimClock;
    use forebay_contract::files::Saboteur;
    use forebay_core::ports::BoxFuture;
    use forebay_core::ports::broker::Broker;
    use forebay_core::ports::clock::Clock as _;

    use super::*;
    use crate::bench::Bench;
    use crate::broker::BrokerOptions;

    fn poll<T>(future: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn receivers_beyond_the_limit_are_refused_until_one_leaves() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let wait_until = bench.clock.now() + Duration::from_secs(9);
        let receive = || -> BoxFuture<'_, _> {
            bench.broker.receive(&q, Receive { count_max: 1, hold: None, wait_until })
        };
        let mut waiting: Vec<_> = (0..limits::RECEIVERS_MAX).map(|_| receive()).collect();
        assert!(waiting.iter_mut().all(|receive| poll(receive).is_pending()));
        let refused = poll(&mut receive());
        assert!(matches!(refused, Poll::Ready(Err(error)) if error.kind() == Kind::Full));
        drop(waiting.pop());
        assert!(poll(&mut receive()).is_pending());
    }

    #[test]
    fn a_receiver_that_gives_up_while_the_log_is_not_ready_leaves_the_message_to_the_next() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let wait_until = bench.clock.now() + Duration::from_secs(9);
        let receive = || -> BoxFuture<'_, _> {
            bench.broker.receive(&q, Receive { count_max: 1, hold: None, wait_until })
        };
        let (mut first, mut second) = (receive(), receive());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        assert_eq!(bench.try_publish(&q, 1), Ok(()));
        let log = &bench.engine().journal.log;
        while log.append(Class::Free, 7, &[b"in the way"]).is_ok() {}
        assert!(poll(&mut first).is_pending(), "the log takes no record of its delivery");
        drop(first);
        bench.write();
        assert!(matches!(poll(&mut second), Poll::Ready(Ok(deliveries)) if deliveries.len() == 1));
    }

    #[test]
    fn one_call_hands_out_no_more_bytes_than_the_limit_but_always_one_message() {
        let options = BrokerOptions { hot_bytes_max: 0, ..BrokerOptions::default() };
        let bench = Bench::open(Saboteur::new(), SimClock::new(1), options);
        let q = bench.queue("q");
        let mebibyte = 1024 * 1024;
        for bytes in [7 * mebibyte, 7 * mebibyte, 7 * mebibyte, 1] {
            bench.publish(&q, bytes);
        }
        let found = bench.engine().topology.find(&q).unwrap();
        let receive = Receive { count_max: 10, hold: None, wait_until: bench.clock.now() };
        let lengths = || -> Vec<_> {
            let taken = bench.until_ready(bench.engine().take(&found, &receive)).unwrap();
            taken.iter().map(|delivery| delivery.message.payload.len() / mebibyte).collect()
        };
        assert_eq!(lengths(), [7, 7]);
        assert_eq!(lengths(), [7, 0]);
        bench.publish(&q, limits::RECEIVE_BYTES_MAX + 4 * mebibyte);
        bench.publish(&q, 1);
        assert_eq!(lengths(), [20]);
    }

    #[test]
    fn a_deep_queue_keeps_its_front_in_memory_and_reads_the_rest_from_the_log() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        for bytes in 0..200 {
            bench.publish(&q, bytes);
        }
        let found = bench.engine().topology.find(&q).unwrap();
        let kept = |bench: &Bench| {
            let state = found.lock().unwrap();
            let hot = state.ready.iter().filter(|entry| entry.body.is_some()).count();
            let front = state.ready.iter().take(hot).all(|entry| entry.body.is_some());
            let (bytes, audited) = bench.engine().hot.audit(state.ready.iter());
            assert_eq!(bytes, audited);
            (hot, front, bytes)
        };
        let (hot, front, bytes) = kept(&bench);
        assert!(hot > 10 && front && bytes <= bench.options.hot_bytes_max, "{hot} {bytes}");
        for bytes in 0..150 {
            assert_eq!(bench.receive(&q).unwrap().message.payload.len(), bytes);
        }
        bench.publish(&q, 200);
        assert_eq!(kept(&bench).0, 0, "memory is for the front, and the front must be read");
        for bytes in 150..=200 {
            assert_eq!(bench.receive(&q).unwrap().message.payload.len(), bytes);
        }
        bench.publish(&q, 201);
        assert_eq!(kept(&bench).0, 1);
    }
}
