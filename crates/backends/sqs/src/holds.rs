//! Holds. To SQS a message is hidden from others for a short time that is prolonged as long as this process has it; so what
//! a process had that has died comes back soon. How long a delivery is held is our own count.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::ports::broker::Held;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use tokio::time;

use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::shelf::Letter;
use crate::wire::Change;

/// Prolongs what is here, until the broker is closed.
pub(crate) async fn keep(inner: Arc<Inner>) {
    let pause = inner.settings.visibility / 3;
    // Each queue by itself: what one of them waits for lets no hold of another lapse.
    let mut beats = FuturesUnordered::new();
    while !inner.is_closed() {
        let next = inner.pause(pause / 2);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                Some(()) = beats.next() => {}
            }
        }
        beats.extend(inner.all().into_iter().map(|queue| beat(inner.clone(), queue, pause)));
    }
}

async fn beat(inner: Arc<Inner>, queue: Arc<Queue>, pause: Duration) {
    // The one before is not through; the next one comes soon.
    let Ok(_hiding) = queue.hiding.try_lock() else { return };
    let now = inner.clock.now();
    let letters = queue.change_quietly(|shelf| {
        shelf.lapse(now);
        shelf.to_prolong(now + inner.settings.visibility - pause / 2)
    });
    let batches: Vec<_> = letters.chunks(limits::sqs::BATCH_MAX).map(<[_]>::to_vec).collect();
    let prolonged = |batch| prolong(inner.clone(), queue.clone(), batch);
    stream::iter(batches).for_each_concurrent(limits::sqs::REQUESTS_MAX, prolonged).await;
}

async fn prolong(inner: Arc<Inner>, queue: Arc<Queue>, letters: Vec<Arc<Letter>>) {
    let hide = inner.settings.visibility;
    let changes: Vec<_> =
        letters.iter().map(|letter| Change { receipt: letter.receipt.clone(), hide }).collect();
    // SQS counts from when it hears of it: that is later.
    let until = inner.clock.now() + hide;
    let changed = time::timeout(hide / 3, inner.wire.change(&queue.url, &changes)).await;
    match changed {
        Ok(Ok(ours)) => queue.change_quietly(|shelf| {
            for (letter, ours) in letters.iter().zip(ours) {
                if ours {
                    shelf.prolonged(letter.number, until);
                } else {
                    shelf.remove(letter.number);
                }
            }
        }),
        Ok(Err(refusal)) => {
            tracing::warn!(queue = %queue.settings.name, ?refusal, "sqs: holds could not be prolonged");
        }
        Err(_) => tracing::warn!(queue = %queue.settings.name, "sqs: holds could not be prolonged in time"),
    }
}

impl Inner {
    /// Hides letters for so long, or not at all, after all that was said of them before. They must be out of the shelf: then nothing
    /// more is said of them.
    pub(crate) async fn hide(&self, queue: &Queue, letters: &[Arc<Letter>], hide: Duration) {
        drop(queue.hiding.lock().await);
        for batch in letters.chunks(limits::sqs::BATCH_MAX) {
            let changes: Vec<_> =
                batch.iter().map(|letter| Change { receipt: letter.receipt.clone(), hide }).collect();
            // What cannot be given back comes back by itself.
            if let Err(refusal) = self.wire.change(&queue.url, &changes).await {
                tracing::warn!(queue = %queue.settings.name, ?refusal, "sqs: messages come back later");
            }
        }
    }

    /// Gives back what was received and is asked for by nobody.
    pub(crate) fn give_back_idle(self: &Arc<Self>, queue: Arc<Queue>) {
        let now = self.clock.now();
        let idle = queue.change_quietly(|shelf| {
            let idle = shelf.waiting.is_empty() && now.since(shelf.waiting.used_at) > limits::sqs::IDLE;
            let letters = if idle { shelf.take_ready() } else { Vec::new() };
            letters.iter().for_each(|letter| shelf.gave_back(letter));
            letters
        });
        if !idle.is_empty() {
            let inner = self.clone();
            self.run(async move { inner.hide(&queue, &idle, Duration::ZERO).await });
        }
    }

    /// Gives back everything, when the broker is closed.
    pub(crate) async fn give_back_all(&self, queue: Arc<Queue>) {
        let letters = queue.change(|shelf| shelf.take_all());
        self.hide(&queue, &letters, Duration::ZERO).await;
    }

    /// Waits for deliveries whose hold has run out.
    pub(crate) async fn expired(&self) -> Result<Vec<Delivery>> {
        loop {
            let changed = self.holds.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.check_open("wait for ended holds")?;
            let now = self.clock.now();
            let (mut run_out, mut next) = (Vec::new(), None::<Instant>);
            for queue in self.all() {
                let room = limits::EXPIRED_DELIVERIES_MAX - run_out.len();
                queue.change_quietly(|shelf| {
                    for position in shelf.run_out(room, now) {
                        run_out.extend(shelf.at(position).map(|held| queue.delivery(held)));
                    }
                    next = [next, shelf.next_end()].into_iter().flatten().min();
                });
            }
            if !run_out.is_empty() {
                return Ok(run_out);
            }
            let sleep = async {
                match next {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = sleep => {}
            }
        }
    }

    /// What is known of a delivery that is held.
    pub(crate) fn held(&self, name: &QueueName, delivery: DeliveryId) -> Option<Held> {
        let queue = self.known(name)?;
        queue.look(|shelf| {
            let held = shelf.held(delivery.position, delivery.token, self.clock.now())?;
            Some(Held { attempt: held.attempt, retry: queue.settings.retry, held_until: held.until })
        })
    }

    /// Holds a delivery from now for so long.
    pub(crate) fn extend(&self, name: &QueueName, delivery: DeliveryId, hold: Duration) -> Option<Instant> {
        let (queue, now) = (self.known(name)?, self.clock.now());
        let extended =
            queue.change_quietly(|shelf| shelf.extend(delivery.position, delivery.token, now + hold, now));
        self.holds.notify_waiters();
        extended
    }
}
