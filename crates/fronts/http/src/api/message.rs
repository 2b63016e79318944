//! The shape of a message in JSON: as it is published, delivered and looked at.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use forebay_core::delivery::{Delivery, History};
use forebay_core::limits;
use forebay_core::message::{Headers, Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use forebay_queue::publish::Draft;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::headers::{self, HeaderValues};
use crate::errors::{Answer, Refused};
use crate::number::{Text, Whole};

/// An id, a key or a content type.
type ShortText = Text<{ limits::MESSAGE_TEXT_BYTES_MAX }>;
type DelayMs = Whole<0, { limits::DELAY_MAX.as_secs() * 1_000 }>;
type LifeMs = Whole<1, { limits::DELAY_MAX.as_secs() * 1_000 }>;
type Priority = Whole<0, 255>;

/// Takes base64 whose last character carries stray bits, as the pattern in the document does.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// A message to publish. Exactly one of `payload` and `payload_base64` is there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// The body as text.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, value_type = String)]
    payload: Option<String>,
    /// The body as any bytes, in base64.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        nullable = false, value_type = String,
        pattern = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
    )]
    payload_base64: Option<String>,
    /// Names the message; a time-ordered id is made where there is none.
    #[schema(inline)]
    id: Option<ShortText>,
    /// What the body is, such as `application/json`.
    #[schema(inline)]
    content_type: Option<ShortText>,
    /// Named values beside the body.
    #[schema(value_type = Option<Map<String, Value>>)]
    headers: Option<Box<RawValue>>,
    /// Messages with the same key are delivered in order where the queue keeps order by key.
    #[schema(inline)]
    key: Option<ShortText>,
    /// Not delivered before so many milliseconds have passed.
    #[schema(inline)]
    delay_ms: Option<DelayMs>,
    /// Not delivered after so many milliseconds have passed.
    #[schema(inline)]
    expires_in_ms: Option<LifeMs>,
    /// Greater goes first where the queue has priorities.
    #[schema(inline)]
    priority: Option<Priority>,
    /// A queue that took a message with this id within its window takes no other.
    #[schema(inline)]
    dedup_id: Option<ShortText>,
}

/// A field that may be absent but not null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl NewMessage {
    /// What the rules take; `index` is its place in the request, for the refusal, and `header_values` what the messages
    /// before it had.
    pub(crate) fn into_draft(self, index: usize, header_values: &mut HeaderValues) -> Answer<Draft> {
        let refuse = |what: &str| Err(Refused::bad_request(format!("read message {index}: {what}")));
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), None) => Payload::from(text.into_bytes()),
            (None, Some(encoded)) => match LENIENT.decode(encoded) {
                Ok(bytes) => Payload::from(bytes),
                Err(_) => return refuse("payload_base64 is not base64 with padding"),
            },
            (None, None) => return refuse("it needs payload or payload_base64"),
            (Some(_), Some(_)) => return refuse("it has both payload and payload_base64"),
        };
        Ok(Draft {
            id: self.id.map(|Text(id)| MessageId::given(&id)).transpose()?,
            payload,
            content_type: self.content_type.map(|Text(text)| text),
            headers: match self.headers {
                Some(json) => header_values.read(&json, index)?,
                None => Headers::new(),
            },
            key: self.key.map(|Text(text)| text),
            delay: self.delay_ms.map(|Whole(ms)| Duration::from_millis(ms)),
            expires_in: self.expires_in_ms.map(|Whole(ms)| Duration::from_millis(ms)),
            priority: self.priority.map_or(0, |Whole(priority)| u8::try_from(priority).unwrap_or(u8::MAX)),
            dedup_id: self.dedup_id.map(|Text(text)| text),
        })
    }
}

/// A message as it was published, and how it came here. Its body is `payload` where that is UTF-8, else
/// `payload_base64`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageBody {
    /// Its name.
    id: String,
    /// The body, where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// The body in base64, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    /// What the body is.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Named values beside the body.
    headers: Map<String, Value>,
    /// Its ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// 0 to 255.
    priority: u8,
    /// What its queue tells it from others by.
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_id: Option<String>,
    /// Attempts so far, this one included: 1 for the first; 0 where it is replayed.
    attempt: u32,
    /// When the queue took it, in milliseconds since 1970.
    published_at_ms: u64,
    /// After this it is not delivered any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    /// Why it left other queues, where it is a dead letter.
    history: Vec<HistoryBody>,
}

/// How often a message left a queue for one reason.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryBody {
    /// The queue it left.
    queue: String,
    /// `rejected`, `attempts_spent`, `expired` or `overflow`.
    reason: &'static str,
    /// How often.
    count: u64,
    /// When last, in milliseconds since 1970.
    at_ms: u64,
    /// Attempts it had there.
    attempts: u32,
    /// What the consumer said of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl From<&History> for HistoryBody {
    fn from(history: &History) -> Self {
        Self {
            queue: history.queue.to_string(),
            reason: history.reason.as_str(),
            count: history.count,
            at_ms: history.at.as_ms(),
            attempts: history.attempts,
            note: history.note.clone(),
        }
    }
}

impl From<&Delivery> for MessageBody {
    fn from(delivery: &Delivery) -> Self {
        Self {
            attempt: delivery.attempt,
            history: delivery.history.iter().map(HistoryBody::from).collect(),
            ..Self::published(&delivery.message, delivery.published_at)
        }
    }
}

impl MessageBody {
    /// As it was published, without attempts and history.
    pub(crate) fn published(message: &Message, at: Instant) -> Self {
        let text = std::str::from_utf8(&message.payload).ok().map(str::to_owned);
        Self {
            id: message.id.as_str().to_owned(),
            payload_base64: text.is_none().then(|| STANDARD.encode(&*message.payload)),
            payload: text,
            content_type: message.content_type.clone(),
            headers: headers::to_json(&message.headers),
            key: message.key.clone(),
            priority: message.priority,
            dedup_id: message.dedup_id.clone(),
            attempt: 0,
            published_at_ms: at.as_ms(),
            expires_at_ms: message.expires_at.map(|at| at.as_ms()),
            history: Vec::new(),
        }
    }
}
