//! A message as it is in a record of Kafka's: the payload is the record's value, its envelope the first header, with the place
//! behind it where the message was first.

use forebay_core::limits;
use forebay_core::limits::kafka::ENVELOPE_BYTES_MAX;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;

use crate::queue::contiguous::Offset;

/// The header that everything is in: the first one of a record.
pub(crate) const HEADER: &str = "forebay";

/// What goes into the header. `origin` is where in its queue the message was first, if it is put there again.
pub(crate) fn write(envelope: &Envelope, origin: Option<Offset>) -> Vec<u8> {
    envelope.encode((), origin, ENVELOPE_BYTES_MAX)
}

/// What came, and where it was first. A message of another program's is taken as it is, with its key if that is text, and this
/// id.
pub(crate) fn read(
    header: Option<&[u8]>,
    key: Option<&[u8]>,
    payload: Payload,
    now: Instant,
    id: impl FnOnce() -> MessageId,
) -> (Envelope, Option<Offset>) {
    if let Some(((), envelope, origin)) = header.and_then(Envelope::decode) {
        return (envelope.with_payload(payload), origin);
    }
    let key = key.and_then(|key| String::from_utf8(key.to_vec()).ok());
    let key = key.filter(|key| key.len() <= limits::MESSAGE_TEXT_BYTES_MAX);
    (Envelope::new(Message { key, ..Message::new(id(), payload) }, now), None)
}

#[cfg(test)]
mod tests {
    use forebay_core::delivery::{History, Reason};
    use forebay_core::queue::QueueName;

    use super::*;

    const NOW: Instant = Instant::from_ms(9);

    fn id(id: &str) -> MessageId {
        MessageId::given(id).unwrap()
    }

    fn plain() -> Envelope {
        let message = Message::new(id("m"), "body".into());
        Envelope::new(Message { content_type: Some("text/plain".into()), ..message }, Instant::from_ms(7_000))
    }

    #[test]
    fn what_is_in_the_header_stays_what_it_is_and_comes_back() {
        let told = "01016d010a746578742f706c61696e010900000000000000000000d836d83600";
        for (origin, told_behind) in [(None, "00"), (Some(-3), "0105")] {
            let header = write(&plain(), origin);
            let hexadecimal: String = header.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hexadecimal, format!("{told}{told_behind}"));
            let (envelope, back) = read(Some(&header), Some(b"another"), "body".into(), NOW, || id("other"));
            assert_eq!((envelope.message, back), (plain().message, origin));
        }
    }

    #[test]
    fn a_message_of_another_program_is_taken_as_it_is() {
        let (envelope, origin) = read(None, Some(b"theirs"), "body".into(), NOW, || id("ours"));
        assert_eq!(
            (envelope.message.id.clone(), envelope.message.key.as_deref()),
            (id("ours"), Some("theirs"))
        );
        assert_eq!((&*envelope.message.payload, origin), (&b"body"[..], None));
        let (bare, _) = read(None, Some(&[255]), Payload::empty(), NOW, || id("ours"));
        assert_eq!((bare.message.key.clone(), bare.published_at), (None, NOW));
    }

    #[test]
    fn a_header_that_cannot_be_read_costs_nobody_the_message() {
        for bytes in [&[][..], &[1], &[1, 200, 200], &[99, 1, 2, 3]] {
            let (envelope, _) = read(Some(bytes), None, "body".into(), NOW, || id("ours"));
            assert_eq!((&envelope.message.id, &*envelope.message.payload), (&id("ours"), &b"body"[..]));
        }
    }

    #[test]
    fn a_long_history_is_cut_so_that_the_message_goes_on() {
        let mut line = History::new(QueueName::new("q").unwrap(), Reason::Rejected, NOW, 1);
        line.routing_keys = vec!["k".repeat(255); 64];
        let mut envelope = plain();
        envelope.history =
            (0..limits::HISTORY_ENTRIES_MAX as u64).map(|count| History { count, ..line.clone() }).collect();
        let header = write(&envelope, None);
        assert!(header.len() <= ENVELOPE_BYTES_MAX);
        let (back, _) = read(Some(&header), None, "body".into(), NOW, || id("other"));
        assert!(back.history.len() < envelope.history.len());
        assert_eq!(back.history.last(), envelope.history.last());
    }
}
