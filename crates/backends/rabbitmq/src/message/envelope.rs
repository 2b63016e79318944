//! A message as AMQP has it: the payload is the body, its envelope one header among AMQP's own properties.

use forebay_core::limits::rabbitmq::ENVELOPE_BYTES_MAX;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, FieldTable, ShortString};

/// The header that everything is in.
const HEADER: &str = "forebay";
/// AMQP's word for a message that survives a restart.
pub(crate) const PERSISTENT: u8 = 2;

/// AMQP's properties with everything in them: they must fit into one frame.
pub(crate) fn write(envelope: &Envelope) -> BasicProperties {
    let bytes = envelope.encode((), (), ENVELOPE_BYTES_MAX);
    let mut headers = FieldTable::default();
    headers.insert(HEADER.into(), AMQPValue::ByteArray(ByteArray::from(bytes)));
    let message = &envelope.message;
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
        .with_timestamp(envelope.published_at.as_ms() / 1_000);
    if let Ok(id) = ShortString::try_new(message.id.as_str()) {
        properties = properties.with_message_id(id);
    }
    if let Some(Ok(content_type)) = message.content_type.clone().map(ShortString::try_new) {
        properties = properties.with_content_type(content_type);
    }
    properties
}

/// What came. A message of another program's has its own id and content type, if it says them; `id` if not.
pub(crate) fn read(
    properties: &BasicProperties,
    body: Vec<u8>,
    now: Instant,
    id: impl FnOnce() -> MessageId,
) -> Envelope {
    let payload = Payload::from(body);
    let header = properties.headers().as_ref().and_then(|headers| headers.inner().get(HEADER));
    if let Some(AMQPValue::ByteArray(bytes)) = header
        && let Some(((), envelope, ())) = Envelope::decode(bytes.as_slice())
    {
        return envelope.with_payload(payload);
    }
    let given = properties.message_id().as_ref().and_then(|id| MessageId::given(id.as_str()).ok());
    let content_type = properties.content_type().as_ref().map(ToString::to_string);
    Envelope::new(Message { content_type, ..Message::new(given.unwrap_or_else(id), payload) }, now)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay_core::delivery::Reason;
    use forebay_core::limits;
    use forebay_core::queue::QueueName;

    use super::*;

    const NOW: Instant = Instant::from_ms(9);

    fn id(id: &str) -> MessageId {
        MessageId::given(id).unwrap()
    }

    fn bytes_in(properties: &BasicProperties) -> Vec<u8> {
        let headers = properties.headers().clone().unwrap();
        let Some(AMQPValue::ByteArray(bytes)) = headers.inner().get(HEADER) else { panic!("no envelope") };
        bytes.as_slice().to_vec()
    }

    #[test]
    fn what_is_in_the_properties_stays_what_it_is_and_comes_back() {
        let message = Message::new(id("m"), "body".into());
        let message = Message { content_type: Some("text/plain".into()), ..message };
        let envelope = Envelope::new(message, Instant::from_ms(7_000));
        let properties = write(&envelope);
        let hexadecimal: String = bytes_in(&properties).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hexadecimal, "01016d010a746578742f706c61696e010900000000000000000000d836d83600");
        let told = BasicProperties::default()
            .with_delivery_mode(2)
            .with_headers(properties.headers().clone().unwrap())
            .with_timestamp(7)
            .with_message_id("m".into())
            .with_content_type("text/plain".into());
        assert_eq!(properties, told);
        assert_eq!(read(&properties, b"body".to_vec(), NOW, || id("other")).message, envelope.message);
    }

    #[test]
    fn a_message_of_another_program_is_taken_as_it_is() {
        let properties = BasicProperties::default()
            .with_message_id("theirs".into())
            .with_content_type("text/plain".into());
        let envelope = read(&properties, b"body".to_vec(), NOW, || id("ours"));
        assert_eq!(envelope.message.id, id("theirs"));
        assert_eq!(envelope.message.content_type.as_deref(), Some("text/plain"));
        assert_eq!(&*envelope.message.payload, b"body");
        let bare = read(&BasicProperties::default(), Vec::new(), NOW, || id("ours"));
        assert_eq!((bare.message.id.clone(), bare.published_at), (id("ours"), NOW));
    }

    #[test]
    fn a_header_that_cannot_be_read_costs_nobody_the_message() {
        for bytes in [vec![], vec![1], vec![1, 200, 200], vec![99, 1, 2, 3]] {
            let mut headers = FieldTable::default();
            headers.insert(HEADER.into(), AMQPValue::ByteArray(ByteArray::from(bytes)));
            let properties = BasicProperties::default().with_headers(headers);
            let envelope = read(&properties, b"body".to_vec(), NOW, || id("ours"));
            assert_eq!((&envelope.message.id, &*envelope.message.payload), (&id("ours"), &b"body"[..]));
        }
    }

    #[test]
    fn a_long_history_is_cut_so_that_the_message_goes_on() {
        let note = "é".repeat(limits::NOTE_BYTES_MAX);
        let mut envelope = Envelope::new(Message::new(id("m"), Payload::empty()), NOW);
        envelope.message = Arc::new(Message {
            headers: [("large".to_owned(), "x".repeat(60_000).into())].into_iter().collect(),
            ..(*envelope.message).clone()
        });
        for round in 0..limits::HISTORY_ENTRIES_MAX {
            let from = QueueName::new(&format!("{round} {}", "q".repeat(240))).unwrap();
            envelope = envelope.leave(&from, Reason::Rejected, 1, Some(&note), NOW);
        }
        let properties = write(&envelope);
        assert!(bytes_in(&properties).len() <= ENVELOPE_BYTES_MAX);
        let back = read(&properties, Vec::new(), NOW, || id("other"));
        assert!((1..envelope.history.len()).contains(&back.history.len()));
        assert_eq!(back.history.last(), envelope.history.last());
        assert_eq!(back.message, envelope.message);
    }
}
