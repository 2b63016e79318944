//! Messages that were given up: looking at them, and sending them back.

use axum::Json;
use axum::extract::State;
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::queue::{PARKED, QueueName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::messages::{PeekQuery, PeekedBody};
use super::path::{Asked, InQueue, QueuePath};
use super::refusals::{BodyRefusals, FullRefusals, QueueRefusals};
use crate::errors::Answer;
use crate::json::MaybeJson;
use crate::number::Whole;
use crate::router::App;

/// Dead letters that one request sends back, and how many it does unless told otherwise.
const REDRIVE_MAX: u64 = limits::RECEIVE_DELIVERIES_MAX as u64;

type RedriveCount = Whole<1, REDRIVE_MAX>;

/// Looks at this queue's dead letters
///
/// They lie in its dead-letter queue, which other queues may share: of the first messages there, those are shown that
/// came from this queue.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/dead-letters", tag = "dead letters", operation_id = "dead_letters",
    params(QueuePath, PeekQuery),
    responses((status = 200, description = "With their reasons and history.", body = PeekedBody), QueueRefusals)
)]
pub(crate) async fn list(
    State(app): State<App>,
    InQueue(queue): InQueue,
    Asked(query): Asked<PeekQuery>,
) -> Answer<Json<PeekedBody>> {
    let settings = app.parts.admin.queue(&queue).await?.settings;
    let dead_letters = match settings.dead_letter {
        Some(name) => name,
        None => QueueName::new(PARKED)?,
    };
    let peeked = match app.parts.admin.peek(&dead_letters, limits::http::PEEK_MAX).await {
        Ok(peeked) => peeked,
        // Nothing has died yet: the queue is made with its first dead letter.
        Err(error) if error.kind() == Kind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let messages = peeked
        .iter()
        .filter(|one| one.delivery.history.iter().any(|history| history.queue == queue))
        .take(query.count_max())
        .map(|one| (&one.delivery).into())
        .collect();
    Ok(Json(PeekedBody { messages }))
}

/// How many to send back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedriveBody {
    /// At most so many; 1,000 unless said otherwise.
    #[schema(inline)]
    count_max: Option<RedriveCount>,
}

/// How many went back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedrivenBody {
    redriven: u64,
}

/// Sends the dead letters in this queue back to where they came from
///
/// They begin anew, with no attempt used. Name the dead-letter queue, not the queue that gave them up.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/redrive", tag = "dead letters", operation_id = "redrive",
    params(QueuePath),
    request_body = Option<RedriveBody>,
    responses(
        (status = 200, description = "They are back, durably.", body = RedrivenBody),
        QueueRefusals, FullRefusals, BodyRefusals
    )
)]
pub(crate) async fn redrive(
    State(app): State<App>,
    InQueue(queue): InQueue,
    MaybeJson(asked): MaybeJson<RedriveBody>,
) -> Answer<Json<RedrivenBody>> {
    let Whole(count_max) = asked.count_max.unwrap_or(Whole(REDRIVE_MAX));
    let count_max = usize::try_from(count_max).unwrap_or(limits::RECEIVE_DELIVERIES_MAX);
    Ok(Json(RedrivenBody { redriven: app.parts.admin.redrive(&queue, count_max).await? }))
}
