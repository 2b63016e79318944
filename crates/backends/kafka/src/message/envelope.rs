//! What goes with a payload: what its publisher said, and what has become of it since.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{History, Reason};
use forebay_core::limits;
use forebay_core::limits::kafka::ENVELOPE_BYTES_MAX;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use serde::{Deserialize, Serialize};

use super::values::{Token, flatten, unflatten};

/// The header that everything is in: the first one of a record.
pub(crate) const HEADER: &str = "forebay";
/// Its first byte.
const VERSION: u8 = 1;

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
    /// Where in this queue it was first, if it is there again: a replay tells of it once.
    pub(crate) origin: Option<i64>,
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
    origin: Option<i64>,
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
        Self {
            message: Arc::new(message),
            attempts: 0,
            published_at: now,
            due,
            history: Vec::new(),
            origin: None,
        }
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
        Self { message, attempts: 0, published_at: now, due: now, history, origin: None }
    }

    /// What goes into the header. Of a history that is too long the oldest lines are left out.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut stored = self.stored();
        let mut bytes = encode(&stored);
        while bytes.len() > ENVELOPE_BYTES_MAX && !stored.history.is_empty() {
            stored.history.remove(0);
            bytes = encode(&stored);
        }
        bytes
    }

    /// What came. A message of another program's is taken as it is, with its key if that is text, and this id.
    pub(crate) fn read(
        header: Option<&[u8]>,
        key: Option<&[u8]>,
        payload: Payload,
        now: Instant,
        id: MessageId,
    ) -> Self {
        match header.and_then(decode) {
            Some(stored) if stored.is_sound() => stored.into_envelope(payload, id),
            _ => {
                let key = key.and_then(|key| String::from_utf8(key.to_vec()).ok());
                let key = key.filter(|key| key.len() <= limits::MESSAGE_TEXT_BYTES_MAX);
                Self::new(Message { key, ..Message::new(id, payload) }, now)
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
            origin: self.origin,
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
            origin: self.origin,
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

    const NOW: Instant = Instant::from_ms(9);

    fn id(id: &str) -> MessageId {
        MessageId::given(id).unwrap()
    }

    fn read(envelope: &Envelope) -> Envelope {
        let payload = envelope.message.payload.clone();
        Envelope::read(Some(&envelope.header()), None, payload, NOW, id("other"))
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
        (envelope.attempts, envelope.origin) = (4, Some(3));
        let dead = envelope.leave(&queue("q"), Reason::Overflow, 5, Some("why"), Instant::from_ms(8));
        assert!(dead.origin.is_none(), "it is new where it comes to");
        for envelope in [envelope, dead] {
            let back = read(&envelope);
            assert_eq!(back.message, envelope.message);
            assert_eq!((back.attempts, back.published_at), (envelope.attempts, envelope.published_at));
            assert_eq!((back.due, back.history), (envelope.due, envelope.history));
            assert_eq!(back.origin, envelope.origin);
        }
    }

    #[test]
    fn a_message_of_another_program_is_taken_as_it_is() {
        let envelope = Envelope::read(None, Some(b"theirs"), "body".into(), NOW, id("ours"));
        assert_eq!(
            (envelope.message.id.clone(), envelope.message.key.as_deref()),
            (id("ours"), Some("theirs"))
        );
        assert_eq!(&*envelope.message.payload, b"body");
        let bare = Envelope::read(None, Some(&[255]), Payload::empty(), NOW, id("ours"));
        assert_eq!((bare.message.key.clone(), bare.published_at), (None, NOW));
    }

    #[test]
    fn a_header_that_cannot_be_read_costs_nobody_the_message() {
        for bytes in [&[][..], &[VERSION], &[VERSION, 200, 200], &[99, 1, 2, 3]] {
            let envelope = Envelope::read(Some(bytes), None, "body".into(), NOW, id("ours"));
            assert_eq!(&*envelope.message.payload, b"body");
        }
    }

    #[test]
    fn a_long_history_is_cut_so_that_the_message_goes_on() {
        let mut line = History::new(queue(&"q".repeat(255)), Reason::Rejected, NOW, 1);
        line.routing_keys = vec!["k".repeat(255); 64];
        let mut envelope = Envelope::new(Message::new(id("m"), Payload::empty()), NOW);
        envelope.history =
            (0..limits::HISTORY_ENTRIES_MAX as u64).map(|count| History { count, ..line.clone() }).collect();
        assert!(envelope.header().len() <= ENVELOPE_BYTES_MAX);
        let back = read(&envelope);
        assert!(back.history.len() < envelope.history.len());
        assert_eq!(back.history.last(), envelope.history.last());
    }
}
