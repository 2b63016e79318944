//! A message's headers as JSON. Moments become milliseconds and bytes become base64 text: JSON has neither.

use std::collections::BTreeMap;
use std::fmt;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_core::limits;
use forebay_core::message::{Headers, Value};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::errors::{Answer, Refused};
use crate::json::reason_and_place;

/// Counts the values in the headers of one request, so that short JSON does not become many large ones.
#[derive(Default)]
pub(crate) struct HeaderValues {
    read: usize,
}

impl HeaderValues {
    /// Reads one message's headers; `index` is its place in the request, for the refusal. Looks at the length first and
    /// stops at the first value too many.
    pub(crate) fn read(&mut self, json: &RawValue, index: usize) -> Answer<Headers> {
        let too_large = |what: &str, most: usize| {
            let error = format!("read message {index}: {what} at most {most}");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, error))
        };
        let text = json.get();
        if text.len() > limits::http::HEADERS_JSON_BYTES_MAX {
            return too_large("bytes of JSON in its headers:", limits::http::HEADERS_JSON_BYTES_MAX);
        }
        match serde_json::Deserializer::from_str(text).deserialize_map(Fields(self)) {
            Ok(headers) => Ok(headers),
            Err(_) if self.read > limits::http::HEADER_VALUES_MAX => {
                too_large("values in the headers of one request:", limits::http::HEADER_VALUES_MAX)
            }
            Err(error) => {
                // The place is one inside the headers, which would be taken for one in the body.
                let (reason, _) = reason_and_place(&error);
                Err(Refused::bad_request(format!("read message {index}: headers: {reason}")))
            }
        }
    }

    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        self.read += 1;
        if self.read > limits::http::HEADER_VALUES_MAX { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

/// Reads an object.
struct Fields<'a>(&'a mut HeaderValues);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        // Of several values under one name the last one counts, as JSON readers have it.
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            fields.insert(name, map.next_value_seed(Any(&mut *self.0))?);
        }
        Ok(fields.into_iter().collect())
    }
}

/// Reads a value of any kind.
struct Any<'a>(&'a mut HeaderValues);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::UInt(number), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Any(&mut *self.0))? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Fields(self.0).visit_map(map).map(Value::Table)
    }
}

/// Headers for an answer.
pub(crate) fn to_json(headers: &Headers) -> Map<String, Json> {
    headers.iter().map(|(name, value)| (name.to_owned(), value_to_json(value))).collect()
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Time(moment) => moment.as_ms().into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Value::List(items) => items.iter().map(value_to_json).collect(),
        Value::Table(table) => Json::Object(to_json(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::time::Instant;
    use serde_json::json;

    fn read(values: &mut HeaderValues, json: &str) -> Answer<Headers> {
        values.read(&RawValue::from_string(json.to_owned()).unwrap(), 3)
    }

    #[test]
    fn what_json_can_say_comes_back_as_it_went_in() {
        let sent = json!({
            "text": "ä", "int": -3, "big": u64::MAX, "part": 0.5, "flag": true, "nothing": null,
            "list": [1, "two", [3]], "table": { "inner": {} }
        });
        let headers = read(&mut HeaderValues::default(), &sent.to_string()).unwrap();
        assert_eq!(Json::Object(to_json(&headers)), sent);
    }

    #[test]
    fn of_two_values_under_one_name_the_last_is_taken() {
        let headers = read(&mut HeaderValues::default(), r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(Json::Object(to_json(&headers)), json!({ "a": 3, "b": 2 }));
    }

    #[test]
    fn headers_at_their_length_are_read_and_beyond_it_refused() {
        let padded = |bytes: usize| format!(r#"{{{}"a":1}}"#, " ".repeat(bytes - 7));
        let mut values = HeaderValues::default();
        assert!(read(&mut values, &padded(limits::http::HEADERS_JSON_BYTES_MAX)).is_ok());
        let refused = read(&mut values, &padded(limits::http::HEADERS_JSON_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(refused.status, 413);
        assert!(refused.body.error.starts_with("read message 3: bytes of JSON"), "{}", refused.body.error);
    }

    #[test]
    fn the_values_of_all_headers_of_a_request_are_bounded_together() {
        let list = |items: usize| format!(r#"{{"a":[1{}]}}"#, ",1".repeat(items - 1));
        let half = limits::http::HEADER_VALUES_MAX / 2;
        let mut values = HeaderValues::default();
        assert!(read(&mut values, &list(half - 1)).is_ok(), "the list itself is a value as well");
        assert!(read(&mut values, &list(half - 1)).is_ok());
        assert_eq!(read(&mut values, "{}").unwrap(), Headers::new(), "there is none in it");
        let refused = read(&mut values, r#"{"a":1}"#).unwrap_err();
        assert_eq!(refused.status, 413);
        assert!(
            refused.body.error.contains("values in the headers of one request"),
            "{}",
            refused.body.error
        );
    }

    #[test]
    fn headers_that_are_wrong_are_refused_with_the_reason() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(5_000), "1".to_owned() + &"}".repeat(5_000));
        for (wrong, why) in [
            ("[]", "expected an object"),
            (r#""SECRET""#, "expected an object"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":1e999}"#, "number out of range"),
            (deep.as_str(), "recursion limit"),
        ] {
            let refused = read(&mut HeaderValues::default(), wrong).unwrap_err();
            let error = refused.body.error;
            assert_eq!(refused.status, 400, "{error}");
            assert!(error.starts_with("read message 3: headers: ") && error.contains(why), "{error}");
            assert!(!error.contains("SECRET") && !error.contains("line"), "{error}");
        }
    }

    #[test]
    fn what_only_other_protocols_can_say_is_still_shown() {
        let headers = Headers::from_iter([
            ("at".to_owned(), Value::Time(Instant::from_ms(5))),
            ("raw".to_owned(), Value::Bytes(vec![0xff])),
            ("odd".to_owned(), Value::Float(f64::NAN)),
        ]);
        let shown = Json::Object(to_json(&headers));
        assert_eq!(shown, json!({ "at": 5, "raw": "/w==", "odd": null }));
    }
}
