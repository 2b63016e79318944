//! How much memory a message takes: with many small headers, far more than its octets.

use forebay_core::message::{Headers, Message, Value};

/// Bytes of the message with all that it has around its payload.
pub(crate) fn weight(message: &Message) -> usize {
    let Message { payload, headers, content_type, key, dedup_id, exchange, routing_key, .. } = message;
    let texts = [content_type, key, dedup_id, exchange, routing_key];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    size_of::<Message>() + message.id.as_str().len() + payload.len() + texts + table(headers)
}

/// The same of a message on its way to so many queues: it is there once, but each writes down all that is around its payload.
pub(crate) fn weight_for(message: &Message, queues: usize) -> usize {
    let payload = message.payload.len();
    payload + (weight(message) - payload) * queues.max(1)
}

fn table(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| size_of::<(String, Value)>() + name.len() + inner(value)).sum()
}

/// What a value has beside itself. What was checked to lie at most so deep when it came, so that this ends.
fn inner(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => values.iter().map(|value| size_of::<Value>() + inner(value)).sum(),
        Value::Table(headers) => table(headers),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Time(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::MessageId;

    use super::*;

    #[test]
    fn all_that_a_message_has_is_counted() {
        let mut message = Message::new(MessageId::given("m").unwrap(), vec![0; 100].into());
        let bare = weight(&message);
        assert!(bare > 100);
        let inner: Headers = [("t".to_owned(), Value::Text("x".repeat(50)))].into_iter().collect();
        message.headers.set("list", Value::List(vec![Value::Null, Value::Table(inner)]));
        message.headers.set("bytes", Value::Bytes(vec![0; 7]));
        message.routing_key = Some("k".repeat(20));
        let (entry, value) = (size_of::<(String, Value)>(), size_of::<Value>());
        assert_eq!(weight(&message), bare + 3 * entry + 2 * value + 4 + 1 + 50 + 5 + 7 + 20);
    }
}
