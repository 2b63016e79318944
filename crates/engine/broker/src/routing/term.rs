//! Values as RabbitMQ shows them in its explanations: the name of the type, and the value as an Erlang term.

use std::fmt::Write;

use forebay_core::message::{Headers, Value};

/// RabbitMQ's name for the type. The width of a number is no part of a [`Value`]: the one that clients choose by default
/// stands for all.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "void",
        Value::Bool(_) => "bool",
        Value::Int(number) if i32::try_from(*number).is_ok() => "signedint",
        Value::Int(_) => "long",
        Value::UInt(number) if u32::try_from(*number).is_ok() => "unsignedint",
        Value::UInt(_) => "long",
        Value::Float(_) => "double",
        Value::Time(_) => "timestamp",
        Value::Text(_) => "longstr",
        Value::Bytes(_) => "binary",
        Value::List(_) => "array",
        Value::Table(_) => "table",
    }
}

/// The value as an Erlang term.
pub(super) fn term(value: &Value) -> String {
    match value {
        Value::Null => "undefined".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Time(time) => (time.as_ms() / 1000).to_string(),
        Value::Text(text) => binary(text.as_bytes()),
        Value::Bytes(bytes) => binary(bytes),
        Value::List(values) => {
            let tagged: Vec<_> =
                values.iter().map(|value| format!("{{{},{}}}", type_name(value), term(value))).collect();
            format!("[{}]", tagged.join(","))
        }
        Value::Table(table) => self::table(table),
    }
}

/// Erlang writes a point in every float.
fn float(number: f64) -> String {
    let text = format!("{number:?}");
    if text.contains('.') { text } else { text.replace('e', ".0e") }
}

fn table(table: &Headers) -> String {
    let tagged: Vec<_> = table
        .iter()
        .map(|(name, value)| format!("{{{},{},{}}}", binary(name.as_bytes()), type_name(value), term(value)))
        .collect();
    format!("[{}]", tagged.join(","))
}

/// Text where every byte can be shown, else numbers.
fn binary(bytes: &[u8]) -> String {
    let shown = |byte: &u8| matches!(byte, 8..=13 | 27 | 32..=126 | 160..);
    match std::str::from_utf8(bytes) {
        _ if bytes.is_empty() => "<<>>".to_owned(),
        Ok(text) if bytes.iter().all(shown) => {
            let mut out = String::from("<<\"");
            for character in text.chars() {
                match character {
                    '\u{8}' => out.push_str("\\b"),
                    '\t' => out.push_str("\\t"),
                    '\n' => out.push_str("\\n"),
                    '\u{b}' => out.push_str("\\v"),
                    '\u{c}' => out.push_str("\\f"),
                    '\r' => out.push_str("\\r"),
                    '\u{1b}' => out.push_str("\\e"),
                    '"' | '\\' => out.extend(['\\', character]),
                    _ => out.push(character),
                }
            }
            out.push_str("\">>");
            out
        }
        _ => {
            let mut out = String::from("<<");
            for (place, byte) in bytes.iter().enumerate() {
                // Writing to a string does not fail.
                let _ = write!(out, "{}{byte}", if place == 0 { "" } else { "," });
            }
            out.push_str(">>");
            out
        }
    }
}
