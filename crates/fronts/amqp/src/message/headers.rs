//! Field tables as the broker's headers, and back.
//!
//! The way in loses what the model does not tell apart: the width of numbers, and that a decimal was one. Whoever needs
//! the table itself keeps its octets.

use forebay_core::message::{Headers, Value};
use forebay_core::time::Instant;
use forebay_wire::amqp::table::{ArrayBuf, Table, TableBuf, Value as Field};
use forebay_wire::amqp::text::ShortBytes;

/// The table as headers.
pub(crate) fn read(table: Table<'_>) -> Headers {
    table.fields().map(|(name, value)| (text(&name), read_value(value))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was checked to lie at most so deep when it came, so that this ends.
fn read_value(value: Field<'_>) -> Value {
    match value {
        Field::Bool(value) => Value::Bool(value),
        Field::I8(number) => Value::Int(number.into()),
        Field::I16(number) => Value::Int(number.into()),
        Field::I32(number) => Value::Int(number.into()),
        Field::I64(number) => Value::Int(number),
        Field::U8(number) => Value::UInt(number.into()),
        Field::U16(number) => Value::UInt(number.into()),
        Field::U32(number) => Value::UInt(number.into()),
        Field::F32(number) => Value::Float(number.into()),
        Field::F64(number) => Value::Float(number),
        Field::Decimal { scale, digits } => Value::Float(f64::from(digits) / 10_f64.powi(scale.into())),
        Field::Timestamp(seconds) => Value::Time(Instant::from_ms(seconds.saturating_mul(1000))),
        Field::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
        Field::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        Field::Array(array) => Value::List(array.values().map(read_value).collect()),
        Field::Table(table) => Value::Table(read(table)),
        Field::Void => Value::Null,
    }
}

/// Headers as a table. A name that is too long for one is cut.
pub(crate) fn write(headers: &Headers) -> TableBuf {
    let mut table = TableBuf::new();
    for (name, value) in headers.iter() {
        let name = name.as_bytes();
        let name = ShortBytes::new(name).or_else(|| ShortBytes::new(name.get(..255)?)).unwrap_or_default();
        with_field(value, &mut |field| {
            table.push(name, field);
        });
    }
    table
}

fn with_field(value: &Value, take: &mut dyn FnMut(Field<'_>)) {
    match value {
        Value::Null => take(Field::Void),
        Value::Bool(value) => take(Field::Bool(*value)),
        Value::Int(number) => take(Field::I64(*number)),
        Value::UInt(number) => take(i64::try_from(*number).map_or(Field::F64(*number as f64), Field::I64)),
        Value::Float(number) => take(Field::F64(*number)),
        Value::Time(time) => take(Field::Timestamp(time.as_ms() / 1000)),
        Value::Text(text) => take(Field::Text(text.as_bytes())),
        Value::Bytes(bytes) => take(Field::Bytes(bytes)),
        Value::List(values) => {
            let mut array = ArrayBuf::new();
            let mut push = |field: Field<'_>| {
                array.push(field);
            };
            values.iter().for_each(|value| with_field(value, &mut push));
            take(Field::Array(array.as_array()));
        }
        Value::Table(headers) => take(Field::Table(write(headers).as_table())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_went() {
        let inner: Headers = [("t".to_owned(), Value::Text("x".into()))].into_iter().collect();
        let all = [
            ("null", Value::Null),
            ("bool", Value::Bool(true)),
            ("int", Value::Int(-7)),
            ("float", Value::Float(0.5)),
            ("time", Value::Time(Instant::from_ms(3000))),
            ("text", Value::Text("text".into())),
            ("bytes", Value::Bytes(vec![0, 255])),
            ("list", Value::List(vec![Value::Int(1), Value::Null])),
            ("table", Value::Table(inner)),
        ];
        let headers: Headers = all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(read(write(&headers).as_table()), headers);
    }

    #[test]
    fn text_that_is_none_becomes_bytes_and_a_decimal_a_number() {
        let mut table = TableBuf::new();
        let name = ShortBytes::new(b"n").unwrap();
        table.push(name, Field::Text(&[0xff])).push(name, Field::Decimal { scale: 2, digits: 125 });
        let headers = read(table.as_table());
        let values: Vec<_> = headers.iter().map(|(_, value)| value.clone()).collect();
        assert_eq!(values, [Value::Bytes(vec![0xff]), Value::Float(1.25)]);
    }
}
