//! A message of the broker as a content for a consumer, whoever published it.

use std::borrow::Cow;

use forebay_core::delivery::Delivery;
use forebay_core::message::{Headers, Message, Value};
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::table::{TableBuf, Value as Field};
use forebay_wire::amqp::text::{ShortBytes, ShortStr};

use super::incoming::{COPIES, ENVELOPE, EXCHANGE, KEY, PROPERTIES};
use super::{deaths, headers};
use crate::vhost::queue::Queue;

/// The header that says how often the message was delivered before.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// What goes around a message's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Content<'m> {
    pub(crate) exchange: ShortStr<'m>,
    pub(crate) key: ShortStr<'m>,
    pub(crate) properties: Cow<'m, [u8]>,
}

/// What the consumer of a message from `queue` is to get around its body.
pub(crate) fn content<'m>(message: &'m Message, queue: &'m str) -> Content<'m> {
    published(message).unwrap_or_else(|| foreign(message, queue))
}

/// The same of a delivery, which says what has happened to the message on its way.
pub(crate) fn delivered<'m>(delivery: &'m Delivery, queue: &'m Queue) -> Content<'m> {
    let first = content(&delivery.message, queue.name.as_str());
    if delivery.history.is_empty() && !queue.asked.is_quorum {
        return first;
    }
    let properties = told(&first, delivery, queue.asked.is_quorum);
    let message = &delivery.message;
    let short = |text: &'m Option<String>| text.as_deref().and_then(ShortStr::new);
    Content {
        exchange: short(&message.exchange).unwrap_or(first.exchange),
        key: short(&message.routing_key).unwrap_or(first.key),
        properties: properties.map_or(first.properties, Cow::Owned),
    }
}

/// The properties with what has happened to the message. A dead letter no longer expires, and where it has another key the
/// further ones have had their time.
fn told(first: &Content<'_>, delivery: &Delivery, is_counted: bool) -> Option<Vec<u8>> {
    let mut properties = Properties::parse(&first.properties).ok()?;
    let is_dead = !delivery.history.is_empty();
    let has_other_key = delivery.message.routing_key.as_deref().is_some_and(|key| key != first.key.as_str());
    let goes = |name: &[u8]| {
        (is_counted && name == DELIVERY_COUNT.as_bytes())
            || (is_dead && deaths::is_of_death(name))
            || (is_dead && has_other_key && name == COPIES.as_bytes())
    };
    let mut table = TableBuf::new();
    for (name, value) in properties.headers.unwrap_or_default().fields() {
        if !goes(name.as_bytes()) {
            table.push(name, value);
        }
    }
    if is_dead {
        properties.expiration = None;
        deaths::write(&mut table, &delivery.history, first.exchange.as_str(), first.key.as_str());
    }
    if is_counted {
        table.push(ShortBytes::new(DELIVERY_COUNT.as_bytes())?, Field::I64(i64::from(delivery.attempt) - 1));
    }
    properties.headers = Some(table.as_table());
    let mut octets = Vec::new();
    properties.encode(&mut octets);
    Some(octets)
}

/// As it was published here. `None` where the envelope is not one that this front made.
fn published(message: &Message) -> Option<Content<'_>> {
    let Some(Value::Table(envelope)) = message.headers.get(ENVELOPE) else { return None };
    let text = |name| match envelope.get(name) {
        Some(Value::Text(text)) => ShortStr::new(text),
        _ => None,
    };
    let Some(Value::Bytes(properties)) = envelope.get(PROPERTIES) else { return None };
    Properties::parse(properties).ok()?;
    Some(Content { exchange: text(EXCHANGE)?, key: text(KEY)?, properties: Cow::Borrowed(properties) })
}

/// Published by another front: as if straight to the queue.
fn foreign<'m>(message: &'m Message, queue: &'m str) -> Content<'m> {
    let own = message.headers.iter().filter(|(name, _)| *name != ENVELOPE);
    let own: Headers = own.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let table = headers::write(&own);
    let short = |text: &'m str| ShortBytes::new(text.as_bytes());
    let mut properties = Vec::new();
    Properties {
        content_type: message.content_type.as_deref().and_then(short),
        headers: (!own.is_empty()).then(|| table.as_table()),
        // Whatever is in a queue is on the disk.
        delivery_mode: Some(2),
        priority: (message.priority > 0).then_some(message.priority),
        message_id: short(message.id.as_str()),
        ..Properties::default()
    }
    .encode(&mut properties);
    Content {
        exchange: ShortStr::default(),
        key: ShortStr::new(queue).unwrap_or_default(),
        properties: Cow::Owned(properties),
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::message::MessageId;
    use forebay_runtime::clock::TokioClock;

    use super::super::incoming::{From, Published, prepare};
    use super::*;

    fn properties(fill: impl FnOnce(&mut Properties<'_>)) -> Vec<u8> {
        let (mut all, mut octets) = (Properties::default(), Vec::new());
        fill(&mut all);
        all.encode(&mut octets);
        octets
    }

    fn publish(properties: Vec<u8>) -> crate::exception::Result<Message> {
        let (exchange, key) = ("ex".to_owned(), "key".to_owned());
        let mut published = Published { exchange, key, mandatory: false, properties, body: b"body".to_vec() };
        let from = From { user: "guest", replies: Some("amq.rabbitmq.reply-to.me") };
        prepare(&mut published, from, &TokioClock::new()).map(|prepared| prepared.message)
    }

    #[test]
    fn blind_copies_are_told_to_nobody_and_replies_find_who_asked() {
        let mut table = TableBuf::new();
        let name = |name: &'static [u8]| ShortBytes::new(name).unwrap();
        table.push(name(b"BCC"), Field::Void).push(name(b"n"), Field::I8(1));
        let asked = Properties {
            headers: Some(table.as_table()),
            reply_to: Some(name(b"amq.rabbitmq.reply-to")),
            ..Properties::default()
        };
        let mut octets = Vec::new();
        asked.encode(&mut octets);
        let message = publish(octets).unwrap();
        assert_eq!(message.headers.get("BCC"), None);
        let content = content(&message, "q");
        let properties = Properties::parse(&content.properties).unwrap();
        let fields: Vec<_> = properties.headers.unwrap().fields().collect();
        assert_eq!(fields, [(name(b"n"), Field::I8(1))]);
        assert_eq!(properties.reply_to, Some(name(b"amq.rabbitmq.reply-to.me")));
    }

    #[test]
    fn every_property_comes_back_to_the_octet_and_the_broker_knows_its_own() {
        let mut table = TableBuf::new();
        let name = |name: &'static [u8]| ShortBytes::new(name).unwrap();
        table
            .push(name(b"narrow"), Field::I8(-1))
            .push(name(b"narrow"), Field::Decimal { scale: 1, digits: 5 });
        let all = Properties {
            content_type: Some(name(b"text/plain")),
            content_encoding: Some(name(b"gzip")),
            headers: Some(table.as_table()),
            delivery_mode: Some(1),
            priority: Some(7),
            correlation_id: Some(name(b"c")),
            reply_to: Some(name(b"r")),
            expiration: Some(name(b"60000")),
            message_id: Some(name(b"m-1")),
            timestamp: Some(5),
            r#type: Some(name(b"t")),
            user_id: Some(name(b"guest")),
            app_id: Some(name(b"a")),
            cluster_id: Some(name(b"\xff")),
        };
        let mut octets = Vec::new();
        all.encode(&mut octets);
        let message = publish(octets.clone()).unwrap();
        assert_eq!((message.id.as_str(), message.priority), ("m-1", 7));
        assert_eq!(message.content_type.as_deref(), Some("text/plain"));
        assert!(message.expires_at.is_some());
        assert_eq!(message.headers.get("narrow"), Some(&Value::Int(-1)));
        let content = content(&message, "q");
        assert_eq!((content.exchange.as_str(), content.key.as_str()), ("ex", "key"));
        assert_eq!(content.properties, octets);
    }

    #[test]
    fn a_message_of_another_front_comes_as_if_published_straight_to_its_queue() {
        let mut message = Message::new(MessageId::given("m").unwrap(), "body".into());
        message.headers.set("n", Value::Int(1));
        message.headers.set(ENVELOPE, Value::Text("no envelope".into()));
        let content = content(&message, "q");
        assert_eq!((content.exchange.as_str(), content.key.as_str()), ("", "q"));
        let properties = Properties::parse(&content.properties).unwrap();
        assert_eq!(properties.message_id, ShortBytes::new(b"m"));
        assert_eq!(properties.headers.unwrap().fields().count(), 1);
    }

    #[test]
    fn another_users_name_and_what_is_no_time_to_live_are_refused() {
        let named = |name: &'static [u8]| properties(|all| all.user_id = ShortBytes::new(name));
        assert!(publish(named(b"guest")).is_ok());
        assert!(publish(named(b"root")).unwrap_err().to_string().contains("'root'"));
        assert!(publish(properties(|all| all.expiration = ShortBytes::new(b"soon"))).is_err());
        assert!(publish(vec![0]).is_err());
    }
}
