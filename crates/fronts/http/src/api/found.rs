//! Looking a message up by its id.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use forebay_core::ports::broker::{Found, Place};
use serde::Serialize;
use utoipa::ToSchema;

use super::message::MessageBody;
use super::path::{InQueue, MessagePath, OfMessage, QueuePath};
use super::refusals::QueueRefusals;
use crate::errors::{Answer, Refused};
use crate::router::App;

/// A message, and where in its queue it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundBody {
    place: PlaceBody,
    /// When its hold or its delay ends, in milliseconds since 1970; absent for one that is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    #[serde(flatten)]
    message: MessageBody,
}

/// Where in its queue a message is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlaceBody {
    /// To be handed out.
    Ready,
    /// In a consumer's hands.
    Held,
    /// Waiting for its time.
    Delayed,
}

impl From<&Found> for FoundBody {
    fn from(found: &Found) -> Self {
        let (place, until) = match found.place {
            Place::Ready => (PlaceBody::Ready, None),
            Place::Held(until) => (PlaceBody::Held, Some(until)),
            Place::Delayed(until) => (PlaceBody::Delayed, Some(until)),
        };
        Self { place, until_ms: until.map(|until| until.as_ms()), message: (&found.delivery).into() }
    }
}

/// Shows one message without taking it
///
/// Looks through the whole queue, and finds the oldest of several with one id. 404 also where no message has it.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/messages/{message}", tag = "messages", operation_id = "find",
    params(QueuePath, MessagePath),
    responses((status = 200, description = "It is in the queue.", body = FoundBody), QueueRefusals)
)]
pub(crate) async fn find(
    State(app): State<App>,
    InQueue(queue): InQueue,
    OfMessage(message): OfMessage,
) -> Answer<Json<FoundBody>> {
    match app.parts.admin.find(&queue, &message).await? {
        Some(found) => Ok(Json((&found).into())),
        None => Err(Refused::new(
            StatusCode::NOT_FOUND,
            format!("find message {} of queue {queue}: it is not there", message.as_str()),
        )),
    }
}
