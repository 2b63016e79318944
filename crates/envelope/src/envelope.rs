//! What goes with a payload: what its publisher said, and what has become of it since.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{History, Reason};
use forebay_core::limits;
use forebay_core::limits::elsewhere::ENVELOPE_BYTES_MAX;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::history::Line;
use crate::values::{Token, flatten, unflatten};
use crate::version;

/// The first byte.
const VERSION: u8 = 1;

/// A message and what has become of it.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// What was published.
    pub message: Arc<Message>,
    /// Attempts that counted.
    pub attempts: u32,
    /// When the queue took it.
    pub published_at: Instant,
    /// Not to be handed out before.
    pub due: Instant,
    /// How it came here.
    pub history: Vec<History>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    content_type: Option<String>,
    headers: Vec<Token>,
    key: Option<String>,
    not_before: Option<u64>,
    expires_at: Option<u64>,
    priority: u8,
    dedup_id: Option<String>,
    exchange: Option<String>,
    routing_key: Option<String>,
    time_to_live: Option<Duration>,
    attempts: u32,
    published_at: u64,
    due: u64,
    history: Vec<Line>,
}

impl Envelope {
    /// Of a message that a queue takes now.
    pub fn new(message: Message, now: Instant) -> Self {
        let due = message.not_before.unwrap_or(now);
        Self { message: Arc::new(message), attempts: 0, published_at: now, due, history: Vec::new() }
    }

    /// Which attempt the next one is: 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// As it leaves a queue as a dead letter, to begin anew elsewhere. It expires no more.
    pub fn leave(
        &self,
        queue: &QueueName,
        reason: Reason,
        attempts: u32,
        note: Option<&str>,
        now: Instant,
    ) -> Self {
        let mut history = self.history.clone();
        let same = |line: &History| line.queue == *queue && line.reason == reason;
        let count = history.iter().find(|line| same(line)).map_or(0, |line| line.count).saturating_add(1);
        history.retain(|line| !same(line));
        let note = note.map(|note| note[..note.floor_char_boundary(limits::NOTE_BYTES_MAX)].to_owned());
        history.push(History { count, note, ..History::new(queue.clone(), reason, now, attempts) });
        let excess = history.len().saturating_sub(limits::HISTORY_ENTRIES_MAX);
        history.drain(..excess);
        let message = if self.message.expires_at.is_some() {
            Arc::new(Message { expires_at: None, ..(*self.message).clone() })
        } else {
            self.message.clone()
        };
        Self { message, attempts: 0, published_at: now, due: now, history }
    }

    /// With the payload, which travels beside the envelope.
    pub fn with_payload(mut self, payload: Payload) -> Self {
        Arc::make_mut(&mut self.message).payload = payload;
        self
    }

    /// Everything but the payload, between what a backend writes before and behind it. Of a history that is too long for so
    /// many bytes the oldest lines are left out; the rest is not.
    pub fn encode(&self, before: impl Serialize, behind: impl Serialize, bytes_max: usize) -> Vec<u8> {
        let (mut stored, bytes_max) = (self.stored(), bytes_max.min(ENVELOPE_BYTES_MAX));
        loop {
            let bytes = version::encode(VERSION, &(&before, &stored, &behind));
            if bytes.len() <= bytes_max || stored.history.is_empty() {
                return bytes;
            }
            stored.history.remove(0);
        }
    }

    /// What was encoded, its payload still empty; `None` if these bytes never were one. Lines of its history that cannot be
    /// read are left out.
    pub fn decode<Before, Behind>(bytes: &[u8]) -> Option<(Before, Self, Behind)>
    where
        Before: DeserializeOwned,
        Behind: DeserializeOwned,
    {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return None;
        }
        let (before, stored, behind): (Before, Stored, Behind) = version::decode(VERSION, bytes)?;
        Some((before, stored.into_envelope()?, behind))
    }

    fn stored(&self) -> Stored {
        let message = &*self.message;
        Stored {
            id: message.id.as_str().to_owned(),
            content_type: message.content_type.clone(),
            headers: flatten(&message.headers),
            key: message.key.clone(),
            not_before: message.not_before.map(Instant::as_ms),
            expires_at: message.expires_at.map(Instant::as_ms),
            priority: message.priority,
            dedup_id: message.dedup_id.clone(),
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            time_to_live: message.time_to_live,
            attempts: self.attempts,
            published_at: self.published_at.as_ms(),
            due: self.due.as_ms(),
            history: self.history.iter().map(Line::of).collect(),
        }
    }
}

impl Stored {
    fn into_envelope(self) -> Option<Envelope> {
        let message = Message {
            id: MessageId::given(&self.id).ok()?,
            payload: Payload::empty(),
            content_type: self.content_type,
            headers: unflatten(self.headers)?,
            key: self.key,
            not_before: self.not_before.map(Instant::from_ms),
            expires_at: self.expires_at.map(Instant::from_ms),
            priority: self.priority,
            dedup_id: self.dedup_id,
            exchange: self.exchange,
            routing_key: self.routing_key,
            time_to_live: self.time_to_live,
        };
        Some(Envelope {
            message: Arc::new(message),
            attempts: self.attempts,
            published_at: Instant::from_ms(self.published_at),
            due: Instant::from_ms(self.due),
            history: self.history.into_iter().filter_map(Line::into_history).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
