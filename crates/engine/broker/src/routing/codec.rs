//! The primitives of the layout of changes: numbers little-endian, texts behind a length of one byte, tables and values as
//! the log's messages have them. Reading is total: what is not there is `None`.
//!
//! A *table* is a count `u32` of: name behind its length `u16`, *value*. A *value* is a tag `u8` and: 0 null; 1 false;
//! 2 true; 3 signed `i64`; 4 unsigned `u64`; 5 float `f64`; 6 `u64` milliseconds since the Unix epoch; 7 text and 8 bytes
//! behind their length `u32`; 9 list, a count `u32` of values; 10 a table.

use forebay_core::limits;
use forebay_core::message::{Headers, Value};
use forebay_core::time::Instant;

/// A table as bytes. `None` where it lies deeper than tables may, or a length does not fit.
pub(super) fn table(table: &Headers) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write_table(&mut bytes, table, limits::HEADERS_DEPTH_MAX)?;
    Some(bytes)
}

/// A text of at most 255 bytes behind its length.
pub(super) fn write_text(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    bytes.push(u8::try_from(text.len()).ok()?);
    bytes.extend_from_slice(text.as_bytes());
    Some(())
}

fn write_table(bytes: &mut Vec<u8>, table: &Headers, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    write_length(bytes, table.iter().len())?;
    table.iter().try_for_each(|(name, value)| {
        bytes.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        write_value(bytes, value, depth)
    })
}

fn write_value(bytes: &mut Vec<u8>, value: &Value, depth: usize) -> Option<()> {
    let mut number = |tag: u8, number: [u8; 8]| {
        bytes.push(tag);
        bytes.extend_from_slice(&number);
    };
    match value {
        Value::Null => bytes.push(0),
        Value::Bool(value) => bytes.push(1 + u8::from(*value)),
        Value::Int(value) => number(3, value.to_le_bytes()),
        Value::UInt(value) => number(4, value.to_le_bytes()),
        Value::Float(value) => number(5, value.to_le_bytes()),
        Value::Time(value) => number(6, value.as_ms().to_le_bytes()),
        Value::Text(text) => write_bytes(bytes, 7, text.as_bytes())?,
        Value::Bytes(value) => write_bytes(bytes, 8, value)?,
        Value::List(values) => {
            bytes.push(9);
            let depth = depth.checked_sub(1)?;
            write_length(bytes, values.len())?;
            values.iter().try_for_each(|value| write_value(bytes, value, depth))?;
        }
        Value::Table(table) => {
            bytes.push(10);
            write_table(bytes, table, depth)?;
        }
    }
    Some(())
}

fn write_bytes(bytes: &mut Vec<u8>, tag: u8, value: &[u8]) -> Option<()> {
    bytes.push(tag);
    write_length(bytes, value.len())?;
    bytes.extend_from_slice(value);
    Some(())
}

fn write_length(bytes: &mut Vec<u8>, length: usize) -> Option<()> {
    bytes.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    Some(())
}

/// What is still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.u8()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    pub(super) fn table(&mut self) -> Option<Headers> {
        self.table_within(limits::HEADERS_DEPTH_MAX)
    }

    /// Nothing is allocated for a count before its values are there, and the depth is bounded.
    fn table_within(&mut self, depth: usize) -> Option<Headers> {
        let depth = depth.checked_sub(1)?;
        let count = self.length()?;
        (0..count)
            .map(|_| {
                let length = u16::from_le_bytes(self.array()?);
                let name = std::str::from_utf8(self.take(length.into())?).ok()?;
                Some((name.to_owned(), self.value(depth)?))
            })
            .collect()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        Some(match self.u8()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Int(i64::from_le_bytes(self.array()?)),
            4 => Value::UInt(u64::from_le_bytes(self.array()?)),
            5 => Value::Float(f64::from_le_bytes(self.array()?)),
            6 => Value::Time(Instant::from_ms(u64::from_le_bytes(self.array()?))),
            7 => Value::Text(String::from_utf8(self.bytes()?.to_vec()).ok()?),
            8 => Value::Bytes(self.bytes()?.to_vec()),
            9 => {
                let depth = depth.checked_sub(1)?;
                let count = self.length()?;
                Value::List((0..count).map(|_| self.value(depth)).collect::<Option<_>>()?)
            }
            10 => Value::Table(self.table_within(depth)?),
            _ => return None,
        })
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }
}
