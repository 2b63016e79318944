//! Taking messages in, all of a batch or none, up to the length of the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::{Overflow, QueueName};
use forebay_core::time::Instant;
use forebay_log::Room;

use crate::engine::Engine;
use crate::records::{MessageBytes, NEW_BYTES_MAX, Record, Status, message};
use crate::state::State;
use crate::state::entry::{Entry, NEVER};
use crate::topology::Queue;

/// Messages on their way into a queue, encoded, and the room for them in the log.
pub(crate) struct Batch {
    queue: Arc<Queue>,
    messages: Vec<Message>,
    heads: Vec<Vec<u8>>,
    pub(crate) room: Room,
}

/// The ids of the messages that were taken in, and the sequence that makes them durable.
pub(crate) type TakenIn = (Vec<MessageId>, u64);

impl Engine {
    /// Appends all messages to the queue and returns the sequence that makes them durable. They may be delivered
    /// before: whatever a consumer does with them lies behind them in the log. Every error says that none was taken.
    pub(crate) async fn publish(&self, name: &QueueName, messages: Vec<Message>) -> Result<TakenIn> {
        if self.refuses.load(Relaxed) {
            let context = format!("{name}: queues have used up their memory, settle messages");
            return Err(Error::new(Kind::Full, "publish to queue", context));
        }
        let mut batch = self.batch(name, messages)?;
        loop {
            if let Some(taken_in) = self.take_in(&mut batch)? {
                return Ok(taken_in);
            }
            (&mut batch.room).await?;
        }
    }

    /// Checks and encodes. `TooLarge`: the log or the queue can never take so much at once.
    pub(crate) fn batch(&self, name: &QueueName, messages: Vec<Message>) -> Result<Batch> {
        let too_large =
            |what: &str| Err(Error::new(Kind::TooLarge, "publish to queue", format!("{name}: {what}")));
        messages.iter().try_for_each(Message::check)?;
        let heads: Vec<_> = messages.iter().map(message::head).collect();
        let bytes_max = self.journal.message_bytes_max();
        if messages.iter().zip(&heads).any(|(message, head)| message.payload.len() + head.len() > bytes_max) {
            return too_large("no log segment takes it");
        }
        let queue = self.topology.find(name)?;
        {
            let settings = &queue.lock()?.settings;
            if settings.overflow == Overflow::Reject && messages.len() as u64 > settings.length_max {
                return too_large("more messages than its length");
            }
        }
        let lengths = messages
            .iter()
            .zip(&heads)
            .map(|(message, head)| NEW_BYTES_MAX + head.len() + message.payload.len());
        let room = self.journal.room(lengths)?;
        Ok(Batch { queue, messages, heads, room })
    }

    /// Takes the batch in; `None` if its room must be waited for first.
    pub(crate) fn take_in(&self, batch: &mut Batch) -> Result<Option<TakenIn>> {
        let Batch { queue, messages, heads, room } = batch;
        let mut state = queue.lock()?;
        let settings = &state.settings;
        if settings.overflow == Overflow::Reject
            && state.len().saturating_add(messages.len() as u64) > settings.length_max
        {
            let context = format!("{}: at its length", queue.name);
            return Err(Error::new(Kind::Full, "publish to queue", context));
        }
        let now = self.clock.now();
        let records = messages.iter().zip(&*heads).map(|(message, head)| put(queue, message, head, now));
        let records: Vec<_> = records.collect();
        let Some(stored) = self.journal.append_bodies(room, &records)? else { return Ok(None) };
        drop(records);
        let last = stored.last().map_or(0, |stored| stored.location.sequence);
        let mut ids = Vec::with_capacity(messages.len());
        for (message, stored) in std::mem::take(messages).into_iter().zip(stored) {
            ids.push(message.id.clone());
            let not_before = message.not_before.filter(|at| *at > now);
            let mut entry = Entry::new(stored.location.sequence, stored, now);
            entry.expires_at = message.expires_at.unwrap_or(NEVER);
            if not_before.is_none() && state.ready.is_hot() {
                self.hot.keep(&mut entry, message);
            }
            state.arrive(entry, not_before, now);
            state.counts.published += 1;
        }
        self.drop_overflow(queue, &mut state);
        self.changed(queue, &mut state);
        Ok(Some((ids, last)))
    }

    /// Drops the oldest ready messages of a queue beyond its length, where its owner asked for that. What cannot be
    /// dropped now, because all is in consumers' hands or the log takes nothing, is dropped by a later publish.
    fn drop_overflow(&self, queue: &Queue, state: &mut State) {
        while state.settings.overflow == Overflow::DropHead && state.len() > state.settings.length_max {
            let Some(position) = state.ready.head().map(|head| head.position) else { return };
            if self.journal.append(&Record::Settle { queue: queue.number, position }).is_err() {
                return;
            }
            state.ready.pop().into_iter().for_each(|entry| self.forget(entry));
            state.counts.dropped += 1;
        }
    }
}

/// The record that brings the message.
fn put<'a>(queue: &Queue, message: &'a Message, head: &'a [u8], now: Instant) -> Record<'a> {
    let not_before = message.not_before.filter(|at| *at > now);
    Record::Put {
        queue: queue.number,
        position: 0,
        published_at: now,
        attempts: 0,
        expires_at: message.expires_at,
        status: not_before.map_or(Status::Ready, |until| Status::Delayed { until }),
        history: Vec::new(),
        message: MessageBytes { head, payload: &message.payload },
    }
}
