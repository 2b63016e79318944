//! Tables and arrays that are written here.

use super::super::octets::{put_long, put_short};
use super::super::text::ShortBytes;
use super::value::{Array, Table, Value};

/// A table that is kept or under construction, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableBuf(Vec<u8>);

impl TableBuf {
    /// No fields yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a field at the end. It does not replace one of the same name.
    pub fn push<'n>(&mut self, name: impl Into<ShortBytes<'n>>, value: Value<'_>) -> &mut Self {
        put_short(&mut self.0, name.into());
        put(&mut self.0, value);
        self
    }

    /// What there is.
    pub fn as_table(&self) -> Table<'_> {
        Table::trusted(&self.0)
    }
}

/// Keeps a table beyond the input it was read from, to the octet.
impl From<Table<'_>> for TableBuf {
    fn from(table: Table<'_>) -> Self {
        Self(table.as_bytes().to_vec())
    }
}

/// An array under construction, already as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArrayBuf(Vec<u8>);

impl ArrayBuf {
    /// No values yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value at the end.
    pub fn push(&mut self, value: Value<'_>) -> &mut Self {
        put(&mut self.0, value);
        self
    }

    /// What there is.
    pub fn as_array(&self) -> Array<'_> {
        Array::trusted(&self.0)
    }
}

fn put(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Bool(value) => number(out, b't', [u8::from(value)]),
        Value::I8(value) => number(out, b'b', value.to_be_bytes()),
        Value::U8(value) => number(out, b'B', value.to_be_bytes()),
        Value::I16(value) => number(out, b's', value.to_be_bytes()),
        Value::U16(value) => number(out, b'u', value.to_be_bytes()),
        Value::I32(value) => number(out, b'I', value.to_be_bytes()),
        Value::U32(value) => number(out, b'i', value.to_be_bytes()),
        Value::I64(value) => number(out, b'l', value.to_be_bytes()),
        Value::F32(value) => number(out, b'f', value.to_be_bytes()),
        Value::F64(value) => number(out, b'd', value.to_be_bytes()),
        Value::Decimal { scale, digits } => {
            number(out, b'D', [scale]);
            out.extend_from_slice(&digits.to_be_bytes());
        }
        Value::Timestamp(value) => number(out, b'T', value.to_be_bytes()),
        Value::Text(bytes) => long(out, b'S', bytes),
        Value::Bytes(bytes) => long(out, b'x', bytes),
        Value::Array(array) => long(out, b'A', array.as_bytes()),
        Value::Table(table) => long(out, b'F', table.as_bytes()),
        Value::Void => out.push(b'V'),
    }
}

fn number<const N: usize>(out: &mut Vec<u8>, letter: u8, octets: [u8; N]) {
    out.push(letter);
    out.extend_from_slice(&octets);
}

fn long(out: &mut Vec<u8>, letter: u8, bytes: &[u8]) {
    out.push(letter);
    put_long(out, bytes);
}
