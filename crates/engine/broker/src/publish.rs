//! Taking messages in, all of a batch or none, up to the length of the queue.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_core::delivery::{History, Reason};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::{Overflow, QueueName};
use forebay_core::time::Instant;
use forebay_log::Room;

use crate::engine::Engine;
use crate::moves::Pick;
use crate::moves::dead_letter::{Letter, Way};
use crate::records::message::CLAIM_BYTES;
use crate::records::{MessageBytes, NEW_BYTES_MAX, Record, Status, history, message};
use crate::state::State;
use crate::state::entry::{Entry, NEVER, Rank};
use crate::state::newest::Turn;
use crate::storage::claims::desk::Fresh;
use crate::topology::Queue;

/// Messages on their way into a queue, encoded, the files of the large ones, and the room for all in the log.
pub(crate) struct Batch<'a> {
    queue: Arc<Queue>,
    /// The publisher's, until they are taken.
    messages: &'a mut Vec<Arc<Message>>,
    heads: Vec<Vec<u8>>,
    fresh: Fresh<'a>,
    room: Room,
}

/// Which messages of a batch are not taken again; empty if all are taken.
#[derive(Debug, Default)]
struct Repeated {
    are: Vec<bool>,
    /// The last sequence of the first messages with their dedup ids.
    durable_with: u64,
}

impl Repeated {
    fn is_new(&self, index: usize) -> bool {
        self.are.get(index).is_none_or(|is_repeated| !is_repeated)
    }

    fn count(&self) -> u64 {
        self.are.iter().filter(|is_repeated| **is_repeated).count() as u64
    }
}

/// The ids of the messages that were taken in, and the sequence that makes them durable.
pub(crate) type TakenIn = (Vec<MessageId>, u64);

/// What became of a batch.
enum Taking {
    /// It was taken in.
    In(TakenIn),
    /// Its room must be waited for first.
    NotReady,
    /// The queue is at its length; nothing was taken, and what is repeated was taken before.
    TooMany(Repeated),
}

impl Engine {
    /// Appends all messages to the queue and returns the sequence that makes them durable. They may be delivered
    /// before: whatever a consumer does with them lies behind them in the log. Every error says that none was taken; they
    /// stay where they are until the queue takes them, or refuses them and sends them through its dead-letter exchange.
    pub(crate) async fn publish_from(
        &self,
        name: &QueueName,
        messages: &mut Vec<Arc<Message>>,
    ) -> Result<TakenIn> {
        if self.refuses.load(Relaxed) {
            let context = format!("{name}: queues have used up their memory, settle messages");
            return Err(Error::new(Kind::Full, "publish to queue", context));
        }
        let mut batch = self.batch(name, messages).await?;
        loop {
            match self.take_in(&mut batch)? {
                Taking::In(taken_in) => {
                    self.shed_after_publish(&batch.queue);
                    return Ok(taken_in);
                }
                Taking::TooMany(repeated) => {
                    self.pass_on_refused(&mut batch, &repeated);
                    let context = format!("{name}: at its length");
                    return Err(Error::new(Kind::Full, "publish to queue", context));
                }
                Taking::NotReady => (&mut batch.room).await?,
            }
        }
    }

    /// Checks, encodes, and writes large payloads into files of their own. `TooLarge`: the log or the queue can never take
    /// so much at once.
    async fn batch<'a>(&'a self, name: &QueueName, messages: &'a mut Vec<Arc<Message>>) -> Result<Batch<'a>> {
        let too_large =
            |what: &str| Err(Error::new(Kind::TooLarge, "publish to queue", format!("{name}: {what}")));
        messages.iter().try_for_each(|message| message.check())?;
        let mut heads: Vec<_> = messages.iter().map(|message| message::head(message, None)).collect();
        let bytes_max = self.journal.message_bytes_max();
        let (mut lengths, mut payloads) = (Vec::with_capacity(messages.len()), Vec::new());
        for (index, (message, head)) in messages.iter().zip(&heads).enumerate() {
            let mut length = head.len() + message.payload.len();
            if message.payload.len() > self.journal.claims.above_bytes || length > bytes_max {
                payloads.push((index, message.payload.clone()));
                length = head.len() + CLAIM_BYTES;
            }
            if length > bytes_max {
                return too_large("no log segment takes it");
            }
            lengths.push(NEW_BYTES_MAX + length);
        }
        let queue = self.topology.find(name)?;
        {
            let settings = &queue.lock()?.settings;
            if settings.overflow != Overflow::DropHead && messages.len() as u64 > settings.length_max {
                return too_large("more messages than its length");
            }
        }
        let room = self.journal.room(lengths.into_iter())?;
        // Before anything says that they are there.
        let fresh = self.journal.store(payloads, room.segments()).await?;
        for (index, (message, head)) in messages.iter().zip(&mut heads).enumerate() {
            if let Some(claim) = fresh.get(index) {
                *head = message::head(message, Some(claim));
            }
        }
        Ok(Batch { queue, messages, heads, fresh, room })
    }

    fn take_in(&self, batch: &mut Batch<'_>) -> Result<Taking> {
        let Batch { queue, messages, heads, fresh, room } = batch;
        let mut state = queue.lock()?;
        let now = self.clock.now();
        let repeated = self.repeated(&mut state, messages, now);
        let is_new = |index: usize| repeated.is_new(index);
        let turns = state.turns(messages, is_new);
        let adds = |turn: &Turn| matches!(turn, Turn::Alone | Turn::Newest { replaces: 0 });
        let more = turns.iter().enumerate().filter(|(index, turn)| is_new(*index) && adds(turn)).count();
        if state.settings.overflow != Overflow::DropHead {
            let length_max = state.settings.length_max.max(state.waiting_len());
            let arriving = messages.iter().zip(&turns).enumerate().filter(|(index, _)| is_new(*index));
            let arriving = arriving.map(|(_, (message, turn))| (&**message, *turn));
            if state.waiting_len().saturating_add(more as u64) > length_max || !state.has_room_for(arriving) {
                return Ok(Taking::TooMany(repeated));
            }
        }
        let all = messages.iter().zip(&*heads).zip(&turns).enumerate();
        let written = all.filter(|(index, (_, turn))| is_new(*index) && **turn != Turn::Overtaken);
        let records = written.map(|(index, ((message, head), turn))| {
            let payload = if fresh.get(index).is_some() { &[] } else { &*message.payload };
            let expires_at = state.expires_at(message, now);
            put(queue, message, MessageBytes { head, payload }, *turn, now, expires_at)
        });
        let records: Vec<_> = records.collect();
        let Some(stored) = self.journal.append_bodies(room, &records)? else { return Ok(Taking::NotReady) };
        drop(records);
        // Who publishes again is answered when the first message with that dedup id is durable.
        let last = stored.last().map_or(0, |stored| stored.location.sequence).max(repeated.durable_with);
        let mut ids = Vec::with_capacity(messages.len());
        let mut stored = stored.into_iter();
        for (index, (message, turn)) in std::mem::take(*messages).into_iter().zip(turns).enumerate() {
            ids.push(message.id.clone());
            if !is_new(index) {
                continue;
            }
            state.counts.published += 1;
            if turn == Turn::Overtaken {
                state.counts.dropped += 1;
                continue;
            }
            let Some(stored) = stored.next() else { break };
            if let Some(id) = message.dedup_id.as_ref().filter(|_| !state.settings.dedup_window.is_zero()) {
                state.marks.add(id, now, stored);
            }
            if matches!(turn, Turn::Newest { .. } | Turn::Next) {
                let key = message.key.as_deref().unwrap_or_default();
                let replaces = state.waiting_with(key);
                state.note_key(stored.location.sequence, key);
                if let Some(replaced) = replaces.and_then(|replaces| state.take(replaces)) {
                    self.forget(replaced);
                    state.counts.dropped += 1;
                }
            }
            let not_before = message.not_before.filter(|at| *at > now);
            let rank = Rank::of(message.priority, message.key.as_deref());
            let mut entry = Entry::new(stored.location.sequence, stored, now, rank);
            entry.expire_at(state.expires_at(&message, now).unwrap_or(NEVER));
            let payload_bytes = message.payload.len();
            if let Some(claim) = fresh.take(index) {
                entry.set_claim();
                self.journal.claims.keep(entry.position, claim);
            } else if not_before.is_none() && state.ready.is_hot() {
                self.hot.keep(&mut entry, message);
            }
            state.note_payload(entry.position, payload_bytes);
            state.arrive(entry, not_before, now);
        }
        state.counts.repeated += repeated.count();
        self.drop_overflow(queue, &mut state);
        self.changed(queue, &mut state);
        Ok(Taking::In((ids, queue.awaited(last))))
    }

    /// Finds the messages of a batch that the queue has taken before, within its window or in this batch.
    fn repeated(&self, state: &mut State, messages: &[Arc<Message>], now: Instant) -> Repeated {
        let window = state.settings.dedup_window;
        if window.is_zero() || messages.iter().all(|message| message.dedup_id.is_none()) {
            return Repeated::default();
        }
        state.counts.dedup_forgotten += state.marks.forget(now, window, |stored| self.journal.died(stored));
        let mut durable_with = 0;
        let mut here = HashSet::new();
        let mut is_repeated = |id: &str| match state.marks.find(id, now, window) {
            Some(sequence) => {
                durable_with = durable_with.max(sequence);
                true
            }
            None => false,
        };
        let are = messages.iter().map(|message| {
            let id = message.dedup_id.as_deref();
            id.is_some_and(|id| is_repeated(id) || !here.insert(id))
        });
        let are = are.collect();
        Repeated { are, durable_with }
    }

    /// Drops the oldest of the ready messages that a queue has beyond its length, where its owner asked for that. What the log
    /// does not let go now is dropped with what changes the queue next.
    pub(crate) fn drop_overflow(&self, queue: &Queue, state: &mut State) {
        while state.is_over() && state.settings.dead_letter_exchange.is_none() {
            let Some(position) = state.ready.least().map(|least| least.position) else { return };
            if self.journal.append(&Record::Settle { queue: queue.number, position }).is_err() {
                return;
            }
            state.take(position).into_iter().for_each(|entry| self.forget(entry));
            state.counts.dropped += 1;
        }
    }
}

impl Engine {
    /// Sends a bounded number of the messages that a queue has beyond its length through its dead-letter exchange, oldest
    /// first. To be called without any lock; an alarm brings the rest.
    pub(crate) fn shed(&self, queue: &Queue) -> Result<()> {
        for _ in 0..limits::DUE_MESSAGES_MAX {
            let position = queue.lock()?.to_be_shed();
            let Some(pick) = position.map(Pick::Ready) else { return Ok(()) };
            match self.dead_letter(queue, pick, Reason::Overflow, None) {
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Io) => {
                    self.put_off(queue, pick, &error);
                }
                moved => drop(moved?),
            }
        }
        Ok(())
    }

    /// Sends a batch that the queue has refused through its dead-letter exchange, where its owner asked for that. The publisher
    /// was told that it was refused, so that nothing is promised of it: what cannot be written now is gone.
    fn pass_on_refused(&self, batch: &mut Batch<'_>, repeated: &Repeated) {
        let Batch { queue, messages, fresh, .. } = batch;
        let exchange = match queue.lock() {
            Ok(state) if state.settings.overflow == Overflow::RejectDeadLetter => {
                state.settings.dead_letter_exchange.clone()
            }
            _ => None,
        };
        let Some(exchange) = exchange else { return };
        let now = self.clock.now();
        let refused = std::mem::take(*messages).into_iter().enumerate();
        for (index, message) in refused.filter(|(index, _)| repeated.is_new(*index)) {
            let message = Arc::unwrap_or_clone(message);
            let mut letter = Letter { message, claim: fresh.hold(index), history: Vec::new() };
            let line = History { at: now, ..letter.line(&queue.name, Reason::Overflow, None) };
            let Way::To(queues, message) = self.way(&queue.name, &exchange, &letter, &line) else { continue };
            history::add(&mut letter.history, line);
            let head = message::head(&message, letter.claim);
            let payload = if letter.claim.is_some() { &[] } else { &*message.payload };
            let bytes = MessageBytes { head: &head, payload };
            for to in queues {
                if let Err(error) = self.bring(&to, &letter, &message, bytes, now) {
                    tracing::warn!(queue = %to.name, %error, "refused message does not reach its dead letters");
                }
            }
        }
    }

    /// Writes a message that was in no queue into this one, with its history.
    fn bring(
        &self,
        to: &Queue,
        letter: &Letter,
        message: &Message,
        bytes: MessageBytes<'_>,
        now: Instant,
    ) -> Result<()> {
        let mut state = to.lock()?;
        let expires_at = state.expires_at(message, now);
        let stored = self.journal.append_body(&Record::Put {
            queue: to.number,
            position: 0,
            published_at: now,
            attempts: 0,
            expires_at,
            status: Status::Ready,
            replaces: None,
            history: letter.history.clone(),
            message: bytes,
        })?;
        let sequence = stored.location.sequence;
        let mut entry = Entry::new(sequence, stored, now, Rank::of(message.priority, message.key.as_deref()));
        entry.expire_at(expires_at.unwrap_or(NEVER));
        if let Some(claim) = letter.claim {
            entry.set_claim();
            self.journal.claims.keep(sequence, claim);
        }
        state.note_payload(sequence, letter.message.payload.len());
        state.arrive(entry, None, now);
        self.drop_overflow(to, &mut state);
        self.changed(to, &mut state);
        Ok(())
    }

    fn shed_after_publish(&self, queue: &Queue) {
        let sheds = queue.lock().is_ok_and(|state| state.to_be_shed().is_some());
        // What is refused is tried again by the timers, and told there.
        if sheds && self.shed(queue).is_err() {
            queue.lock().into_iter().for_each(|mut state| self.changed(queue, &mut state));
        }
    }
}

/// The record that brings the message.
fn put<'a>(
    queue: &Queue,
    message: &Message,
    bytes: MessageBytes<'a>,
    turn: Turn,
    now: Instant,
    expires_at: Option<Instant>,
) -> Record<'a> {
    let not_before = message.not_before.filter(|at| *at > now);
    Record::Put {
        queue: queue.number,
        position: 0,
        published_at: now,
        attempts: 0,
        expires_at,
        status: not_before.map_or(Status::Ready, |until| Status::Delayed { until }),
        replaces: match turn {
            Turn::Newest { replaces } => Some(replaces),
            Turn::Next => Some(0),
            Turn::Alone | Turn::Overtaken => None,
        },
        history: Vec::new(),
        message: bytes,
    }
}
