//! A request's body as JSON; what is wrong is named by its field and its place, and never repeated.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use forebay_core::limits;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::body::{self, Held};
use crate::errors::{Answer, Refused};
use crate::router::App;

/// What a refusal repeats of the field's name and of the reason: an unknown field is named by the client, at any length.
const REASON_BYTES_MAX: usize = 512;

/// A JSON body that must be there. What it is read into is small and does not count against the bodies' budget.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A JSON body that may be left out, and is then the default.
pub(crate) struct MaybeJson<T>(pub(crate) T);

/// The bytes of a JSON body; its content type must say so unless there are none.
pub(crate) struct JsonBytes(pub(crate) Held);

impl FromRequest<App> for JsonBytes {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let (head, body) = request.into_parts();
        let held = body::read(app, &head.headers, body, limits::http::BODY_BYTES_MAX).await?;
        if !held.bytes().is_empty() && !is_json(&head.headers) {
            return Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "read request body: send it with the header content-type: application/json",
            ));
        }
        Ok(Self(held))
    }
}

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let JsonBytes(held) = JsonBytes::from_request(request, app).await?;
        let (Object(value), _) = held.read(parse).await?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned + Default + Send + 'static> FromRequest<App> for MaybeJson<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Answer<Self> {
        let JsonBytes(held) = JsonBytes::from_request(request, app).await?;
        if held.bytes().is_empty() {
            return Ok(Self(T::default()));
        }
        let (value, _) = held.read(parse::<Option<Object<T>>>).await?;
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
    // Keeping track of the field takes time, so it is done only once something is known to be wrong.
    serde_json::from_slice(bytes).or_else(|_| parse_tracking(bytes))
}

fn parse_tracking<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refused(&path, error.inner())
    })?;
    json.end().map_err(|error| refused(".", &error))?;
    Ok(value)
}

fn refused(path: &str, error: &serde_json::Error) -> Refused {
    let (reason, place) = reason_and_place(error);
    let field = if path == "." { String::new() } else { format!("{}: ", cut(path)) };
    Refused::bad_request(format!("read request body: {field}{reason}{place}"))
}

/// What is wrong, without the value that is, and where: ` at line 1 column 2`.
pub(crate) fn reason_and_place(error: &serde_json::Error) -> (String, String) {
    let full = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let reason = without_value(full.strip_suffix(&place).unwrap_or(&full));
    (cut(reason).to_owned(), place)
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default()
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
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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
    fn a_refusal_is_short_however_long_the_name_it_repeats() {
        let refused = refusal(&format!(r#"{{"{}":1}}"#, "é".repeat(100_000)));
        assert!(refused.contains("unknown field `éé"), "{}", refused.len());
        assert!(refused.len() < 3 * REASON_BYTES_MAX, "{}", refused.len());
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
    fn a_body_that_is_right_is_read_once() {
        static READ: AtomicUsize = AtomicUsize::new(0);

        #[derive(Debug)]
        struct Counted;

        impl<'de> Deserialize<'de> for Counted {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                READ.fetch_add(1, Relaxed);
                u64::deserialize(deserializer).map(|_| Self)
            }
        }

        assert!(parse::<Vec<Counted>>(b"[1, 2]").is_ok());
        assert_eq!(READ.load(Relaxed), 2);
        assert!(parse::<Vec<Counted>>(b"[1, true]").unwrap_err().body.error.contains("[1]: "));
        assert_eq!(READ.load(Relaxed), 6, "and one that is wrong a second time, for its field");
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
