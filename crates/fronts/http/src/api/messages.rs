//! Putting messages into a queue, looking at them, and throwing them away.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use forebay_core::limits;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::message::{MessageBody, NewMessage};
use super::path::{Asked, InQueue, QueuePath};
use super::refusals::{BodyRefusals, FullRefusals, QueueRefusals};
use crate::body::{JsonBytes, Object, parse};
use crate::errors::{Answer, Refused};
use crate::number::{self, Whole};
use crate::router::App;

/// Messages to look at unless asked otherwise.
pub(crate) const PEEK_DEFAULT: usize = 10;
type PeekCount = Whole<1, { limits::HTTP_PEEK_MAX as u64 }>;

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
    #[schema(min_items = 1, max_items = 1000, value_type = Vec<NewMessage>)]
    messages: Vec<Object<NewMessage>>,
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
    JsonBytes(bytes): JsonBytes,
) -> Answer<(StatusCode, Json<PublishedBody>)> {
    let messages = read_messages(&bytes)?;
    let drafts = messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| message.into_draft(index))
        .collect::<Answer<Vec<_>>>()?;
    let ids = app.parts.queues.publish(&queue, drafts).await?;
    let ids = ids.iter().map(|id| id.as_str().to_owned()).collect();
    Ok((StatusCode::CREATED, Json(PublishedBody { ids })))
}

/// Tells the two shapes apart by the field `messages`, then reads the one that was meant: its refusals name the field,
/// which trying both would not.
fn read_messages(bytes: &[u8]) -> Answer<Vec<NewMessage>> {
    #[derive(Deserialize)]
    struct Shape {
        messages: Option<IgnoredAny>,
    }
    let Object(Shape { messages }) = parse(bytes)?;
    if messages.is_none() {
        let Object(message) = parse(bytes)?;
        return Ok(vec![message]);
    }
    let Object(NewMessages { messages }) = parse(bytes)?;
    if messages.is_empty() || messages.len() > limits::PUBLISH_MESSAGES_MAX {
        return Err(Refused::bad_request(format!(
            "read request body: messages: expected 1 to {} of them",
            limits::PUBLISH_MESSAGES_MAX
        )));
    }
    Ok(messages.into_iter().map(|Object(message)| message).collect())
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
