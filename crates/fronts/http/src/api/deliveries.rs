//! Taking messages out of a queue, and ending what was taken.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use forebay_core::delivery::{Delivery, DeliveryId, End, Outcome, Settled};
use forebay_core::limits;
use forebay_core::queue::QueueName;
use forebay_queue::deliver::ReceiveOptions;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::message::MessageBody;
use super::path::{DeliveryPath, InQueue, OfDelivery, QueuePath};
use super::refusals::{BodyRefusals, FullRefusals, QueueRefusals};
use crate::errors::{Answer, ErrorBody, Refused};
use crate::json::{JsonBody, MaybeJson};
use crate::number::{HoldMs, Whole};
use crate::router::App;

type ReceiveCount = Whole<1, { limits::RECEIVE_DELIVERIES_MAX as u64 }>;
type WaitMs = Whole<0, { limits::RECEIVE_WAIT_MAX.as_secs() * 1_000 }>;

/// What to take.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiveBody {
    /// At most so many; 1 unless said otherwise.
    #[schema(inline)]
    count_max: Option<ReceiveCount>,
    /// How long to wait for the first; does not wait unless said otherwise.
    #[schema(inline)]
    wait_ms: Option<WaitMs>,
    /// How long each is held for this consumer; the queue's own time unless said otherwise.
    #[schema(inline)]
    hold_ms: Option<HoldMs>,
}

/// A message held for this consumer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryBody {
    /// Names this hold; settle it under this name.
    delivery: String,
    /// Until then, in milliseconds since 1970.
    held_until_ms: u64,
    #[serde(flatten)]
    message: MessageBody,
}

impl From<&Delivery> for DeliveryBody {
    fn from(delivery: &Delivery) -> Self {
        Self {
            delivery: delivery.id.to_string(),
            held_until_ms: delivery.held_until.as_ms(),
            message: delivery.into(),
        }
    }
}

/// What was taken; empty when the wait was in vain.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveriesBody {
    deliveries: Vec<DeliveryBody>,
}

/// Takes messages
///
/// A long poll: it answers as soon as there is a message, and with an empty list when there is none in time or the
/// daemon stops. Whoever goes away meanwhile takes nothing. There may be fewer messages than were asked for, so that
/// an answer stays within 16 MiB of payload.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/receive", tag = "deliveries", operation_id = "receive",
    params(QueuePath),
    request_body = Option<ReceiveBody>,
    responses(
        (status = 200, description = "Held for this consumer.", body = DeliveriesBody),
        QueueRefusals, FullRefusals, BodyRefusals
    )
)]
pub(crate) async fn receive(
    State(app): State<App>,
    InQueue(queue): InQueue,
    MaybeJson(asked): MaybeJson<ReceiveBody>,
) -> Answer<Json<DeliveriesBody>> {
    let count_max = asked.count_max.map_or(1, |Whole(count)| usize::try_from(count).unwrap_or(1));
    let wait = Duration::from_millis(asked.wait_ms.map_or(0, |Whole(ms)| ms));
    let hold = asked.hold_ms.map(|Whole(ms)| Duration::from_millis(ms));
    let options = ReceiveOptions { count_max, hold, wait };
    let deliveries = tokio::select! {
        biased;
        taken = app.parts.queues.receive(&queue, options) => taken?,
        () = app.stopped() => Vec::new(),
    };
    Ok(Json(DeliveriesBody { deliveries: deliveries.iter().map(DeliveryBody::from).collect() }))
}

/// Says that the work is done
#[utoipa::path(
    post, path = "/v1/queues/{queue}/deliveries/{delivery}/ack", tag = "deliveries", operation_id = "ack",
    params(QueuePath, DeliveryPath),
    responses(
        (status = 204, description = "It is finished, durably."),
        (status = 409, description = "It is no longer held; nothing was changed.", body = ErrorBody),
        QueueRefusals, FullRefusals
    )
)]
pub(crate) async fn ack(
    State(app): State<App>,
    InQueue(queue): InQueue,
    OfDelivery(delivery): OfDelivery,
) -> Answer<StatusCode> {
    match app.parts.queues.settle(&queue, delivery, End::Acked, None).await? {
        Settled::Done => Ok(StatusCode::NO_CONTENT),
        Settled::NotHeld => Err(not_held("acknowledge", &queue, delivery)),
    }
}

/// How it ended.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NackBody {
    /// What went wrong; the first 1,024 bytes of it are kept in the dead letter's history.
    #[serde(default, deserialize_with = "cut")]
    note: Option<String>,
    /// It can never work: dead-letter it at once. Not together with `return`.
    #[serde(default)]
    reject: bool,
    /// Give it back untouched: no failure, no attempt used. Not together with `reject`.
    #[serde(default, rename = "return")]
    give_back: bool,
}

/// Lets go at once of what is not kept anyway: the body does not count any more once it has been read.
fn cut<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let mut note = Option::<String>::deserialize(deserializer)?;
    if let Some(note) = &mut note {
        note.truncate(note.floor_char_boundary(limits::NOTE_BYTES_MAX));
        note.shrink_to_fit();
    }
    Ok(note)
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NackedBody {
    outcome: OutcomeBody,
    /// When it is tried again, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
}

/// What became of a delivery that ended without success.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutcomeBody {
    /// It is tried again.
    Retry,
    /// It is in the dead-letter queue.
    DeadLetter,
    /// It is ready again in its old place.
    Returned,
}

/// Says that the work is not done
///
/// It is tried again after the queue's backoff, or dead-lettered once its attempts are spent.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/deliveries/{delivery}/nack", tag = "deliveries", operation_id = "nack",
    params(QueuePath, DeliveryPath),
    request_body = Option<NackBody>,
    responses(
        (status = 200, description = "What became of it, durably.", body = NackedBody),
        (status = 409, description = "It is no longer held; nothing was changed.", body = ErrorBody),
        QueueRefusals, FullRefusals, BodyRefusals
    )
)]
pub(crate) async fn nack(
    State(app): State<App>,
    InQueue(queue): InQueue,
    OfDelivery(delivery): OfDelivery,
    MaybeJson(asked): MaybeJson<NackBody>,
) -> Answer<Json<NackedBody>> {
    let end = match (asked.reject, asked.give_back) {
        (false, false) => End::Failed,
        (true, false) => End::Rejected,
        (false, true) => End::Returned,
        (true, true) => {
            return Err(Refused::bad_request("read request body: reject and return exclude each other"));
        }
    };
    let note = asked.note.as_deref();
    let Some(outcome) = app.parts.queues.end(&queue, delivery, end, note).await? else {
        return Err(not_held("reject", &queue, delivery));
    };
    let (outcome, at_ms) = match outcome {
        Outcome::RetryAt(at) => (OutcomeBody::Retry, Some(at.as_ms())),
        Outcome::DeadLetter(_) => (OutcomeBody::DeadLetter, None),
        Outcome::Return { .. } | Outcome::Done => (OutcomeBody::Returned, None),
    };
    Ok(Json(NackedBody { outcome, at_ms }))
}

/// How much longer it is needed: held from now for so many milliseconds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendBody {
    // Without a description of its own: the document's generator would contradict the schema with it.
    #[schema(inline)]
    hold_ms: HoldMs,
}

/// Until when it is held.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendedBody {
    /// In milliseconds since 1970.
    held_until_ms: u64,
}

/// Holds it for longer
#[utoipa::path(
    post, path = "/v1/queues/{queue}/deliveries/{delivery}/extend", tag = "deliveries", operation_id = "extend",
    params(QueuePath, DeliveryPath),
    request_body = ExtendBody,
    responses(
        (status = 200, description = "It is held until then.", body = ExtendedBody),
        (status = 409, description = "It is no longer held.", body = ErrorBody),
        QueueRefusals, BodyRefusals
    )
)]
pub(crate) async fn extend(
    State(app): State<App>,
    InQueue(queue): InQueue,
    OfDelivery(delivery): OfDelivery,
    JsonBody(asked): JsonBody<ExtendBody>,
) -> Answer<Json<ExtendedBody>> {
    let hold = Duration::from_millis(asked.hold_ms.0);
    match app.parts.queues.extend(&queue, delivery, hold).await? {
        Some(until) => Ok(Json(ExtendedBody { held_until_ms: until.as_ms() })),
        None => Err(not_held("extend", &queue, delivery)),
    }
}

fn not_held(attempt: &str, queue: &QueueName, delivery: DeliveryId) -> Refused {
    Refused::new(
        StatusCode::CONFLICT,
        format!("{attempt} delivery {delivery} of queue {queue}: no longer held"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_note_only_what_is_kept_is_held() {
        let json = format!(r#"{{"note":"x{}"}}"#, "é".repeat(limits::NOTE_BYTES_MAX));
        let note = serde_json::from_str::<NackBody>(&json).unwrap().note.unwrap();
        assert_eq!(note.len(), limits::NOTE_BYTES_MAX - 1, "whole characters");
        assert!(note.capacity() < 2 * limits::NOTE_BYTES_MAX);
        assert!(serde_json::from_str::<NackBody>(r#"{"note":null}"#).unwrap().note.is_none());
    }
}
