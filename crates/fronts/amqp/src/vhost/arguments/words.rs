//! Values of field tables in RabbitMQ's words.

use forebay_wire::amqp::table::Value;

pub(super) fn shown(value: Value<'_>) -> String {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Bool(value) => value.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        other => whole(other).map_or_else(|| type_name(other).to_owned(), |number| number.to_string()),
    }
}

pub(super) fn whole(value: Value<'_>) -> Option<i64> {
    match value {
        Value::I8(number) => Some(number.into()),
        Value::U8(number) => Some(number.into()),
        Value::I16(number) => Some(number.into()),
        Value::U16(number) => Some(number.into()),
        Value::I32(number) => Some(number.into()),
        Value::U32(number) => Some(number.into()),
        Value::I64(number) => Some(number),
        _ => None,
    }
}

/// RabbitMQ's name for the type.
pub(super) fn type_name(value: Value<'_>) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::I8(_) => "byte",
        Value::U8(_) => "unsignedbyte",
        Value::I16(_) => "short",
        Value::U16(_) => "unsignedshort",
        Value::I32(_) => "signedint",
        Value::U32(_) => "unsignedint",
        Value::I64(_) => "long",
        Value::F32(_) => "float",
        Value::F64(_) => "double",
        Value::Decimal { .. } => "decimal",
        Value::Timestamp(_) => "timestamp",
        Value::Text(_) => "longstr",
        Value::Bytes(_) => "binary",
        Value::Array(_) => "array",
        Value::Table(_) => "table",
        Value::Void => "void",
    }
}
