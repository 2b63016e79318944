//! A message's headers as JSON. Moments become milliseconds and bytes become base64 text: JSON has neither.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_core::message::{Headers, Value};
use serde_json::{Map, Value as Json};

/// Headers from a request.
pub(crate) fn from_json(fields: Map<String, Json>) -> Headers {
    fields.into_iter().map(|(name, value)| (name, value_from_json(value))).collect()
}

fn value_from_json(value: Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => {
            if let Some(number) = number.as_i64() {
                Value::Int(number)
            } else if let Some(number) = number.as_u64() {
                Value::UInt(number)
            } else {
                Value::Float(number.as_f64().unwrap_or_default())
            }
        }
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::List(items.into_iter().map(value_from_json).collect()),
        Json::Object(fields) => Value::Table(from_json(fields)),
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

    #[test]
    fn what_json_can_say_comes_back_as_it_went_in() {
        let Json::Object(fields) = json!({
            "text": "ä", "int": -3, "big": u64::MAX, "part": 0.5, "flag": true, "nothing": null,
            "list": [1, "two", [3]], "table": { "inner": {} }
        }) else {
            unreachable!()
        };
        assert_eq!(to_json(&from_json(fields.clone())), fields);
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
