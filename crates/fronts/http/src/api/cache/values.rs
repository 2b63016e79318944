//! Values at hand: raw bytes under a key, with their version as entity tag.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse, Response};
use forebay_core::entry::Deleted;
use forebay_core::limits;
use serde::Deserialize;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::conditions::{Match, Precondition, if_match, precondition, tag};
use super::{local, shared};
use crate::api::path::{Asked, Key, KeyPath};
use crate::body;
use crate::errors::{Answer, ErrorBody, Refused};
use crate::number::{self, Whole};
use crate::parts::Cached;
use crate::router::App;

type TtlMs = Whole<1, { limits::http::TTL_MAX.as_secs() * 1_000 }>;

/// Any bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only described")]
pub(crate) struct RawBytes(Vec<u8>);

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described; it is read by `has_tag`")]
pub(crate) struct IfNoneMatch {
    /// Entity tags that the client has: answers 304 if one is still good.
    #[param(rename = "if-none-match", nullable = false)]
    tags: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described; it is read by `if_match`")]
pub(crate) struct IfMatch {
    /// The entity tag of the version that must be there, or `*` for any.
    #[param(rename = "if-match", nullable = false, pattern = r#"^(\*|"[0-9]{1,19}")$"#)]
    tag: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described; it is read by `precondition`")]
pub(crate) struct IfNone {
    /// Only `*`: there must be no value.
    #[param(rename = "if-none-match", nullable = false, pattern = r"^\*$")]
    star: Option<String>,
}

/// Reads a value
///
/// In front of a shared store the value is never more than a second older than there. `Cache-Control` is always `no-cache`: whoever keeps a copy asks again before using it, which costs a 304 and no
/// body, so that an invalidated value is not served from anywhere.
#[utoipa::path(
    get, path = "/v1/cache/{key}", tag = "cache", operation_id = "cache_get",
    params(KeyPath, IfNoneMatch),
    responses(
        (status = 200, description = "The value.", content_type = "application/octet-stream", body = RawBytes,
            headers(("etag" = String, description = "Its version."), ("cache-control" = String))),
        (status = 304, description = "The client's copy is still good.", headers(("etag" = String, description = "Its version."))),
        (status = 400, description = "The key is not one.", body = ErrorBody),
        (status = 404, description = "There is no value under this key.", body = ErrorBody),
        (status = 503, description = "The disk failed under a pinned key, or the shared store is away; it may have changed or not.", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds to wait."))),
    )
)]
pub(crate) async fn get(State(app): State<App>, Key(key): Key, headers: HeaderMap) -> Answer<Response> {
    let found = match &app.parts.cache {
        Cached::Local(store) => local::get(&app, &**store, &key, &headers).await?,
        Cached::Shared { store, .. } => shared::get(&**store, &key, &headers).await?,
    };
    let Some((version, value)) = found else {
        return Err(Refused::new(StatusCode::NOT_FOUND, format!("read key {key}: there is no value")));
    };
    let tags = [(header::ETAG, tag(version)), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    Ok(match value {
        Some(value) => {
            let kind = HeaderValue::from_static("application/octet-stream");
            let sniff = HeaderValue::from_static("nosniff");
            let about = [(header::CONTENT_TYPE, kind), (header::X_CONTENT_TYPE_OPTIONS, sniff)];
            (tags, about, value).into_response()
        }
        None => (StatusCode::NOT_MODIFIED, tags).into_response(),
    })
}

/// How a value is kept.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PutQuery {
    /// Its life in milliseconds, which a shared store rounds up to the second; without it the value does not expire.
    #[serde(default, deserialize_with = "number::in_query")]
    #[param(inline)]
    ttl_ms: Option<TtlMs>,
}

/// Writes a value
///
/// A pinned key is durable when this answers, and never makes way for others: where there is no room for it, the answer is 429.
/// With `If-None-Match: *` only where there is none; with `If-Match` only over that version, or over any with `*`.
/// A value that is refused for its size leaves no older one behind.
#[utoipa::path(
    put, path = "/v1/cache/{key}", tag = "cache", operation_id = "cache_put",
    params(KeyPath, PutQuery, IfMatch, IfNone),
    request_body(content = RawBytes, content_type = "application/octet-stream", description = "The value: any bytes, any content type."),
    responses(
        (status = 204, description = "It is there.", headers(("etag" = String, description = "Its version."))),
        (status = 400, description = "The request is wrong; the text says what.", body = ErrorBody),
        (status = 408, description = "The value took too long to arrive.", body = ErrorBody),
        (status = 412, description = "The condition does not hold; nothing was changed.", body = ErrorBody),
        (status = 413, description = "The value is too large.", body = ErrorBody),
        (status = 429, description = "Too many bodies are arriving at once.", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds to wait."))),
        (status = 503, description = "The disk failed under a pinned key, or the shared store is away; it may have changed or not.", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds to wait."))),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    Key(key): Key,
    Asked(query): Asked<PutQuery>,
    request: Request<Body>,
) -> Answer<Response> {
    let (request::Parts { headers, .. }, body) = request.into_parts();
    let condition = precondition(&headers)?;
    let life = query.ttl_ms.map(|Whole(ms)| Duration::from_millis(ms));
    let cache = &app.parts.cache;
    let value = match body::read(&app, &headers, body, app.value_bytes_max).await {
        Ok(value) => value,
        Err(refused) if refused.status == StatusCode::PAYLOAD_TOO_LARGE => {
            match cache {
                Cached::Local(store) => local::refuse_too_large(&app, &**store, &key, condition).await?,
                Cached::Shared { store, .. } => shared::refuse_too_large(&**store, &key, condition).await?,
            }
            return Err(refused);
        }
        Err(refused) => return Err(refused),
    };
    let version = match cache {
        Cached::Local(store) => {
            local::put(&app, &**store, &key, value.bytes(), Terms { life, condition }).await?
        }
        Cached::Shared { store, .. } => {
            shared::put(&**store, &key, value.bytes(), Terms { life, condition }).await?
        }
    };
    Ok((StatusCode::NO_CONTENT, [(header::ETAG, tag(version))]).into_response())
}

/// How a value is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) life: Option<Duration>,
    pub(super) condition: Precondition,
}

pub(super) fn condition_failed(key: &str) -> Refused {
    Refused::new(StatusCode::PRECONDITION_FAILED, format!("write key {key}: the condition does not hold"))
}

pub(super) fn too_large(key: &str) -> Refused {
    Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("write key {key}: the value is larger than the cache takes"),
    )
}

/// Deletes a value
#[utoipa::path(
    delete, path = "/v1/cache/{key}", tag = "cache", operation_id = "cache_delete",
    params(KeyPath, IfMatch),
    responses(
        (status = 204, description = "It is gone."),
        (status = 400, description = "The request is wrong; the text says what.", body = ErrorBody),
        (status = 404, description = "There was no value under this key.", body = ErrorBody),
        (status = 412, description = "Another version is there; nothing was changed.", body = ErrorBody),
        (status = 503, description = "The disk failed under a pinned key, or the shared store is away; it may have changed or not.", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds to wait."))),
    )
)]
pub(crate) async fn delete(State(app): State<App>, Key(key): Key, headers: HeaderMap) -> Answer<StatusCode> {
    let version = match if_match(&headers)? {
        Some(Match::Version(version)) => Some(version),
        Some(Match::Any) | None => None,
    };
    let deleted = match &app.parts.cache {
        Cached::Local(store) => local::delete(&app, &**store, &key, version).await?,
        Cached::Shared { store, .. } => shared::delete(&**store, &key, version).await?,
    };
    match deleted {
        Deleted::Done => Ok(StatusCode::NO_CONTENT),
        Deleted::NotFound => {
            Err(Refused::new(StatusCode::NOT_FOUND, format!("delete key {key}: there is no value")))
        }
        Deleted::Exists => Err(Refused::new(
            StatusCode::PRECONDITION_FAILED,
            format!("delete key {key}: another version is there"),
        )),
    }
}
