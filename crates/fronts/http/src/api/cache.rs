//! Values at hand: raw bytes under a key, with their version as entity tag.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{StatusCode, request};
use axum::response::{IntoResponse, Response};
use forebay_core::entry;
use forebay_core::entry::{Condition, Delete, Deleted, Mode, Read, Version, View, Write, Written};
use forebay_core::limits;
use serde::Deserialize;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

use super::path::{Asked, Key, KeyPath};
use crate::body;
use crate::errors::{Answer, ErrorBody, Refused};
use crate::number::{self, Whole};
use crate::router::App;

type TtlMs = Whole<1, { limits::TTL_MAX.as_secs() * 1_000 }>;

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
/// `Cache-Control` is always `no-cache`: whoever keeps a copy asks again before using it, which costs a 304 and no
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
        (status = 503, description = "The disk failed under a pinned key; it may have changed or not.", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds to wait."))),
    )
)]
pub(crate) async fn get(State(app): State<App>, Key(key): Key, headers: HeaderMap) -> Answer<Response> {
    let mut found = None;
    app.parts.store.read(key.as_bytes(), Read::at(app.parts.clock.now()), &mut |view: View<'_>| {
        if view.state == entry::State::Fresh {
            let unchanged = has_tag(&headers, view.version);
            found = Some((view.version, (!unchanged).then(|| view.value.to_vec())));
        }
    });
    app.may_tell(&key).await?;
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
    /// Its life in milliseconds; without it the value does not expire.
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
        (status = 503, description = "The disk failed under a pinned key; it may have changed or not.", body = ErrorBody,
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
    let (mode, condition) = precondition(&headers)?;
    let store = &app.parts.store;
    let value = match body::read(&app, &headers, body, app.value_bytes_max).await {
        Ok(value) => value,
        Err(refused) => {
            if refused.status == StatusCode::PAYLOAD_TOO_LARGE {
                let fits = refuse_too_large(&app, &key, mode, condition);
                app.may_tell(&key).await?;
                fits?;
            }
            return Err(refused);
        }
    };
    let now = app.parts.clock.now();
    let expires_at = query.ttl_ms.map(|Whole(ms)| now + Duration::from_millis(ms));
    let write = Write { mode, condition, expires_at, ..Write::at(now) };
    let written = store.write(key.as_bytes(), value.bytes(), write);
    app.may_tell(&key).await?;
    match written {
        Written::Stored(version) => {
            Ok((StatusCode::NO_CONTENT, [(header::ETAG, tag(version))]).into_response())
        }
        Written::NotStored | Written::Exists | Written::NotFound => Err(condition_failed(&key)),
        Written::NoRoom => Err(Refused::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!("write key {key}: there is no room for the value now"),
        )),
        Written::TooLarge => {
            let fits = refuse_too_large(&app, &key, mode, condition);
            app.may_tell(&key).await?;
            fits?;
            Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("write key {key}: the value is larger than the cache takes"),
            ))
        }
    }
}

fn condition_failed(key: &str) -> Refused {
    Refused::new(StatusCode::PRECONDITION_FAILED, format!("write key {key}: the condition does not hold"))
}

/// What a value that is too large leaves behind. Without a condition it would have replaced the older value, which must
/// then not be seen any more. With one nothing changes, and a condition that fails is what the client is told.
fn refuse_too_large(app: &App, key: &str, mode: Mode, condition: Condition) -> Answer<()> {
    let (store, now) = (&app.parts.store, app.parts.clock.now());
    if (mode, condition) == (Mode::Set, Condition::None) {
        store.delete(key.as_bytes(), Delete::at(now));
        return Ok(());
    }
    let mut present = None;
    let look = Read { counts: false, ..Read::at(now) };
    store.read(key.as_bytes(), look, &mut |view: View<'_>| present = Some(view.version));
    let fits = match mode {
        Mode::Add => present.is_none(),
        Mode::Replace => present.is_some(),
        Mode::Set | Mode::Append | Mode::Prepend => true,
    };
    let holds = match condition {
        Condition::Version(version) => present == Some(version),
        Condition::None | Condition::Lease(_) => true,
    };
    if fits && holds { Ok(()) } else { Err(condition_failed(key)) }
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
        (status = 503, description = "The disk failed under a pinned key; it may have changed or not.", body = ErrorBody,
            headers(("retry-after" = u64, description = "Seconds to wait."))),
    )
)]
pub(crate) async fn delete(State(app): State<App>, Key(key): Key, headers: HeaderMap) -> Answer<StatusCode> {
    let version = match if_match(&headers)? {
        Some(Match::Version(version)) => Some(version),
        Some(Match::Any) | None => None,
    };
    let delete = Delete { version, ..Delete::at(app.parts.clock.now()) };
    let deleted = app.parts.store.delete(key.as_bytes(), delete);
    app.may_tell(&key).await?;
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

fn tag(version: Version) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", version.0)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the client has this version already. It may list several tags and mark them as weak.
fn has_tag(headers: &HeaderMap, version: Version) -> bool {
    let expected = tag(version);
    headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|list| {
        list.split(',')
            .map(str::trim)
            .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == expected.as_bytes())
    })
}

enum Match {
    Any,
    Version(Version),
}

/// The one value of a header, trimmed.
fn single(headers: &HeaderMap, name: HeaderName) -> Answer<Option<&str>> {
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value.trim())),
        _ => Err(Refused::bad_request(format!("read header {name}: expected one entity tag or *"))),
    }
}

fn if_match(headers: &HeaderMap) -> Answer<Option<Match>> {
    match single(headers, header::IF_MATCH)? {
        None => Ok(None),
        Some("*") => Ok(Some(Match::Any)),
        Some(quoted) => {
            let digits = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|digits| digits.parse().ok()) {
                Some(version) => Ok(Some(Match::Version(Version(version)))),
                None => Err(Refused::bad_request("read header if-match: expected one entity tag or *")),
            }
        }
    }
}

fn precondition(headers: &HeaderMap) -> Answer<(Mode, Condition)> {
    match (if_match(headers)?, single(headers, header::IF_NONE_MATCH)?) {
        (None, None) => Ok((Mode::Set, Condition::None)),
        (Some(Match::Any), None) => Ok((Mode::Replace, Condition::None)),
        (Some(Match::Version(version)), None) => Ok((Mode::Set, Condition::Version(version))),
        (None, Some("*")) => Ok((Mode::Add, Condition::None)),
        (None, Some(_)) => Err(Refused::bad_request("read header if-none-match: expected *")),
        (Some(_), Some(_)) => {
            Err(Refused::bad_request("read headers: if-match and if-none-match exclude each other"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_copy_is_good_under_any_of_its_tags() {
        for good in ["\"7\"", "W/\"7\"", "*", "\"1\", W/\"7\" ,\"x\""] {
            assert!(has_tag(&headers(&[(header::IF_NONE_MATCH, good)]), Version(7)), "{good}");
        }
        for bad in ["\"77\"", "7", "", "\"1\",\"2\""] {
            assert!(!has_tag(&headers(&[(header::IF_NONE_MATCH, bad)]), Version(7)), "{bad}");
        }
        assert!(has_tag(
            &headers(&[(header::IF_NONE_MATCH, "\"1\""), (header::IF_NONE_MATCH, "\"7\"")]),
            Version(7)
        ));
    }

    #[test]
    fn a_condition_that_is_not_understood_is_refused_and_never_ignored() {
        for bad in [
            &[(header::IF_MATCH, "7")][..],
            &[(header::IF_MATCH, "\"a\"")],
            &[(header::IF_MATCH, "W/\"7\"")],
            &[(header::IF_MATCH, "\"1\", \"2\"")],
            &[(header::IF_MATCH, "\"1\""), (header::IF_MATCH, "\"2\"")],
            &[(header::IF_MATCH, "\"99999999999999999999\"")],
            &[(header::IF_MATCH, "\"\"")],
            &[(header::IF_MATCH, "")],
            &[(header::IF_NONE_MATCH, "")],
            &[(header::IF_NONE_MATCH, "\"7\"")],
            &[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")],
        ] {
            assert!(precondition(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn conditions_become_modes() {
        let of = |pairs: &[(HeaderName, &'static str)]| precondition(&headers(pairs)).unwrap();
        assert_eq!(of(&[]), (Mode::Set, Condition::None));
        assert_eq!(of(&[(header::IF_NONE_MATCH, "*")]), (Mode::Add, Condition::None));
        assert_eq!(of(&[(header::IF_MATCH, "*")]), (Mode::Replace, Condition::None));
        assert_eq!(of(&[(header::IF_MATCH, "\"7\"")]), (Mode::Set, Condition::Version(Version(7))));
    }
}
