//! Looking at everything that a frame holds.

use forebay_wire::amqp::frame::{Decoded, Payload};
use forebay_wire::amqp::properties::Properties;
use forebay_wire::amqp::table::{Array, Table, Value};

use crate::stream::agreed;

/// Looks at everything in the frame that `bytes` begins with, and says whether there was one.
pub(crate) fn walk(bytes: &[u8]) -> bool {
    let Ok(Decoded::Complete { frame, .. }) = agreed(131_072).decode(bytes) else { return false };
    if let Payload::Header(header) = frame.payload
        && let Ok(properties) = Properties::parse(header.properties)
    {
        walk_table(properties.headers.unwrap_or_default());
    }
    true
}

fn walk_table(table: Table<'_>) {
    table.fields().for_each(|(_, value)| walk_value(value));
}

fn walk_array(array: Array<'_>) {
    array.values().for_each(walk_value);
}

fn walk_value(value: Value<'_>) {
    match value {
        Value::Table(table) => walk_table(table),
        Value::Array(array) => walk_array(array),
        _ => {}
    }
}
