//! Putting messages into a queue, looking at them, and throwing them away.

use std::fmt;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::ports::broker::{ReplayFrom, Replayed};
use forebay_core::time::Instant;
use forebay_queue::publish::Draft;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::headers::HeaderValues;
use super::message::{MessageBody, NewMessage};
use super::path::{Asked, InQueue, QueuePath};
use super::refusals::{BodyRefusals, FullRefusals, QueueRefusals};
use crate::errors::{Answer, ErrorBody, Refused};
use crate::json::{JsonBytes, Object, parse};
use crate::number::{self, EXACT_MAX, Whole};
use crate::router::App;

/// Messages to look at unless asked otherwise.
pub(crate) const PEEK_DEFAULT: usize = 10;
type ReplayPlace = Whole<0, EXACT_MAX>;
type PeekCount = Whole<1, { limits::http::PEEK_MAX as u64 }>;

/// One message, or several at once.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read in two steps, so that a refusal can name the field; this is its shape")]
pub(crate) enum PublishBody {
    One(NewMessage),
    Many(NewMessages),
}

/// Several messages, in order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMessages {
    /// 1 to 1,000 of them.
    #[serde(deserialize_with = "bounded")]
    #[schema(min_items = 1, max_items = 1000, value_type = Vec<NewMessage>)]
    messages: Vec<Object<NewMessage>>,
}

impl NewMessages {
    fn into_messages(self) -> Vec<NewMessage> {
        self.messages.into_iter().map(|Object(message)| message).collect()
    }
}

/// Stops at the first message too many: a short body could name millions.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Object<NewMessage>>, D::Error> {
    struct Bounded;

    impl<'de> Visitor<'de> for Bounded {
        type Value = Vec<Object<NewMessage>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "1 to {} of them", limits::PUBLISH_MESSAGES_MAX)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut messages = Vec::new();
            while messages.len() < limits::PUBLISH_MESSAGES_MAX {
                match items.next_element()? {
                    Some(message) => messages.push(message),
                    None if messages.is_empty() => return Err(A::Error::invalid_length(0, &self)),
                    None => return Ok(messages),
                }
            }
            match items.next_element::<IgnoredAny>()? {
                Some(_) => Err(A::Error::invalid_length(messages.len() + 1, &self)),
                None => Ok(messages),
            }
        }
    }

    deserializer.deserialize_seq(Bounded)
}

/// The names of the messages, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishedBody {
    ids: Vec<String>,
}

/// Publishes messages
///
/// 201 says that every one of them is durable. After any other answer some may be there all the same.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/messages", tag = "messages", operation_id = "publish",
    params(QueuePath),
    request_body = PublishBody,
    responses(
        (status = 201, description = "All are durable.", body = PublishedBody),
        QueueRefusals, FullRefusals, BodyRefusals
    )
)]
pub(crate) async fn publish(
    State(app): State<App>,
    InQueue(queue): InQueue,
    JsonBytes(held): JsonBytes,
) -> Answer<(StatusCode, Json<PublishedBody>)> {
    // The drafts are about as large as the body, so they stay paid for until they are published.
    let (drafts, _paid) = held.read(read_drafts).await?;
    let ids = app.parts.queues.publish(&queue, drafts).await?;
    let ids = ids.iter().map(|id| id.as_str().to_owned()).collect();
    Ok((StatusCode::CREATED, Json(PublishedBody { ids })))
}

fn read_drafts(bytes: &[u8]) -> Answer<Vec<Draft>> {
    let mut header_values = HeaderValues::default();
    let messages = read_messages(bytes)?.into_iter().enumerate();
    messages.map(|(index, message)| message.into_draft(index, &mut header_values)).collect()
}

/// Reads a body of either shape once: taken for the other one it is refused at its first field. Only what is wrong is
/// looked at again, to tell by the field `messages` which shape was meant; the refusal names the field.
fn read_messages(bytes: &[u8]) -> Answer<Vec<NewMessage>> {
    if let Ok(Object(several)) = serde_json::from_slice::<Object<NewMessages>>(bytes) {
        return Ok(several.into_messages());
    }
    if let Ok(Object(message)) = serde_json::from_slice(bytes) {
        return Ok(vec![message]);
    }
    #[derive(Deserialize)]
    struct Shape {
        messages: Option<IgnoredAny>,
    }
    let Object(Shape { messages }) = parse(bytes)?;
    if messages.is_none() {
        let Object(message) = parse(bytes)?;
        return Ok(vec![message]);
    }
    let Object(several) = parse::<Object<NewMessages>>(bytes)?;
    Ok(several.into_messages())
}

/// How many to look at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PeekQuery {
    /// At most so many; 10 unless said otherwise.
    #[serde(default, deserialize_with = "number::in_query")]
    #[param(inline)]
    pub(crate) count_max: Option<PeekCount>,
}

impl PeekQuery {
    pub(crate) fn count_max(&self) -> usize {
        self.count_max.map_or(PEEK_DEFAULT, |Whole(count)| usize::try_from(count).unwrap_or(PEEK_DEFAULT))
    }
}

/// Messages that were looked at.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeekedBody {
    pub(crate) messages: Vec<MessageBody>,
}

/// Looks at ready messages without taking them
///
/// On a dead-letter queue these are its dead letters, each with its history.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/messages", tag = "messages", operation_id = "peek",
    params(QueuePath, PeekQuery),
    responses(
        (status = 200, description = "From the front of the queue.", body = PeekedBody),
        QueueRefusals
    )
)]
pub(crate) async fn peek(
    State(app): State<App>,
    InQueue(queue): InQueue,
    Asked(query): Asked<PeekQuery>,
) -> Answer<Json<PeekedBody>> {
    let peeked = app.parts.admin.peek(&queue, query.count_max()).await?;
    Ok(Json(PeekedBody { messages: peeked.iter().map(|one| (&one.delivery).into()).collect() }))
}

/// Where to begin, and how many to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplayQuery {
    /// Begins behind the message at this position; with neither this nor `since_ms` at the oldest.
    #[serde(default, deserialize_with = "number::in_query")]
    #[param(inline)]
    after: Option<ReplayPlace>,
    /// Begins at the first message that was published then or later, in milliseconds since 1970; `after` goes before it.
    #[serde(default, deserialize_with = "number::in_query")]
    #[param(inline)]
    since_ms: Option<ReplayPlace>,
    /// At most so many; 10 unless said otherwise.
    #[serde(default, deserialize_with = "number::in_query")]
    #[param(inline)]
    count_max: Option<PeekCount>,
}

/// Messages that were read again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    messages: Vec<ReplayedBody>,
}

/// A message that was read again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayedBody {
    /// Its place in the queue, to go on after.
    position: u64,
    #[serde(flatten)]
    message: MessageBody,
}

/// Reads messages again without taking them
///
/// Those that the queue has and those that it retains, in the order of their arrival, finished or not; none only behind
/// the last. 409 where the queue retains nothing, 501 where no queue of the broker can.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/replay", tag = "messages", operation_id = "replay",
    params(QueuePath, ReplayQuery),
    responses(
        (status = 200, description = "In the order of their arrival.", body = ReplayBody),
        (status = 409, description = "The queue retains nothing.", body = ErrorBody),
        QueueRefusals
    )
)]
pub(crate) async fn replay(
    State(app): State<App>,
    InQueue(queue): InQueue,
    Asked(query): Asked<ReplayQuery>,
) -> Answer<Json<ReplayBody>> {
    let from = match (query.after, query.since_ms) {
        (None, Some(Whole(ms))) => ReplayFrom::Time(Instant::from_ms(ms)),
        (after, _) => ReplayFrom::Position(after.map_or(0, |Whole(position)| position)),
    };
    let count_max =
        query.count_max.map_or(PEEK_DEFAULT, |Whole(count)| usize::try_from(count).unwrap_or(PEEK_DEFAULT));
    // Of a broker that can retain, another queue would have answered; one that cannot is refused as everywhere.
    let retains = app.parts.queues.capabilities().retain;
    let replayed =
        app.parts.admin.replay(&queue, from, count_max).await.map_err(|error| match error.kind() {
            Kind::Unsupported if retains => Refused::new(StatusCode::CONFLICT, error.to_string()),
            _ => error.into(),
        })?;
    let body = |one: &Replayed| ReplayedBody {
        position: one.position,
        message: MessageBody::published(&one.message, one.published_at),
    };
    Ok(Json(ReplayBody { messages: replayed.iter().map(body).collect() }))
}

/// How many messages are gone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgedBody {
    purged: u64,
}

/// Throws away all ready and delayed messages
///
/// Those in consumers' hands stay until they are settled.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/purge", tag = "messages", operation_id = "purge",
    params(QueuePath),
    responses(
        (status = 200, description = "They are gone for good.", body = PurgedBody),
        QueueRefusals, FullRefusals
    )
)]
pub(crate) async fn purge(State(app): State<App>, InQueue(queue): InQueue) -> Answer<Json<PurgedBody>> {
    Ok(Json(PurgedBody { purged: app.parts.admin.purge(&queue).await? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the reader of one shape stops in a body.
    fn stops_at<T: serde::de::DeserializeOwned>(body: &str) -> usize {
        serde_json::from_str::<Object<T>>(body).map(drop).unwrap_err().column()
    }

    #[test]
    fn a_body_of_the_other_shape_is_refused_at_its_first_field() {
        let payload = "x".repeat(10_000);
        let one = format!(r#"{{"payload":"{payload}","id":"a"}}"#);
        let many = format!(r#"{{"messages":[{{"payload":"{payload}"}}]}}"#);
        assert!(stops_at::<NewMessages>(&one) < 20);
        assert!(stops_at::<NewMessage>(&many) < 20);
        assert_eq!(read_drafts(one.as_bytes()).unwrap()[0].payload.len(), payload.len());
        assert_eq!(read_drafts(many.as_bytes()).unwrap()[0].payload.len(), payload.len());
    }

    #[test]
    fn messages_at_their_number_are_read_and_the_first_too_many_ends_the_reading() {
        let body = |count: usize, rest: &str| {
            let messages = vec![r#"{"payload":""}"#; count].join(",");
            format!(r#"{{"messages":[{messages}{rest}]}}"#)
        };
        assert_eq!(read_drafts(body(limits::PUBLISH_MESSAGES_MAX, "").as_bytes()).unwrap().len(), 1_000);
        for (count, rest) in [(0, ""), (limits::PUBLISH_MESSAGES_MAX, ",7,8")] {
            let refused = read_drafts(body(count, rest).as_bytes()).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST);
            let error = refused.body.error;
            assert!(error.starts_with("read request body: messages: expected 1 to 1000 of them"), "{error}");
        }
    }

    #[test]
    fn the_headers_of_all_messages_share_one_bound() {
        let values = limits::http::HEADER_VALUES_MAX / 4;
        let message = format!(r#"{{"payload":"","headers":{{"a":[1{}]}}}}"#, ",1".repeat(values - 2));
        let body = |count: usize| format!(r#"{{"messages":[{}]}}"#, vec![message.as_str(); count].join(","));
        assert!(read_drafts(body(4).as_bytes()).is_ok());
        let refused = read_drafts(body(5).as_bytes()).unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(refused.body.error.starts_with("read message 4: values"), "{}", refused.body.error);
    }
}
