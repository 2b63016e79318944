//! What goes with a payload: what its publisher said, and what has become of it since.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{History, Reason};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, FieldTable, ShortString};
use serde::{Deserialize, Serialize};

use super::values::{Token, flatten, unflatten};

/// The header that everything is in.
const HEADER: &str = "forebay";
/// Its first byte.
const VERSION: u8 = 1;
/// AMQP's word for a message that survives a restart.
const PERSISTENT: u8 = 2;

/// A message and what has become of it.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: Arc<Message>,
    /// Attempts that counted.
    pub(crate) attempts: u32,
    /// When the queue took it.
    pub(crate) published_at: Instant,
    /// Not to be handed out before.
    pub(crate) due: Instant,
    /// How it came here.
    pub(crate) history: Vec<History>,
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
    history: Vec<StoredHistory>,
}

#[derive(Serialize, Deserialize)]
struct StoredHistory {
    queue: String,
    reason: u8,
    count: u64,
    at: u64,
    attempts: u32,
    note: Option<String>,
    exchange: Option<String>,
    routing_keys: Vec<String>,
    time_to_live: Option<Duration>,
}

impl Envelope {
    /// Of a message that a queue takes now.
    pub(crate) fn new(message: Message, now: Instant) -> Self {
        let due = message.not_before.unwrap_or(now);
        Self { message: Arc::new(message), attempts: 0, published_at: now, due, history: Vec::new() }
    }

    /// As it leaves a queue as a dead letter, to begin anew elsewhere. It expires no more.
    pub(crate) fn leave(
        &self,
        queue: &QueueName,
        reason: Reason,
        attempts: u32,
        note: Option<&str>,
        now: Instant,
    ) -> Self {
        let mut history = self.history.clone();
        let same = |line: &History| line.queue == *queue && line.reason == reason;
        let count = history.iter().find(|line| same(line)).map_or(0, |line| line.count) + 1;
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

    /// AMQP's properties with everything in them. Of a history that is too long the oldest lines are left out: they must fit
    /// into one frame.
    pub(crate) fn properties(&self) -> BasicProperties {
        let mut stored = self.stored();
        let mut bytes = encode(&stored);
        while bytes.len() > limits::RABBITMQ_ENVELOPE_BYTES_MAX && !stored.history.is_empty() {
            stored.history.remove(0);
            bytes = encode(&stored);
        }
        let mut headers = FieldTable::default();
        headers.insert(HEADER.into(), AMQPValue::ByteArray(ByteArray::from(bytes)));
        let message = &self.message;
        let mut properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers)
            .with_timestamp(self.published_at.as_ms() / 1_000);
        if let Ok(id) = ShortString::try_new(message.id.as_str()) {
            properties = properties.with_message_id(id);
        }
        if let Some(Ok(content_type)) = message.content_type.clone().map(ShortString::try_new) {
            properties = properties.with_content_type(content_type);
        }
        properties
    }

    /// What came. A message of another program's has its own id and content type, if it says them; `id` if not.
    pub(crate) fn read(properties: &BasicProperties, body: Vec<u8>, now: Instant, id: MessageId) -> Self {
        let header = properties.headers().as_ref().and_then(|headers| headers.inner().get(HEADER));
        let bytes = match header {
            Some(AMQPValue::ByteArray(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        let payload = Payload::from(body);
        match bytes.and_then(decode) {
            Some(stored) if stored.is_sound() => stored.into_envelope(payload, id),
            _ => {
                let given =
                    properties.message_id().as_ref().and_then(|id| MessageId::given(id.as_str()).ok());
                let content_type = properties.content_type().as_ref().map(ToString::to_string);
                let message = Message { content_type, ..Message::new(given.unwrap_or(id), payload) };
                Self::new(message, now)
            }
        }
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
            history: self.history.iter().map(StoredHistory::of).collect(),
        }
    }
}

fn encode(stored: &Stored) -> Vec<u8> {
    // Everything that is stored can be written: strings, numbers, lists of them.
    let mut bytes = vec![VERSION];
    bytes.extend(postcard::to_allocvec(stored).unwrap_or_default());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Stored> {
    let (version, rest) = bytes.split_first()?;
    (*version == VERSION).then(|| postcard::from_bytes(rest).ok())?
}

impl Stored {
    fn is_sound(&self) -> bool {
        MessageId::given(&self.id).is_ok()
    }

    fn into_envelope(self, payload: Payload, id: MessageId) -> Envelope {
        let message = Message {
            id: MessageId::given(&self.id).unwrap_or(id),
            payload,
            content_type: self.content_type,
            headers: unflatten(self.headers).unwrap_or_default(),
            key: self.key,
            not_before: self.not_before.map(Instant::from_ms),
            expires_at: self.expires_at.map(Instant::from_ms),
            priority: self.priority,
            dedup_id: self.dedup_id,
            exchange: self.exchange,
            routing_key: self.routing_key,
            time_to_live: self.time_to_live,
        };
        Envelope {
            message: Arc::new(message),
            attempts: self.attempts,
            published_at: Instant::from_ms(self.published_at),
            due: Instant::from_ms(self.due),
            history: self.history.into_iter().filter_map(StoredHistory::into_history).collect(),
        }
    }
}

/// In the order of their numbers.
const REASONS: [Reason; 5] =
    [Reason::Rejected, Reason::AttemptsSpent, Reason::Expired, Reason::Overflow, Reason::DeliveryLimit];

impl StoredHistory {
    fn of(line: &History) -> Self {
        let reason = REASONS.iter().position(|reason| *reason == line.reason).unwrap_or_default();
        Self {
            queue: line.queue.as_str().to_owned(),
            reason: reason as u8,
            count: line.count,
            at: line.at.as_ms(),
            attempts: line.attempts,
            note: line.note.clone(),
            exchange: line.exchange.clone(),
            routing_keys: line.routing_keys.clone(),
            time_to_live: line.time_to_live,
        }
    }

    fn into_history(self) -> Option<History> {
        let reason = *REASONS.get(usize::from(self.reason))?;
        let line =
            History::new(QueueName::new(&self.queue).ok()?, reason, Instant::from_ms(self.at), self.attempts);
        Some(History {
            count: self.count,
            note: self.note,
            exchange: self.exchange,
            routing_keys: self.routing_keys,
            time_to_live: self.time_to_live,
            ..line
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> MessageId {
        MessageId::given(id).unwrap()
    }

    fn read(envelope: &Envelope) -> Envelope {
        let body = envelope.message.payload.to_vec();
        Envelope::read(&envelope.properties(), body, Instant::from_ms(9), id("other"))
    }

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn it_comes_back_with_all_that_was_said_of_it() {
        let mut message = Message::new(id("m"), "payload".into());
        message.headers.set("till", 3_u64.into());
        message.not_before = Some(Instant::from_ms(70));
        message.key = Some("k".into());
        message.time_to_live = Some(Duration::from_millis(5));
        let mut envelope = Envelope::new(message, Instant::from_ms(7));
        envelope.attempts = 4;
        let dead = envelope.leave(&queue("q"), Reason::Overflow, 5, Some("why"), Instant::from_ms(8));
        for envelope in [envelope, dead] {
            let back = read(&envelope);
            assert_eq!(back.message, envelope.message);
            assert_eq!((back.attempts, back.published_at), (envelope.attempts, envelope.published_at));
            assert_eq!((back.due, back.history), (envelope.due, envelope.history));
        }
    }

    #[test]
    fn a_message_of_another_program_is_taken_as_it_is() {
        let properties = BasicProperties::default()
            .with_message_id("theirs".into())
            .with_content_type("text/plain".into());
        let envelope = Envelope::read(&properties, b"body".to_vec(), Instant::from_ms(9), id("ours"));
        assert_eq!(envelope.message.id, id("theirs"));
        assert_eq!(envelope.message.content_type.as_deref(), Some("text/plain"));
        assert_eq!(&*envelope.message.payload, b"body");
        let bare = Envelope::read(&BasicProperties::default(), Vec::new(), Instant::from_ms(9), id("ours"));
        assert_eq!((bare.message.id.clone(), bare.published_at), (id("ours"), Instant::from_ms(9)));
    }

    #[test]
    fn a_header_that_cannot_be_read_costs_nobody_the_message() {
        for bytes in [vec![], vec![VERSION], vec![VERSION, 200, 200], vec![99, 1, 2, 3]] {
            let mut headers = FieldTable::default();
            headers.insert(HEADER.into(), AMQPValue::ByteArray(ByteArray::from(bytes)));
            let properties = BasicProperties::default().with_headers(headers);
            let envelope = Envelope::read(&properties, b"body".to_vec(), Instant::from_ms(9), id("ours"));
            assert_eq!(&*envelope.message.payload, b"body");
        }
    }

    #[test]
    fn a_long_history_is_cut_so_that_the_message_goes_on() {
        let note = "é".repeat(limits::NOTE_BYTES_MAX);
        let mut envelope = Envelope::new(Message::new(id("m"), Payload::empty()), Instant::from_ms(1));
        envelope.message = Arc::new(Message {
            headers: [("large".to_owned(), "x".repeat(60_000).into())].into_iter().collect(),
            ..(*envelope.message).clone()
        });
        for round in 0..200 {
            let from = queue(&format!("{round} {}", "q".repeat(240)));
            envelope = envelope.leave(&from, Reason::Rejected, 1, Some(&note), Instant::from_ms(round));
        }
        assert_eq!(envelope.history.len(), limits::HISTORY_ENTRIES_MAX);
        let headers = envelope.properties().headers().clone().unwrap();
        let Some(AMQPValue::ByteArray(bytes)) = headers.inner().get(HEADER) else { panic!("no envelope") };
        assert!(bytes.as_slice().len() <= limits::RABBITMQ_ENVELOPE_BYTES_MAX);
        let back = read(&envelope);
        assert!(!back.history.is_empty());
        assert_eq!(back.history.last(), envelope.history.last());
        assert_eq!(back.message, envelope.message);
    }
}
