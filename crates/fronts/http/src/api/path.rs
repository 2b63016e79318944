//! Names in a request's path and its query, decoded and checked.

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use forebay_core::delivery::DeliveryId;
use forebay_core::limits;
use forebay_core::message::MessageId;
use forebay_core::queue::QueueName;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::errors::{Answer, Refused};
use crate::json::without_value;
use crate::number::{QueueText, Text};
use crate::router::App;

/// How the document describes a queue's name.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described; it is read by `InQueue`")]
pub(crate) struct QueuePath {
    /// The queue.
    #[param(inline)]
    queue: QueueText,
}

/// How the document describes a delivery's name.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described; it is read by `OfDelivery`")]
pub(crate) struct DeliveryPath {
    /// The delivery, as `receive` named it.
    #[param(pattern = "^[0-9a-f]{1,16}-[0-9a-f]{8}$")]
    delivery: String,
}

/// How the document describes a message's id.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described; it is read by `OfMessage`")]
pub(crate) struct MessagePath {
    /// The message's id.
    #[param(inline)]
    message: IdText,
}

type IdText = Text<{ limits::MESSAGE_TEXT_BYTES_MAX }>;

type KeyText = Text<{ limits::KEY_BYTES_MAX }>;

/// How the document describes a cache key.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described; it is read by `Key`")]
pub(crate) struct KeyPath {
    /// The key.
    #[param(inline)]
    key: KeyText,
}

/// The queue that the path names.
pub(crate) struct InQueue(pub(crate) QueueName);

/// The delivery that the path names.
pub(crate) struct OfDelivery(pub(crate) DeliveryId);

/// The message that the path names.
pub(crate) struct OfMessage(pub(crate) MessageId);

/// The cache key that the path names.
pub(crate) struct Key(pub(crate) String);

/// The query string; a parameter that is not known is refused.
pub(crate) struct Asked<T>(pub(crate) T);

async fn parameter(parts: &mut Parts, app: &App, name: &str) -> Answer<String> {
    let parameters = RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|_| Refused::bad_request("read path: percent-encoded names must be UTF-8"))?;
    let found = parameters.iter().find(|(present, _)| *present == name);
    Ok(found.map(|(_, value)| value.to_owned()).unwrap_or_default())
}

impl FromRequestParts<App> for InQueue {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        Ok(Self(QueueName::new(&parameter(parts, app, "queue").await?)?))
    }
}

impl FromRequestParts<App> for OfDelivery {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        Ok(Self(parameter(parts, app, "delivery").await?.parse()?))
    }
}

impl FromRequestParts<App> for OfMessage {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        Ok(Self(MessageId::given(&parameter(parts, app, "message").await?)?))
    }
}

impl FromRequestParts<App> for Key {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        let key = parameter(parts, app, "key").await?;
        if key.is_empty() || key.len() > limits::KEY_BYTES_MAX || key.chars().any(char::is_control) {
            let range = limits::KEY_BYTES_MAX;
            return Err(Refused::bad_request(format!(
                "read key: a key has 1 to {range} bytes and no control characters"
            )));
        }
        Ok(Self(key))
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Answer<Self> {
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let (_, reason) = text.split_once(": ").unwrap_or_default();
            let (field, reason) = reason.split_once(": ").unwrap_or(("", reason));
            let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
            Refused::bad_request(format!("read query: {field}{}", without_value(reason)))
        })?;
        Ok(Self(query))
    }
}
