//! What the scripts answer, read.

use std::sync::Arc;
use std::vec::IntoIter;

use forebay_core::delivery::{History, Reason};
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use redis::Value;
use serde::Deserialize;

use super::codec;

/// A message as it lies in its queue.
pub(crate) struct Letter {
    pub(crate) position: u64,
    /// Attempts that counted so far.
    pub(crate) tries: u32,
    pub(crate) published_at: Instant,
    pub(crate) message: Arc<Message>,
    pub(crate) history: Vec<History>,
}

/// The fields of an answer, one after the other. Each is `None` where the answer is not of the form that was agreed.
pub(crate) struct Fields(IntoIter<Value>);

impl Fields {
    pub(crate) fn of(answer: Value) -> Option<Self> {
        match answer {
            Value::Array(fields) => Some(Self(fields.into_iter())),
            _ => None,
        }
    }

    pub(crate) fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next()? {
            Value::BulkString(bytes) => Some(bytes),
            Value::Int(number) => Some(number.to_string().into_bytes()),
            _ => None,
        }
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.text()?.parse().ok()
    }

    /// A number, or -1 for none. The outer `None` is a fault.
    pub(crate) fn maybe_number(&mut self) -> Option<Option<u64>> {
        let text = self.text()?;
        if text == "-1" { Some(None) } else { Some(Some(text.parse().ok()?)) }
    }

    pub(crate) fn moment(&mut self) -> Option<Instant> {
        self.number().map(Instant::from_ms)
    }

    pub(crate) fn fields(&mut self) -> Option<Self> {
        Self::of(self.0.next()?)
    }

    /// Whether there is nothing more.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_slice().is_empty()
    }

    /// Attempts that counted so far; nothing is none.
    pub(crate) fn tries(&mut self) -> Option<u32> {
        match self.0.next()? {
            Value::Nil => Some(0),
            Value::BulkString(digits) => std::str::from_utf8(&digits).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// An entry of a stream: its position, and its names and values if they were told, and not its id only.
    pub(crate) fn entry(&mut self) -> Option<(u64, Option<Self>)> {
        let (id, rest) = match self.0.next()? {
            Value::Array(entry) => {
                let mut entry = Self(entry.into_iter());
                (entry.text()?, Some(entry.fields()?))
            }
            Value::BulkString(id) => (String::from_utf8(id).ok()?, None),
            _ => return None,
        };
        Some((id.split_once('-')?.0.parse().ok()?, rest))
    }

    /// The message that these names and values are.
    pub(crate) fn letter_of_entry(&mut self, position: u64, tries: u32) -> Option<Letter> {
        let mut value = |name: &[u8]| if self.bytes()? == name { self.bytes() } else { None };
        let (id, message, history, published) = (value(b"i")?, value(b"m")?, value(b"h")?, value(b"p")?);
        let message = codec::read(&id, message)?;
        let published_at = Instant::from_ms(std::str::from_utf8(&published).ok()?.parse().ok()?);
        Some(Letter { position, tries, published_at, message, history: read_history(&history)? })
    }

    /// Position, attempts, published at, id, message, history, to be shown: of what cannot be read the bytes that are there.
    pub(crate) fn shown(&mut self) -> Option<Letter> {
        let position = self.number()?;
        let tries = self.text()?.parse().ok()?;
        let published_at = self.moment().unwrap_or_default();
        let (id, bytes, history) = (self.bytes()?, self.bytes()?, self.bytes()?);
        let message = match codec::read(&id, bytes.clone()) {
            Some(message) => message,
            None => {
                let id = std::str::from_utf8(&id).ok().and_then(|id| MessageId::given(id).ok());
                let id = id.map_or_else(|| MessageId::given(&position.to_string()), Ok).ok()?;
                Arc::new(Message::new(id, bytes.into()))
            }
        };
        let history = read_history(&history).unwrap_or_default();
        Some(Letter { position, tries, published_at, message, history })
    }

    /// Published at, id, message, history.
    pub(crate) fn rest_of_letter(&mut self, position: u64, tries: u32) -> Option<Letter> {
        let published_at = self.moment()?;
        let id = self.bytes()?;
        let message = codec::read(&id, self.bytes()?)?;
        Some(Letter { position, tries, published_at, message, history: read_history(&self.bytes()?)? })
    }
}

#[derive(Deserialize)]
struct Line {
    queue: String,
    reason: String,
    count: u64,
    at: u64,
    attempts: u32,
    note: Option<String>,
}

/// The history as the scripts keep it, as JSON.
fn read_history(bytes: &[u8]) -> Option<Vec<History>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let lines: Vec<Line> = serde_json::from_slice(bytes).ok()?;
    let read = |line: Line| {
        let reason = [
            Reason::Rejected,
            Reason::AttemptsSpent,
            Reason::Expired,
            Reason::Overflow,
            Reason::DeliveryLimit,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == line.reason)?;
        let left =
            History::new(QueueName::new(&line.queue).ok()?, reason, Instant::from_ms(line.at), line.attempts);
        Some(History { count: line.count, note: line.note, ..left })
    };
    lines.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_and_a_strange_one_is_none() {
        let line =
            r#"[{"queue":"q","reason":"rejected","count":2,"at":1763766000123,"attempts":1,"note":"why"}]"#;
        let history = read_history(line.as_bytes()).unwrap();
        assert_eq!((history[0].count, history[0].note.as_deref()), (2, Some("why")));
        assert_eq!(history[0].at, Instant::from_ms(1_763_766_000_123));
        assert!(read_history(line.replace("rejected", "bored").as_bytes()).is_none());
        assert!(read_history(b"{}").is_none());
    }
}
