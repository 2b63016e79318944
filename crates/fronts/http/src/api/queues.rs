//! Declaring queues and looking after them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use forebay_core::error::{Error, Kind};
use forebay_core::limits;
use forebay_core::ports::broker::{AdminCapabilities, QueueInfo};
use forebay_core::queue::{DeadLetterExchange, Lifetime, Order, Overflow, QueueName, QueueSettings, Retain};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::path::{InQueue, QueuePath};
use super::refusals::{BodyRefusals, FullRefusals, QueueRefusals};
use crate::errors::{Answer, ErrorBody, Refused};
use crate::json::MaybeJson;
use crate::number::{EXACT_MAX, HoldMs, QueueText, ShortText, Text, Whole};
use crate::router::App;

type BackoffMs = Whole<0, { limits::DELAY_MAX.as_secs() * 1_000 }>;
type AttemptCount = Whole<1, { limits::ATTEMPTS_MAX as u64 }>;
type DedupMs = Whole<0, { limits::DEDUP_WINDOW_MAX.as_secs() * 1_000 }>;
type PriorityMax = Whole<0, 255>;
type RetainMs = Whole<1_000, { limits::RETAIN_MAX.as_secs() * 1_000 }>;
type LengthCount = Whole<0, EXACT_MAX>;
type LengthBytes = Whole<0, EXACT_MAX>;
type MessageTtlMs = Whole<0, { limits::MESSAGE_TTL_MAX.as_secs() * 1_000 }>;

/// Settings to declare a queue with; what is left out has its default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewQueue {
    /// Attempts before a message is dead-lettered; 5 unless said otherwise.
    #[schema(inline)]
    attempt_max: Option<AttemptCount>,
    /// The wait after the first failed attempt, doubled for every further one; 1,000 unless said otherwise.
    #[schema(inline)]
    backoff_first_ms: Option<BackoffMs>,
    /// No wait is longer than this, not even the first; 300,000, or the first if that is longer, unless said otherwise.
    #[schema(inline)]
    backoff_longest_ms: Option<BackoffMs>,
    /// The share of the wait that is random; 0.5 unless said otherwise.
    #[schema(minimum = 0.0, maximum = 1.0)]
    backoff_jitter: Option<f64>,
    /// How long a delivery is held unless the receiver says otherwise; 30,000 unless said otherwise.
    #[schema(inline)]
    hold_ms: Option<HoldMs>,
    /// The queue that dead letters go to; `forebay.parked` unless said otherwise.
    #[schema(inline)]
    dead_letter: Option<QueueText>,
    /// The exchange that dead letters are published to, before `dead_letter`; empty for the default one. It need not be
    /// there: what it brings to no queue is parked. None unless said otherwise.
    #[schema(inline)]
    dead_letter_exchange: Option<ShortText>,
    /// The routing key for that exchange; the one that each message was published with unless said otherwise.
    #[schema(inline)]
    dead_letter_key: Option<ShortText>,
    /// What comes in expires no later than after so long; no limit unless said otherwise.
    #[schema(inline)]
    message_ttl_ms: Option<MessageTtlMs>,
    /// Most messages in the queue; 10,000,000 unless said otherwise. 0 only where the oldest are dropped.
    #[schema(inline)]
    length_max: Option<LengthCount>,
    /// Most bytes of payload of the ready messages in the queue; no limit unless said otherwise.
    #[schema(inline)]
    length_bytes_max: Option<LengthBytes>,
    /// What happens to a publish when the queue is at its length.
    overflow: Option<OverflowBody>,
    /// What is kept in order; `arrival` unless said otherwise.
    order: Option<OrderBody>,
    /// The greatest priority that is told apart; 0, which is none, unless said otherwise. Excludes the order `key`.
    #[schema(inline)]
    priority_max: Option<PriorityMax>,
    /// A message whose `dedup_id` the queue took within this time is not taken again; 120,000 unless said otherwise, 0
    /// takes all.
    #[schema(inline)]
    dedup_window_ms: Option<DedupMs>,
    /// Acknowledged messages are kept for so long after they were published, to be replayed; none unless said otherwise.
    #[schema(inline)]
    retain_ms: Option<RetainMs>,
    /// Of ready and delayed messages with one key only the newest is kept; false unless said otherwise.
    newest_by_key: Option<bool>,
    /// How long the queue is there; `durable` unless said otherwise.
    lifetime: Option<LifetimeBody>,
}

/// How long a queue is there.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LifetimeBody {
    /// Until it is deleted.
    Durable,
    /// Until it is deleted or the process ends; its messages go with it.
    Process,
}

/// What a queue keeps in order.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderBody {
    /// Messages are handed out in the order of their arrival.
    Arrival,
    /// The same, and of all messages with one key only one is held or waits for its next attempt at a time.
    Key,
}

/// What happens to a publish when the queue is at its length.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OverflowBody {
    /// The publisher is refused.
    Reject,
    /// The oldest ready message is dropped, or goes to the queue's dead-letter exchange if it has one.
    DropHead,
    /// The publisher is refused, and the message goes to that exchange, if there is one.
    RejectDeadLetter,
}

impl NewQueue {
    fn into_settings(self, name: QueueName) -> Answer<QueueSettings> {
        let ms = Duration::from_millis;
        let mut settings = QueueSettings::new(name);
        let backoff = &mut settings.retry.backoff;
        if let Some(Whole(first)) = self.backoff_first_ms {
            backoff.first = ms(first);
        }
        match self.backoff_longest_ms {
            Some(Whole(longest)) => backoff.longest = ms(longest),
            None => backoff.longest = backoff.longest.max(backoff.first),
        }
        backoff.first = backoff.first.min(backoff.longest);
        if let Some(jitter) = self.backoff_jitter {
            backoff.jitter = jitter;
        }
        if let Some(Whole(attempts)) = self.attempt_max {
            settings.retry.attempt_max = u32::try_from(attempts).unwrap_or(limits::ATTEMPTS_MAX);
        }
        if let Some(Whole(hold)) = self.hold_ms {
            settings.hold = ms(hold);
        }
        if let Some(Text(dead_letter)) = self.dead_letter {
            settings.dead_letter = Some(QueueName::new(&dead_letter)?);
        }
        settings.dead_letter_exchange = match (self.dead_letter_exchange, self.dead_letter_key) {
            (Some(ShortText(exchange)), key) => {
                Some(DeadLetterExchange { exchange, key: key.map(|ShortText(key)| key) })
            }
            (None, None) => None,
            (None, Some(_)) => {
                let why = format!("{}: dead_letter_key needs a dead_letter_exchange", settings.name);
                return Err(Error::new(Kind::Invalid, "declare queue", why).into());
            }
        };
        settings.message_ttl = self.message_ttl_ms.map(|Whole(ttl)| ms(ttl));
        if let Some(Whole(length)) = self.length_max {
            settings.length_max = length;
        }
        settings.length_bytes_max = self.length_bytes_max.map(|Whole(bytes)| bytes);
        settings.overflow = match self.overflow {
            None => settings.overflow,
            Some(OverflowBody::Reject) => Overflow::Reject,
            Some(OverflowBody::DropHead) => Overflow::DropHead,
            Some(OverflowBody::RejectDeadLetter) => Overflow::RejectDeadLetter,
        };
        settings.order = match self.order {
            None => settings.order,
            Some(OrderBody::Arrival) => Order::Arrival,
            Some(OrderBody::Key) => Order::Key,
        };
        if let Some(Whole(priority)) = self.priority_max {
            settings.priority_max = u8::try_from(priority).unwrap_or(u8::MAX);
        }
        if let Some(Whole(window)) = self.dedup_window_ms {
            settings.dedup_window = ms(window);
        }
        if let Some(Whole(time)) = self.retain_ms {
            settings.retain = Retain::For(ms(time));
        }
        settings.newest_by_key = self.newest_by_key.unwrap_or(settings.newest_by_key);
        settings.lifetime = match self.lifetime {
            None => settings.lifetime,
            Some(LifetimeBody::Durable) => Lifetime::Durable,
            Some(LifetimeBody::Process) => Lifetime::Process,
        };
        settings.check()?;
        Ok(settings)
    }
}

/// A queue's settings and its state. Counts are since the start of the process; of what its broker does not count, which is
/// everything but the ready messages, nothing is told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueBody {
    /// Its name.
    name: String,
    /// Attempts before a message is dead-lettered.
    attempt_max: u32,
    /// The wait after the first failed attempt.
    backoff_first_ms: u64,
    /// The longest wait.
    backoff_longest_ms: u64,
    /// The share of the wait that is random.
    backoff_jitter: f64,
    /// How long a delivery is held.
    hold_ms: u64,
    /// The queue that dead letters go to; absent for `forebay.parked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<String>,
    /// The exchange that dead letters are published to before that; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_exchange: Option<String>,
    /// The routing key for it; absent for that of each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter_key: Option<String>,
    /// What comes in expires no later than after so long; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_ttl_ms: Option<u64>,
    /// Most messages in the queue.
    length_max: u64,
    /// Most bytes of payload of its ready messages; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    length_bytes_max: Option<u64>,
    /// What happens then.
    overflow: OverflowBody,
    /// What is kept in order.
    order: OrderBody,
    /// The greatest priority that is told apart.
    priority_max: u8,
    /// How long a `dedup_id` is remembered.
    dedup_window_ms: u64,
    /// How long acknowledged messages are kept to be replayed; absent for not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    retain_ms: Option<u64>,
    /// Whether only the newest message of a key is kept.
    newest_by_key: bool,
    /// How long it is there.
    lifetime: LifetimeBody,
    /// True while it hands nothing out.
    paused: bool,
    /// Waiting to be delivered.
    ready: u64,
    /// In consumers' hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<u64>,
    /// Waiting for their time.
    #[serde(skip_serializing_if = "Option::is_none")]
    delayed: Option<u64>,
    /// Age of the oldest ready message.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_ms: Option<u64>,
    /// Messages taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<u64>,
    /// Deliveries handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<u64>,
    /// Deliveries acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    acked: Option<u64>,
    /// Deliveries that failed and were scheduled again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<u64>,
    /// Messages that left as dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_lettered: Option<u64>,
    /// Messages dropped at the length limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
    /// Messages not taken again, because of their `dedup_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<u64>,
    /// Dedup ids forgotten before their time, because there were too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_forgotten: Option<u64>,
    /// Acknowledged messages that are kept to be replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    retained: Option<u64>,
    /// Of these, forgotten before their time, because new ones needed their space.
    #[serde(skip_serializing_if = "Option::is_none")]
    retained_dropped: Option<u64>,
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl QueueBody {
    fn new(QueueInfo { settings, stats, paused }: &QueueInfo, can: AdminCapabilities) -> Self {
        let counted = |count: u64| can.counts.then_some(count);
        let dead_letter_exchange = settings.dead_letter_exchange.as_ref();
        Self {
            name: settings.name.to_string(),
            attempt_max: settings.retry.attempt_max,
            backoff_first_ms: whole_ms(settings.retry.backoff.first),
            backoff_longest_ms: whole_ms(settings.retry.backoff.longest),
            backoff_jitter: settings.retry.backoff.jitter,
            hold_ms: whole_ms(settings.hold),
            dead_letter: settings.dead_letter.as_ref().map(QueueName::to_string),
            dead_letter_exchange: dead_letter_exchange.map(|to| to.exchange.clone()),
            dead_letter_key: dead_letter_exchange.and_then(|to| to.key.clone()),
            message_ttl_ms: settings.message_ttl.map(whole_ms),
            length_max: settings.length_max,
            length_bytes_max: settings.length_bytes_max,
            overflow: match settings.overflow {
                Overflow::Reject => OverflowBody::Reject,
                Overflow::DropHead => OverflowBody::DropHead,
                Overflow::RejectDeadLetter => OverflowBody::RejectDeadLetter,
            },
            order: match settings.order {
                Order::Arrival => OrderBody::Arrival,
                Order::Key => OrderBody::Key,
            },
            priority_max: settings.priority_max,
            dedup_window_ms: whole_ms(settings.dedup_window),
            retain_ms: match settings.retain {
                Retain::Nothing => None,
                Retain::For(time) => Some(whole_ms(time)),
            },
            newest_by_key: settings.newest_by_key,
            lifetime: match settings.lifetime {
                Lifetime::Durable => LifetimeBody::Durable,
                Lifetime::Process => LifetimeBody::Process,
            },
            paused: *paused,
            ready: stats.ready,
            held: counted(stats.held),
            delayed: counted(stats.delayed),
            oldest_ms: counted(stats.oldest_ms),
            published: counted(stats.published),
            delivered: counted(stats.delivered),
            acked: counted(stats.acked),
            retried: counted(stats.retried),
            dead_lettered: counted(stats.dead_lettered),
            dropped: counted(stats.dropped),
            repeated: counted(stats.repeated),
            dedup_forgotten: counted(stats.dedup_forgotten),
            retained: counted(stats.retained),
            retained_dropped: counted(stats.retained_dropped),
        }
    }
}

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueuesBody {
    queues: Vec<QueueBody>,
}

/// Lists all queues
#[utoipa::path(
    get, path = "/v1/queues", tag = "queues", operation_id = "list_queues",
    responses(
        (status = 200, description = "By name.", body = QueuesBody),
        (status = 501, description = "The broker that the daemon was given cannot list queues.", body = ErrorBody),
        (status = 503, description = "The daemon is stopping, or the broker is away.", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>) -> Answer<Json<QueuesBody>> {
    let queues = app.parts.admin.queues().await?;
    let can = app.parts.admin.capabilities();
    Ok(Json(QueuesBody { queues: queues.iter().map(|queue| QueueBody::new(queue, can)).collect() }))
}

async fn look(app: &App, queue: &QueueName) -> Answer<QueueBody> {
    let admin = &app.parts.admin;
    Ok(QueueBody::new(&admin.queue(queue).await?, admin.capabilities()))
}

/// Shows one queue
#[utoipa::path(
    get, path = "/v1/queues/{queue}", tag = "queues", operation_id = "show_queue",
    params(QueuePath),
    responses((status = 200, description = "Its settings and its state.", body = QueueBody), QueueRefusals)
)]
pub(crate) async fn show(State(app): State<App>, InQueue(queue): InQueue) -> Answer<Json<QueueBody>> {
    Ok(Json(look(&app, &queue).await?))
}

/// Declares a queue
///
/// Declaring it again with equal settings changes nothing; with others it is refused.
#[utoipa::path(
    put, path = "/v1/queues/{queue}", tag = "queues", operation_id = "declare_queue",
    params(QueuePath),
    request_body = Option<NewQueue>,
    responses(
        (status = 200, description = "It is there already, with these settings.", body = QueueBody),
        (status = 201, description = "It is durable.", body = QueueBody),
        (status = 409, description = "It is there with other settings; the text names one.", body = ErrorBody),
        QueueRefusals, FullRefusals, BodyRefusals
    )
)]
pub(crate) async fn declare(
    State(app): State<App>,
    InQueue(queue): InQueue,
    MaybeJson(settings): MaybeJson<NewQueue>,
) -> Answer<(StatusCode, Json<QueueBody>)> {
    let settings = settings.into_settings(queue)?;
    let status = match app.parts.admin.queue(&settings.name).await {
        Ok(_) => StatusCode::OK,
        Err(error) if error.kind() == Kind::NotFound => StatusCode::CREATED,
        Err(error) => return Err(error.into()),
    };
    app.parts.queues.ensure(&settings).await?;
    Ok((status, Json(look(&app, &settings.name).await?)))
}

/// Deletes a queue and its messages
#[utoipa::path(
    delete, path = "/v1/queues/{queue}", tag = "queues", operation_id = "delete_queue",
    params(QueuePath),
    responses((status = 204, description = "It is gone for good."), QueueRefusals, FullRefusals)
)]
pub(crate) async fn delete(State(app): State<App>, InQueue(queue): InQueue) -> Result<StatusCode, Refused> {
    app.parts.admin.delete(&queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops handing out messages of a queue
///
/// It goes on taking them, what is held may be settled, and receivers wait as if it were empty. Survives a restart.
#[utoipa::path(
    post, path = "/v1/queues/{queue}/pause", tag = "queues", operation_id = "pause_queue",
    params(QueuePath),
    responses((status = 204, description = "It is paused, durably."), QueueRefusals, FullRefusals)
)]
pub(crate) async fn pause(State(app): State<App>, InQueue(queue): InQueue) -> Result<StatusCode, Refused> {
    app.parts.admin.pause(&queue, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hands out messages of a paused queue again
#[utoipa::path(
    post, path = "/v1/queues/{queue}/resume", tag = "queues", operation_id = "resume_queue",
    params(QueuePath),
    responses((status = 204, description = "It is paused no more, durably."), QueueRefusals, FullRefusals)
)]
pub(crate) async fn resume(State(app): State<App>, InQueue(queue): InQueue) -> Result<StatusCode, Refused> {
    app.parts.admin.pause(&queue, false).await?;
    Ok(StatusCode::NO_CONTENT)
}
