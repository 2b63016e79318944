//! A write as a message of the queue: the value is its payload, the key its ordering key, the rest is in its headers.

use forebay_core::message::{Message, Value};
use forebay_core::payload::Payload;
use forebay_queue::publish::Draft;

/// The header with the place of the write among all of its write-behind.
const SEQUENCE: &str = "sequence";
/// The header that makes it a deletion.
const DELETED: &str = "deleted";

/// A write that the source is to take over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceWrite {
    /// What is written.
    pub key: String,
    /// Its new value; `None` deletes it.
    pub value: Option<Payload>,
    /// Greater than that of every earlier write of this write-behind, also of those before a restart, as long as the
    /// system's clock is not set back in between. A source that keeps it beside the value, and passes over a write whose
    /// number is not greater, takes every write once and none too late.
    pub sequence: u64,
}

impl SourceWrite {
    pub(super) fn draft(&self) -> Draft {
        let mut draft = Draft { key: Some(self.key.clone()), ..Draft::default() };
        draft.headers.set(SEQUENCE, Value::UInt(self.sequence));
        match &self.value {
            Some(value) => draft.payload = value.clone(),
            None => draft.headers.set(DELETED, Value::Bool(true)),
        }
        draft
    }

    /// `None` where somebody else has put something into the queue.
    pub(super) fn read(message: &Message) -> Option<Self> {
        let Some(Value::UInt(sequence)) = message.headers.get(SEQUENCE) else { return None };
        let deleted = message.headers.get(DELETED) == Some(&Value::Bool(true));
        let value = (!deleted).then(|| message.payload.clone());
        Some(Self { key: message.key.clone()?, value, sequence: *sequence })
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::MessageId;

    use super::*;

    fn message(draft: Draft) -> Message {
        let message = Message::new(MessageId::given("m").unwrap(), draft.payload);
        Message { key: draft.key, headers: draft.headers, ..message }
    }

    #[test]
    fn a_write_reads_back_from_its_message() {
        for value in [Some(Payload::from("tea")), Some(Payload::empty()), None] {
            let write = SourceWrite { key: "user:7".into(), value, sequence: u64::MAX };
            assert_eq!(SourceWrite::read(&message(write.draft())), Some(write));
        }
    }

    #[test]
    fn a_message_of_another_kind_is_no_write() {
        let write = SourceWrite { key: "user:7".into(), value: None, sequence: 1 };
        let keyless = Message { key: None, ..message(write.draft()) };
        let plain = Message { key: Some("user:7".into()), ..message(Draft::new("tea")) };
        assert_eq!((SourceWrite::read(&keyless), SourceWrite::read(&plain)), (None, None));
    }
}
