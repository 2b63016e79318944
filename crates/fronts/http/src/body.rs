//! Reading a request's body: bounded in size, in time and over all connections, and then as JSON.

use std::fmt;
use std::marker::PhantomData;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use forebay_core::limits;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use tokio::sync::SemaphorePermit;

use crate::errors::{Answer, Refused};
use crate::router::App;

/// Bytes of one unit of the budget that all bodies share.
pub(crate) const UNIT: usize = 1024;

/// Reads the whole body, of at most `bytes_max` bytes.
pub(crate) async fn read(app: &App, headers: &HeaderMap, body: Body, bytes_max: usize) -> Answer<Bytes> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let deadline = app.parts.clock.now() + limits::HTTP_BODY_WAIT_MAX;
    tokio::select! {
        bytes = collect(app, body, bytes_max) => bytes,
        () = app.parts.clock.sleep_until(deadline) => {
            Err(Refused::for_now(StatusCode::REQUEST_TIMEOUT, "read request body: it took too long to arrive"))
        }
    }
}

/// Gathers the body piece by piece, paying for each from the shared budget. The budget is for bodies on their way in;
/// what a handler makes of them is bounded by the room it goes to.
async fn collect(app: &App, mut body: Body, bytes_max: usize) -> Answer<Bytes> {
    let mut whole = Vec::new();
    let mut paid: Option<SemaphorePermit<'_>> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refused::bad_request("read request body: the connection broke off"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if whole.len() + piece.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        whole.extend_from_slice(&piece);
        let owed = whole.len().div_ceil(UNIT) - paid.as_ref().map_or(0, SemaphorePermit::num_permits);
        let permit =
            app.body_bytes.try_acquire_many(u32::try_from(owed).unwrap_or(u32::MAX)).map_err(|_| {
                Refused::for_now(StatusCode::TOO_MANY_REQUESTS, "read request body: too many at once")
            })?;
        match &mut paid {
            Some(paid) => paid.merge(permit),
            None => paid = Some(permit),
        }
    }
    Ok(whole.into())
}

fn too_large(bytes_max: usize) -> Refused {
    Refused::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("read request body: it is larger than {bytes_max} bytes"),
    )
}

/// A JSON body that must be there.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A JSON body that may be left out, and is then the default.
pub(crate) struct MaybeJson<T>(pub(crate) T);

/// The bytes of a JSON body; its content type must say so unless there are none.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl FromRequest<App> for JsonBytes {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (head, body) = request.into_parts();
        let bytes = read(app, &head.headers, body, limits::HTTP_BODY_BYTES_MAX).await?;
        if !bytes.is_empty() && !is_json(&head.headers) {
            return Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "read request body: send it with the header content-type: application/json",
            ));
        }
        Ok(Self(bytes))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, app).await?;
        let Object(value) = parse(&bytes)?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for MaybeJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, app).await?;
        let value: Option<Object<T>> = if bytes.is_empty() { None } else { parse(&bytes)? };
        Ok(Self(value.map(|Object(value)| value).unwrap_or_default()))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// A JSON object. Without it serde would take a list of the fields' values as well.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Reads JSON; a refusal names the field that is wrong and what it should be, and repeats no value.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refused(&path, error.inner())
    })?;
    json.end().map_err(|error| refused(".", &error))?;
    Ok(value)
}

fn refused(path: &str, error: &serde_json::Error) -> Refused {
    let full = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = without_value(full.strip_suffix(&place).unwrap_or(&full));
    let field = if path == "." { String::new() } else { format!("{path}: ") };
    Refused::bad_request(format!("read request body: {field}{reason}{place}"))
}

/// serde says `invalid value: string "...", expected ...`; the middle repeats what was sent, and is left out.
pub(crate) fn without_value(reason: &str) -> &str {
    match (reason.find("invalid "), reason.rfind(", expected ")) {
        (Some(0), Some(at)) => reason.get(at + 2..).unwrap_or(reason),
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Whole;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Sample {
        count_max: Option<Whole<1, 10>>,
        note: Option<String>,
    }

    fn refusal(json: &str) -> String {
        parse::<Object<Sample>>(json.as_bytes()).unwrap_err().body.error
    }

    #[test]
    fn a_list_of_values_is_not_an_object() {
        assert!(refusal("[1, null]").contains("expected an object"));
        assert!(parse::<Object<Sample>>(b"{\"count_max\": 1}").is_ok());
    }

    #[test]
    fn a_number_out_of_range_is_refused_by_field_and_range() {
        assert_eq!(
            refusal(r#"{"count_max":11}"#),
            "read request body: count_max: expected a whole number from 1 to 10 at line 1 column 15"
        );
    }

    #[test]
    fn a_refusal_does_not_repeat_what_was_sent() {
        let refused = refusal(r#"{"count_max":"secret, expected nothing"}"#);
        assert!(!refused.contains("secret"), "{refused}");
        assert!(refused.contains("count_max: expected a whole number"), "{refused}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        assert!(refusal(r#"{"count":1}"#).contains("unknown field `count`"));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for bad in ["", "{", "{}}", "[", "{\"note\":}", "\u{0}", "{\"note\":\"\\ud800\"}"] {
            assert!(parse::<Sample>(bad.as_bytes()).unwrap_err().body.error.contains("at line"), "{bad:?}");
        }
        assert!(parse::<Sample>(b"{\"note\":\"\xff\"}").is_err());
        assert!(parse::<Sample>("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn json_is_told_by_its_media_type() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(with("application/json"));
        assert!(with("Application/JSON; charset=utf-8"));
        assert!(!with("text/plain"));
        assert!(!with("application/jsonp"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
