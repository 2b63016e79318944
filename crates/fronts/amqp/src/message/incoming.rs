//! A published content as a message of the broker.
//!
//! The properties are kept to the octet in the header [`ENVELOPE`], with exchange and routing key, so that a consumer gets
//! what was published; what of them the broker or other fronts go by is in the message's own fields besides.

use forebay_core::message::{Headers, Message, MessageId, Value};
use forebay_core::ports::clock::Clock;
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::table::TableBuf;
use forebay_wire::amqp::text::ShortBytes;

use super::{expiration, headers};
use crate::exception::{Exception, Result};
use crate::replies::PSEUDO_QUEUE;

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
/// The header with further routing keys.
pub(super) const COPIES: &str = "CC";
/// The same, of which consumers are not told.
const BLIND_COPIES: &str = "BCC";

/// The further routing keys in the headers.
pub(crate) fn copies(headers: &Headers) -> impl Iterator<Item = &str> {
    let lists = [COPIES, BLIND_COPIES].into_iter().filter_map(|name| match headers.get(name) {
        Some(Value::List(values)) => Some(values),
        _ => None,
    });
    lists.flatten().filter_map(|value| match value {
        Value::Text(key) => Some(key.as_str()),
        _ => None,
    })
}

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

/// Who publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From<'a> {
    /// Whom the connection belongs to.
    pub(crate) user: &'a str,
    /// Where replies to the channel go, if it waits for some.
    pub(crate) replies: Option<&'a str>,
}

/// Makes the message.
pub(crate) fn prepare(published: &mut Published, from: From<'_>, clock: &dyn Clock) -> Result<Prepared> {
    let came = std::mem::take(&mut published.properties);
    let properties = Properties::parse(&came).map_err(Exception::from)?;
    let user = from.user;
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
    let time_to_live = properties.expiration.map(|text| expiration::read(&text)).transpose()?;
    let headers = properties.headers.map(headers::read).unwrap_or_default();
    let changed = rewritten(&properties, &headers, from.replies)?;
    let key = match headers.get(ORDER_KEY) {
        Some(Value::Text(key)) => Some(key.clone()),
        _ => Some(published.key.clone()),
    };
    let mut message = Message::new(id, std::mem::take(&mut published.body).into());
    message.content_type = text(properties.content_type.as_ref()).map(str::to_owned);
    message.priority = properties.priority.unwrap_or(0);
    message.expires_at = time_to_live.map(|time| now + time);
    message.time_to_live = time_to_live;
    (message.exchange, message.routing_key) = (Some(published.exchange.clone()), Some(published.key.clone()));
    message.key = key.filter(|key| !key.is_empty());
    let shown = headers.iter().filter(|(name, _)| *name != BLIND_COPIES);
    message.headers = shown.map(|(name, value)| (name.to_owned(), value.clone())).collect();
    let envelope = [
        (EXCHANGE.to_owned(), Value::Text(published.exchange.clone())),
        (KEY.to_owned(), Value::Text(published.key.clone())),
        (PROPERTIES.to_owned(), Value::Bytes(changed.unwrap_or(came))),
    ];
    message.headers.set(ENVELOPE, Value::Table(envelope.into_iter().collect()));
    message.check()?;
    Ok(Prepared { headers, message })
}

/// The properties where they go on otherwise than they came: without the names of those who get a copy that nobody is to
/// know of, and with the channel's own name for the one that stands for it.
fn rewritten(
    properties: &Properties<'_>,
    headers: &Headers,
    replies: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    let is_for_reply =
        properties.reply_to.is_some_and(|reply_to| reply_to.as_bytes() == PSEUDO_QUEUE.as_bytes());
    let has_blind_copies = headers.get(BLIND_COPIES).is_some();
    if !is_for_reply && !has_blind_copies {
        return Ok(None);
    }
    let (mut changed, mut shown) = (*properties, TableBuf::new());
    if is_for_reply {
        let refused = || Exception::precondition("fast reply consumer does not exist");
        changed.reply_to = ShortBytes::new(replies.ok_or_else(refused)?.as_bytes());
    }
    if let Some(table) = properties.headers.filter(|_| has_blind_copies) {
        for (name, value) in table.fields().filter(|(name, _)| name.as_bytes() != BLIND_COPIES.as_bytes()) {
            shown.push(name, value);
        }
        changed.headers = Some(shown.as_table());
    }
    let mut octets = Vec::new();
    changed.encode(&mut octets);
    Ok(Some(octets))
}

/// The property where it is text.
fn text<'p>(property: Option<&ShortBytes<'p>>) -> Option<&'p str> {
    property.and_then(|property| property.as_str()).filter(|text| !text.is_empty())
}
