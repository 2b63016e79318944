//! A message, as it is published and delivered.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::payload::Payload;
use crate::time::Instant;

/// Names a message: a time-ordered 128-bit id in text, unless the publisher gave one.
///
/// ```
/// use forebay_core::message::MessageId;
///
/// let id = MessageId::given("order 7")?;
/// assert_eq!(id.as_str(), "order 7");
/// # Ok::<(), forebay_core::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// A publisher's own id; 1 to 255 bytes.
    pub fn given(id: &str) -> Result<Self> {
        if id.is_empty() || id.len() > limits::MESSAGE_TEXT_BYTES_MAX {
            return Err(Error::new(Kind::Invalid, "name message", "id must have 1 to 255 bytes"));
        }
        Ok(Self(id.into()))
    }

    /// A new id: 48 bits of time, then 74 random bits, in the layout of a version 7 UUID (RFC 9562).
    /// `random` are two draws of [`Clock::random`](crate::ports::clock::Clock::random).
    pub fn generate(now: Instant, random: [u64; 2]) -> Self {
        let high = (now.as_ms() << 16) | 0x7000 | (random[0] & 0x0fff);
        let low = 0x8000_0000_0000_0000 | (random[1] >> 2);
        let bits = (u128::from(high) << 64) | u128::from(low);
        let mut text = String::with_capacity(36);
        for place in 0..32 {
            if matches!(place, 8 | 12 | 16 | 20) {
                text.push('-');
            }
            let digit = (bits >> (4 * (31 - place))) as u32 & 0xf;
            text.extend(char::from_digit(digit, 16));
        }
        Self(text.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A typed header value. Covers AMQP 0-9-1's field types and JSON's values.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    UInt(u64),
    /// A number with a fraction.
    Float(f64),
    /// A moment.
    Time(Instant),
    /// UTF-8 text.
    Text(String),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Named values.
    Table(Headers),
}

/// Named values in the publisher's order.
///
/// ```
/// use forebay_core::message::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("from", "till 3".into());
/// assert_eq!(headers.get("from"), Some(&"till 3".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Headers(Vec<(String, Value)>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Sets `name`, in its place if it is there.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        let name = name.into();
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, present)) => *present = value,
            None => self.0.push((name, value)),
        }
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// True without headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that they take in memory.
    fn weight(&self) -> usize {
        let weigh =
            |(name, value): &(String, Value)| size_of::<(String, Value)>() + name.len() + value.weight();
        self.0.iter().map(weigh).sum()
    }

    /// Bytes of all names and values, with eight more for each: at least what any encoding of them takes.
    /// `None` where they lie deeper inside each other than `depth`.
    fn measure(&self, depth: usize) -> Option<usize> {
        let depth = depth.checked_sub(1)?;
        self.0.iter().try_fold(0, |sum: usize, (name, value)| Some(sum + name.len() + value.measure(depth)?))
    }
}

impl Value {
    /// Bytes that it takes beside itself. What comes from outside was checked to lie only so deep inside each other.
    fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(values) => values.iter().map(|value| size_of::<Self>() + value.weight()).sum(),
            Self::Table(headers) => headers.weight(),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::UInt(_) | Self::Float(_) | Self::Time(_) => 0,
        }
    }

    fn measure(&self, depth: usize) -> Option<usize> {
        let bytes = match self {
            Self::Null | Self::Bool(_) => 1,
            Self::Int(_) | Self::UInt(_) | Self::Float(_) | Self::Time(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(values) => {
                let depth = depth.checked_sub(1)?;
                values.iter().try_fold(0, |sum, value| Some(sum + value.measure(depth)?))?
            }
            Self::Table(headers) => headers.measure(depth)?,
        };
        Some(bytes + 8)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::UInt(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl FromIterator<(String, Value)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// What a publisher hands over. It never changes afterwards; what happens to it is told by its deliveries.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its name.
    pub id: MessageId,
    /// The body.
    pub payload: Payload,
    /// What the body is, such as `application/json`.
    pub content_type: Option<String>,
    /// Named values beside the body.
    pub headers: Headers,
    /// Messages with the same key are delivered in order where the queue keeps order by key.
    pub key: Option<String>,
    /// Not delivered before.
    pub not_before: Option<Instant>,
    /// Not delivered after.
    pub expires_at: Option<Instant>,
    /// 0 to 255; greater goes first where the queue has priorities.
    pub priority: u8,
    /// A queue that took a message with this id within its window takes no other. 1 to 255 bytes.
    pub dedup_id: Option<String>,
    /// The exchange that it was published to, where the front knows exchanges; empty for the default one. A dead letter has
    /// the one that it came through.
    pub exchange: Option<String>,
    /// The routing key that it was published with, likewise.
    pub routing_key: Option<String>,
    /// The time to live that its publisher gave it, to be told of in its history; what counts is `expires_at`.
    pub time_to_live: Option<Duration>,
}

impl Message {
    /// A message with only a name and a body.
    pub fn new(id: MessageId, payload: Payload) -> Self {
        Self {
            id,
            payload,
            content_type: None,
            headers: Headers::new(),
            key: None,
            not_before: None,
            expires_at: None,
            priority: 0,
            dedup_id: None,
            exchange: None,
            routing_key: None,
            time_to_live: None,
        }
    }

    /// Bytes that it takes in memory: with many small headers, far more than where it is written down.
    ///
    /// ```
    /// use forebay_core::message::{Message, MessageId, Value};
    ///
    /// let mut message = Message::new(MessageId::given("m").unwrap(), "body".into());
    /// let without = message.weight();
    /// message.headers.set("h", Value::Null);
    /// assert!(message.weight() > without + 32);
    /// ```
    pub fn weight(&self) -> usize {
        let Self { payload, headers, content_type, key, dedup_id, exchange, routing_key, .. } = self;
        let texts = [content_type, key, dedup_id, exchange, routing_key];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        size_of::<Self>() + self.id.as_str().len() + payload.len() + texts + headers.weight()
    }

    /// Says which part is over its limit, if one is. A broker takes every message that passes.
    pub fn check(&self) -> Result<()> {
        let refuse = |kind: Kind, what: &str| Err(Error::new(kind, "take message", what));
        let text_bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = [&self.content_type, &self.key, &self.dedup_id, &self.exchange, &self.routing_key];
        if texts.map(text_bytes).into_iter().any(|bytes| bytes > limits::MESSAGE_TEXT_BYTES_MAX) {
            return refuse(
                Kind::TooLarge,
                "content type, keys, dedup id and exchange have at most 255 bytes",
            );
        }
        if self.dedup_id.as_ref().is_some_and(String::is_empty) {
            return refuse(Kind::Invalid, "a dedup id has at least 1 byte");
        }
        let Some(header_bytes) = self.headers.measure(limits::HEADERS_DEPTH_MAX) else {
            return refuse(Kind::Invalid, "headers lie at most 32 deep inside each other");
        };
        if header_bytes > limits::HEADERS_BYTES_MAX {
            return refuse(Kind::TooLarge, "headers have at most 64 KiB");
        }
        if self.payload.len() + header_bytes > limits::MESSAGE_BYTES_MAX {
            return refuse(Kind::TooLarge, "payload and headers have at most 128 MiB");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_sort_by_time_and_have_the_uuid_layout() {
        let early = MessageId::generate(Instant::from_ms(1), [u64::MAX, u64::MAX]);
        let late = MessageId::generate(Instant::from_ms(2), [0, 0]);
        assert!(early < late);
        assert_eq!(early.as_str(), "00000000-0001-7fff-bfff-ffffffffffff");
        assert_eq!(late.as_str(), "00000000-0002-7000-8000-000000000000");
    }

    #[test]
    fn an_id_at_the_limit_is_taken_and_beyond_it_refused() {
        assert!(MessageId::given(&"x".repeat(255)).is_ok());
        assert!(MessageId::given(&"x".repeat(256)).is_err());
        assert!(MessageId::given("").is_err());
    }

    #[test]
    fn a_message_at_every_limit_is_taken_and_beyond_it_refused() {
        let message = || Message::new(MessageId::given("m").unwrap(), Payload::empty());
        let nested = |depth: usize| {
            let innermost = Headers::new();
            (1..depth)
                .fold(innermost, |inner, _| [("t".to_owned(), Value::Table(inner))].into_iter().collect())
        };
        let with_headers = |headers| Message { headers, ..message() };
        assert!(with_headers(nested(limits::HEADERS_DEPTH_MAX)).check().is_ok());
        assert_eq!(
            with_headers(nested(limits::HEADERS_DEPTH_MAX + 1)).check().unwrap_err().kind(),
            Kind::Invalid
        );
        let text = |bytes: usize| [("t".to_owned(), Value::Text("x".repeat(bytes)))].into_iter().collect();
        assert!(with_headers(text(limits::HEADERS_BYTES_MAX - 9)).check().is_ok());
        assert_eq!(
            with_headers(text(limits::HEADERS_BYTES_MAX - 8)).check().unwrap_err().kind(),
            Kind::TooLarge
        );
        let payload = |bytes: usize| Message { payload: vec![0; bytes].into(), ..message() };
        assert!(payload(limits::MESSAGE_BYTES_MAX).check().is_ok());
        assert_eq!(payload(limits::MESSAGE_BYTES_MAX + 1).check().unwrap_err().kind(), Kind::TooLarge);
        let key = |bytes: usize| Message { key: Some("k".repeat(bytes)), ..message() };
        assert!(key(limits::MESSAGE_TEXT_BYTES_MAX).check().is_ok());
        assert!(key(limits::MESSAGE_TEXT_BYTES_MAX + 1).check().is_err());
    }

    #[test]
    fn all_that_a_message_has_counts_in_its_weight() {
        let mut message = Message::new(MessageId::given("m").unwrap(), vec![0; 100].into());
        let bare = message.weight();
        assert!(bare > 100);
        let inner = [("t".to_owned(), Value::Text("x".repeat(50)))].into_iter().collect();
        message.headers.set("list", Value::List(vec![Value::Null, Value::Table(inner)]));
        message.headers.set("bytes", Value::Bytes(vec![0; 7]));
        message.routing_key = Some("k".repeat(20));
        let (entry, value) = (size_of::<(String, Value)>(), size_of::<Value>());
        assert_eq!(message.weight(), bare + 3 * entry + 2 * value + 4 + 1 + 50 + 5 + 7 + 20);
    }

    #[test]
    fn setting_a_header_again_keeps_its_place() {
        let mut headers = Headers::new();
        headers.set("a", Value::Int(1));
        headers.set("b", Value::Int(2));
        headers.set("a", Value::Int(3));
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(headers.get("a"), Some(&Value::Int(3)));
    }
}
