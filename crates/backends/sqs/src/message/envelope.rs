//! What goes with a payload: what its publisher said, and what has become of it since.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use forebay_core::delivery::{History, Reason};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use serde::{Deserialize, Serialize};

use super::values::{Token, flatten, unflatten};

/// The attribute that everything is in.
pub(crate) const ATTRIBUTE: &str = "forebay";
/// Its first byte.
const VERSION: u8 = 1;
/// What SQS takes as the body of a message that has none: it must have one character.
const NO_BODY: &str = "-";

/// A message and what has become of it.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) message: Arc<Message>,
    /// Attempts that were settled.
    pub(crate) attempts: u32,
    /// When the queue took it.
    pub(crate) published_at: Instant,
    /// Not to be handed out before.
    pub(crate) due: Instant,
    /// How it came here.
    pub(crate) history: Vec<History>,
    /// Where its payload lies, if that is not in SQS.
    pub(crate) claim: Option<Claim>,
}

/// The name of a payload that lies beside SQS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The name of its file.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Their checksum.
    pub(crate) crc: u32,
}

/// How the payload is in the body.
#[derive(Serialize, Deserialize)]
enum Body {
    Nothing,
    Text,
    Base64,
    Claim(Claim),
}

/// A message as SQS has it.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) body: String,
    pub(crate) attribute: Vec<u8>,
}

impl Packed {
    /// What SQS counts.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.attribute.len() + limits::sqs::ENTRY_BYTES
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    body: Body,
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
        let (message, attempts, history, claim) = (Arc::new(message), 0, Vec::new(), None);
        Self { message, attempts, published_at: now, due, history, claim }
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
        let claim = self.claim.clone();
        Self { message, attempts: 0, published_at: now, due: now, history, claim }
    }

    /// As SQS takes it, in no more than so many bytes if that can be. Of a history that is too long the oldest lines are left
    /// out.
    pub(crate) fn pack(&self, bytes_max: usize) -> Packed {
        let payload = &self.message.payload;
        let (kind, mut body) = match (&self.claim, std::str::from_utf8(payload)) {
            (Some(claim), _) => (Body::Claim(claim.clone()), NO_BODY.to_owned()),
            (None, Ok("")) => (Body::Nothing, NO_BODY.to_owned()),
            (None, Ok(text)) if text.chars().all(is_taken) => (Body::Text, text.to_owned()),
            (None, _) => (Body::Base64, BASE64.encode(&**payload)),
        };
        let mut stored = self.stored(kind);
        loop {
            let packed = Packed { body, attribute: encode(&stored) };
            if packed.bytes() <= bytes_max || stored.history.is_empty() {
                return packed;
            }
            stored.history.remove(0);
            body = packed.body;
        }
    }

    /// What came. A message of another program has its body as its payload, and `id` as its name.
    pub(crate) fn unpack(body: &str, attribute: Option<&[u8]>, id: &str, sent_at: Instant) -> Self {
        let foreign = || {
            // SQS's own ids have at most 100 characters.
            let id = MessageId::given(id).unwrap_or_else(|_| MessageId::generate(sent_at, [0; 2]));
            Self::new(Message::new(id, Payload::from(body)), sent_at)
        };
        let Some(stored) = attribute.and_then(decode) else { return foreign() };
        let (payload, claim) = match &stored.body {
            Body::Nothing => (Payload::empty(), None),
            Body::Claim(claim) => (Payload::empty(), Some(claim.clone())),
            Body::Text => (Payload::from(body), None),
            Body::Base64 => match BASE64.decode(body) {
                Ok(payload) => (Payload::from(payload), None),
                Err(_) => return foreign(),
            },
        };
        stored.into_envelope(payload, claim).unwrap_or_else(foreign)
    }

    /// With the payload that its claim has brought.
    pub(crate) fn redeemed(mut self, payload: Payload) -> Self {
        self.message = Arc::new(Message { payload, ..(*self.message).clone() });
        self
    }

    fn stored(&self, body: Body) -> Stored {
        let message = &*self.message;
        Stored {
            body,
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
    /// `None` if it never was a message.
    fn into_envelope(self, payload: Payload, claim: Option<Claim>) -> Option<Envelope> {
        let message = Message {
            id: MessageId::given(&self.id).ok()?,
            payload,
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
            history: self.history.into_iter().filter_map(StoredHistory::into_history).collect(),
            claim,
        })
    }
}

/// The characters that SQS takes: those of XML.
fn is_taken(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
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

    const LARGE: usize = 256 * 1024;

    fn id(id: &str) -> MessageId {
        MessageId::given(id).unwrap()
    }

    fn unpack(packed: &Packed) -> Envelope {
        Envelope::unpack(&packed.body, Some(&packed.attribute), "other", Instant::from_ms(9))
    }

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn it_comes_back_with_all_that_was_said_of_it() {
        for payload in [&b"text"[..], b"", b"\0control", b"\xff\xfe"] {
            let mut message = Message::new(id("m"), payload.into());
            message.headers.set("till", 3_u64.into());
            message.not_before = Some(Instant::from_ms(70));
            message.key = Some("k".into());
            message.time_to_live = Some(Duration::from_millis(5));
            let mut envelope = Envelope::new(message, Instant::from_ms(7));
            envelope.attempts = 4;
            let dead = envelope.leave(&queue("q"), Reason::Overflow, 5, Some("why"), Instant::from_ms(8));
            for envelope in [envelope, dead] {
                let packed = envelope.pack(LARGE);
                assert!(!packed.body.is_empty() && packed.body.chars().all(is_taken));
                let back = unpack(&packed);
                assert_eq!(back.message, envelope.message);
                assert_eq!((back.attempts, back.published_at), (envelope.attempts, envelope.published_at));
                assert_eq!((back.due, back.history), (envelope.due, envelope.history));
            }
        }
    }

    #[test]
    fn a_claim_travels_instead_of_the_payload() {
        let mut envelope = Envelope::new(Message::new(id("m"), "large".into()), Instant::from_ms(7));
        let claim = Claim { name: "n".into(), bytes: 5, crc: 7 };
        envelope.claim = Some(claim.clone());
        let back = unpack(&envelope.pack(LARGE));
        assert_eq!((back.claim.clone(), back.message.payload.len()), (Some(claim), 0));
        assert_eq!(back.redeemed("large".into()).message, envelope.message);
    }

    #[test]
    fn what_is_not_ours_is_taken_as_it_is() {
        for attribute in [None, Some(&b""[..]), Some(&[VERSION]), Some(&[VERSION, 200, 200]), Some(&[99, 1])]
        {
            let envelope = Envelope::unpack("body", attribute, "theirs", Instant::from_ms(9));
            assert_eq!((&envelope.message.id, &*envelope.message.payload), (&id("theirs"), &b"body"[..]));
            assert_eq!(envelope.published_at, Instant::from_ms(9));
        }
    }

    #[test]
    fn a_long_history_is_cut_so_that_the_message_goes_on() {
        let note = "é".repeat(limits::NOTE_BYTES_MAX);
        let message = Message::new(id("m"), Payload::from("x".repeat(200 * 1024)));
        let mut envelope = Envelope::new(message, Instant::from_ms(1));
        for round in 0..100 {
            let from = queue(&format!("{round} {}", "q".repeat(240)));
            envelope = envelope.leave(&from, Reason::Rejected, 1, Some(&note), Instant::from_ms(round));
        }
        assert_eq!(envelope.history.len(), limits::HISTORY_ENTRIES_MAX);
        let packed = envelope.pack(LARGE);
        assert!(packed.bytes() <= LARGE);
        let back = unpack(&packed);
        assert_eq!(back.history.last(), envelope.history.last());
        assert_eq!(back.message, envelope.message);
    }
}
