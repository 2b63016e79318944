//! A table as it is read: names and values one after another out of the bytes.

use super::super::fault::Reason;
use super::super::text::ShortBytes;
use super::check;

/// Names with values, in the order they came; the same name may come twice. Known to be well formed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Table<'a>(&'a [u8]);

/// Values in their order. Known to be well formed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Array<'a>(&'a [u8]);

/// One value, by the letters RabbitMQ gives the types; other definitions of 0-9-1 give some of them otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `t`. Any octet but zero is true.
    Bool(bool),
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`, and `L` when read.
    I64(i64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`.
    Decimal {
        /// How many of the digits are behind the point.
        scale: u8,
        /// The digits.
        digits: u32,
    },
    /// `T`, in seconds since 1970.
    Timestamp(u64),
    /// `S`. Mostly text, but nobody checks.
    Text(&'a [u8]),
    /// `x`.
    Bytes(&'a [u8]),
    /// `A`.
    Array(Array<'a>),
    /// `F`.
    Table(Table<'a>),
    /// `V`.
    Void,
}

impl<'a> Table<'a> {
    /// Takes the bytes of a table without their length, as they came or as [`Table::as_bytes`] gave them. The
    /// response of the mechanism `AMQPLAIN` is such bytes.
    ///
    /// # Errors
    /// [`Reason::Table`], or [`Reason::TableDepth`] beyond [`super::DEPTH_MAX`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Reason> {
        check::table(bytes, check::DEPTH_MAX)?;
        Ok(Self(bytes))
    }

    /// For bytes that were checked or built here.
    pub(super) const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, without their length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True if there is no field.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The fields in their order.
    pub const fn fields(self) -> Fields<'a> {
        Fields(self.0)
    }

    /// The value of the first field of this name, which is the one RabbitMQ goes by.
    pub fn get(self, name: &[u8]) -> Option<Value<'a>> {
        self.fields().find(|(field, _)| field.as_bytes() == name).map(|(_, value)| value)
    }
}

impl<'a> Array<'a> {
    pub(super) const fn trusted(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, without their length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True if there is no value.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The values in their order.
    pub const fn values(self) -> Values<'a> {
        Values(self.0)
    }
}

impl std::fmt::Debug for Table<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_map().entries(self.fields()).finish()
    }
}

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.values()).finish()
    }
}

/// The fields of a table.
#[derive(Clone, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (ShortBytes<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (field, rest) = field(self.0)?;
        self.0 = rest;
        Some(field)
    }
}

/// The values of an array.
#[derive(Clone, Debug)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = value(self.0)?;
        self.0 = rest;
        Some(value)
    }
}

/// The field that `input` begins with, and what follows it. What is within its value is not looked at.
pub(super) fn field(input: &[u8]) -> Option<((ShortBytes<'_>, Value<'_>), &[u8])> {
    let (length, rest) = input.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (value, rest) = value(rest)?;
    Some(((ShortBytes::new(name)?, value), rest))
}

/// The value that `input` begins with, and what follows it. What is within it is not looked at.
pub(super) fn value(input: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (letter, rest) = input.split_first()?;
    match letter {
        b'S' => long(rest, Value::Text),
        b't' => number(rest, |[octet]| Value::Bool(octet != 0)),
        b'b' => number(rest, |octets| Value::I8(i8::from_be_bytes(octets))),
        b'B' => number(rest, |octets| Value::U8(u8::from_be_bytes(octets))),
        b's' => number(rest, |octets| Value::I16(i16::from_be_bytes(octets))),
        b'u' => number(rest, |octets| Value::U16(u16::from_be_bytes(octets))),
        b'I' => number(rest, |octets| Value::I32(i32::from_be_bytes(octets))),
        b'i' => number(rest, |octets| Value::U32(u32::from_be_bytes(octets))),
        b'l' | b'L' => number(rest, |octets| Value::I64(i64::from_be_bytes(octets))),
        b'f' => number(rest, |octets| Value::F32(f32::from_be_bytes(octets))),
        b'd' => number(rest, |octets| Value::F64(f64::from_be_bytes(octets))),
        b'D' => number(rest, |[scale, digits @ ..]: [u8; 5]| Value::Decimal {
            scale,
            digits: u32::from_be_bytes(digits),
        }),
        b'T' => number(rest, |octets| Value::Timestamp(u64::from_be_bytes(octets))),
        b'F' => long(rest, |bytes| Value::Table(Table(bytes))),
        b'A' => long(rest, |bytes| Value::Array(Array(bytes))),
        b'x' => long(rest, Value::Bytes),
        b'V' => Some((Value::Void, rest)),
        _ => None,
    }
}

fn number<const N: usize>(
    input: &[u8],
    value: impl FnOnce([u8; N]) -> Value<'static>,
) -> Option<(Value<'_>, &[u8])> {
    let (octets, rest) = input.split_first_chunk()?;
    Some((value(*octets), rest))
}

fn long<'a>(input: &'a [u8], value: impl FnOnce(&'a [u8]) -> Value<'a>) -> Option<(Value<'a>, &'a [u8])> {
    let (length, rest) = input.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((value(bytes), rest))
}
