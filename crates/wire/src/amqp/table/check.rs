//! Whether bytes are a table, looked at once when they come: each byte once, without memory, to a bounded depth.

use super::super::fault::Reason;
use super::value::{Value, field, value};

/// How many tables and arrays may be within each other, the outermost counted.
pub const DEPTH_MAX: usize = 32;

/// Checks the bytes of a table that may be `depth` deep.
pub(super) fn table(mut rest: &[u8], depth: usize) -> Result<(), Reason> {
    let within = depth.checked_sub(1).ok_or(Reason::TableDepth)?;
    while !rest.is_empty() {
        let ((_, value), after) = field(rest).ok_or(Reason::Table)?;
        nested(value, within)?;
        rest = after;
    }
    Ok(())
}

fn array(mut rest: &[u8], depth: usize) -> Result<(), Reason> {
    let within = depth.checked_sub(1).ok_or(Reason::TableDepth)?;
    while !rest.is_empty() {
        let (value, after) = value(rest).ok_or(Reason::Table)?;
        nested(value, within)?;
        rest = after;
    }
    Ok(())
}

fn nested(value: Value<'_>, depth: usize) -> Result<(), Reason> {
    match value {
        Value::Table(within) => table(within.as_bytes(), depth),
        Value::Array(within) => array(within.as_bytes(), depth),
        _ => Ok(()),
    }
}
