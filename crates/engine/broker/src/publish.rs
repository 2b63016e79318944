//! Taking messages in, up to the length of the queue.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::{Overflow, QueueName};
use forebay_core::time::Instant;

use crate::engine::Engine;
use crate::records::{MessageBytes, Record, Status, message};
use crate::state::State;
use crate::state::entry::{Entry, NEVER};
use crate::topology::Queue;

impl Engine {
    /// Appends all messages to the queue and returns the sequence that makes them durable. They may be delivered
    /// before: whatever a consumer does with them lies behind them in the log.
    pub(crate) fn publish(&self, name: &QueueName, messages: Vec<Message>) -> Result<(Vec<MessageId>, u64)> {
        messages.iter().try_for_each(Message::check)?;
        let heads: Vec<_> = messages.iter().map(message::head).collect();
        let bytes_max = self.journal.message_bytes_max();
        if messages.iter().zip(&heads).any(|(message, head)| message.payload.len() + head.len() > bytes_max) {
            return Err(Error::new(
                Kind::TooLarge,
                "publish to queue",
                format!("{name}: no log segment takes it"),
            ));
        }
        let ids = messages.iter().map(|message| message.id.clone()).collect();
        self.journal.check_room()?;
        let queue = self.topology.find(name)?;
        let mut state = queue.lock()?;
        let settings = &state.settings;
        if settings.overflow == Overflow::Reject
            && state.len().saturating_add(messages.len() as u64) > settings.length_max
        {
            return Err(Error::new(Kind::Full, "publish to queue", format!("{name}: at its length")));
        }
        let now = self.clock.now();
        let mut last = 0;
        for (message, head) in messages.into_iter().zip(heads) {
            match self.take_in(&queue, &mut state, message, &head, now) {
                Ok(sequence) => last = sequence,
                Err(error) if last == 0 => return Err(error),
                // "Full" promises that nothing was taken.
                Err(error) => {
                    self.changed(&queue, &mut state);
                    let context = format!("{name}: only a part of the batch was taken");
                    return Err(Error::new(Kind::Unavailable, "publish to queue", context).because(error));
                }
            }
        }
        self.drop_overflow(&queue, &mut state);
        self.changed(&queue, &mut state);
        Ok((ids, last))
    }

    fn take_in(
        &self,
        queue: &Queue,
        state: &mut State,
        message: Message,
        head: &[u8],
        now: Instant,
    ) -> Result<u64> {
        let (not_before, expires_at) = (message.not_before.filter(|at| *at > now), message.expires_at);
        let stored = self.journal.append_body(&Record::Put {
            queue: queue.number,
            position: 0,
            published_at: now,
            attempts: 0,
            expires_at,
            status: not_before.map_or(Status::Ready, |until| Status::Delayed { until }),
            history: Vec::new(),
            message: MessageBytes { head, payload: &message.payload },
        })?;
        let position = stored.location.sequence;
        let mut entry = Entry::new(position, stored, now);
        entry.expires_at = expires_at.unwrap_or(NEVER);
        if not_before.is_none() && state.ready.is_hot() {
            self.hot.keep(&mut entry, message);
        }
        state.arrive(entry, not_before, now);
        state.counts.published += 1;
        Ok(position)
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
