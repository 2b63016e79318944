//! A published content as a message of the broker.
//!
//! The properties are kept to the octet in the header [`ENVELOPE`], with exchange and routing key, so that a consumer gets
//! what was published; what of them the broker or other fronts go by is in the message's own fields besides.

use forebay_core::message::{Headers, Message, MessageId, Value};
use forebay_core::ports::clock::Clock;
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::text::ShortBytes;

use super::{expiration, headers};
use crate::exception::{Exception, Result};

/// The header under which a message has what only AMQP knows of it.
pub(crate) const ENVELOPE: &str = "forebay.amqp";
/// In the envelope: the exchange it was published to.
pub(crate) const EXCHANGE: &str = "exchange";
/// In the envelope: its routing key.
pub(crate) const KEY: &str = "key";
/// In the envelope: its properties as they came.
pub(crate) const PROPERTIES: &str = "properties";
/// The header that names a message's ordering key where that is not the routing key.
const ORDER_KEY: &str = "x-key";

/// A content that has come whole.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) exchange: String,
    pub(crate) key: String,
    pub(crate) mandatory: bool,
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// What a published content is to be routed by, and the message that goes to the queues.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What the publisher's headers say; the message has one more.
    pub(crate) headers: Headers,
    pub(crate) message: Message,
}

/// Makes the message. `user` is whom the connection belongs to.
pub(crate) fn prepare(published: &mut Published, user: &str, clock: &dyn Clock) -> Result<Prepared> {
    let properties = Properties::parse(&published.properties).map_err(Exception::from)?;
    if let Some(named) = properties.user_id.filter(|named| named.as_bytes() != user.as_bytes()) {
        let named = String::from_utf8_lossy(named.as_bytes());
        return Err(Exception::precondition(format!(
            "user_id property set to '{named}' but authenticated user was '{user}'"
        )));
    }
    let now = clock.now();
    let given = text(properties.message_id.as_ref());
    let id = match given.map(MessageId::given) {
        Some(Ok(id)) => id,
        _ => MessageId::generate(now, [clock.random(), clock.random()]),
    };
    let expires_at =
        properties.expiration.map(|text| expiration::read(&text)).transpose()?.map(|ttl| now + ttl);
    let headers = properties.headers.map(headers::read).unwrap_or_default();
    let key = match headers.get(ORDER_KEY) {
        Some(Value::Text(key)) => Some(key.clone()),
        _ => Some(published.key.clone()),
    };
    let mut message = Message::new(id, std::mem::take(&mut published.body).into());
    message.content_type = text(properties.content_type.as_ref()).map(str::to_owned);
    message.priority = properties.priority.unwrap_or(0);
    message.expires_at = expires_at;
    message.key = key.filter(|key| !key.is_empty());
    message.headers = headers.clone();
    let envelope = [
        (EXCHANGE.to_owned(), Value::Text(published.exchange.clone())),
        (KEY.to_owned(), Value::Text(published.key.clone())),
        (PROPERTIES.to_owned(), Value::Bytes(std::mem::take(&mut published.properties))),
    ];
    message.headers.set(ENVELOPE, Value::Table(envelope.into_iter().collect()));
    message.check()?;
    Ok(Prepared { headers, message })
}

/// The property where it is text.
fn text<'p>(property: Option<&ShortBytes<'p>>) -> Option<&'p str> {
    property.and_then(|property| property.as_str()).filter(|text| !text.is_empty())
}
