//! The elementary types of the protocol: how each is read from octets and written as such.

use super::fault::Reason;
use super::table::Table;
use super::text::{Secret, ShortBytes, ShortStr};

/// One argument of a method or one property of a message.
pub(super) trait Argument<'a>: Sized {
    /// The published definition's name of the type.
    #[cfg(test)]
    const KIND: &'static str;

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason>;

    fn write(&self, writer: &mut Writer<'_>);
}

/// Reads arguments one after another. Bits that follow each other share an octet, the first in its lowest place.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    bits: u8,
    bits_left: u8,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(octets: &'a [u8]) -> Self {
        Self { rest: octets, bits: 0, bits_left: 0 }
    }

    /// True if nothing is left over.
    pub(super) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(Reason::Arguments)?;
        self.rest = rest;
        self.bits_left = 0;
        Ok(*octets)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Reason> {
        let (octets, rest) = self.rest.split_at_checked(length).ok_or(Reason::Arguments)?;
        self.rest = rest;
        self.bits_left = 0;
        Ok(octets)
    }

    fn bit(&mut self) -> Result<bool, Reason> {
        if self.bits_left == 0 {
            [self.bits] = self.array()?;
            self.bits_left = u8::BITS as u8;
        }
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        self.bits_left -= 1;
        Ok(bit)
    }

    fn short(&mut self) -> Result<&'a [u8], Reason> {
        let [length] = self.array()?;
        self.take(usize::from(length))
    }

    fn long(&mut self) -> Result<&'a [u8], Reason> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }
}

/// Writes arguments one after another, as [`Reader`] reads them.
#[derive(Debug)]
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    bits_used: u8,
}

impl<'o> Writer<'o> {
    pub(super) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, bits_used: 0 }
    }

    fn put(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
        self.bits_used = 0;
    }

    fn bit(&mut self, bit: bool) {
        if self.bits_used == 0 {
            self.out.push(0);
        }
        if let Some(octet) = self.out.last_mut() {
            *octet |= u8::from(bit) << self.bits_used;
        }
        self.bits_used = (self.bits_used + 1) % u8::BITS as u8;
    }
}

/// Writes a length of one octet and the string. The string's type says that it fits.
pub(super) fn put_short(out: &mut Vec<u8>, string: ShortBytes<'_>) {
    out.push(string.len() as u8);
    out.extend_from_slice(&string);
}

/// Writes a length of four octets and the string, cut at 4 GiB, which no frame can hold.
pub(super) fn put_long(out: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(string.get(..length as usize).unwrap_or_default());
}

macro_rules! numbers {
    ($($number:ty = $kind:literal),* $(,)?) => {$(
        impl<'a> Argument<'a> for $number {
            #[cfg(test)]
            const KIND: &'static str = $kind;

            fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
                reader.array().map(Self::from_be_bytes)
            }

            fn write(&self, writer: &mut Writer<'_>) {
                writer.put(&self.to_be_bytes());
            }
        }
    )*};
}

numbers! { u8 = "octet", u16 = "short", u32 = "long", u64 = "longlong" }

impl<'a> Argument<'a> for bool {
    #[cfg(test)]
    const KIND: &'static str = "bit";

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        reader.bit()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.bit(*self);
    }
}

impl<'a> Argument<'a> for ShortStr<'a> {
    #[cfg(test)]
    const KIND: &'static str = "shortstr";

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        let text = std::str::from_utf8(reader.short()?).map_err(|_| Reason::NotUtf8)?;
        Self::new(text).ok_or(Reason::Arguments)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        ShortBytes::from(*self).write(writer);
    }
}

impl<'a> Argument<'a> for ShortBytes<'a> {
    #[cfg(test)]
    const KIND: &'static str = "shortstr";

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        Self::new(reader.short()?).ok_or(Reason::Arguments)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.bits_used = 0;
        put_short(writer.out, *self);
    }
}

impl<'a> Argument<'a> for &'a [u8] {
    #[cfg(test)]
    const KIND: &'static str = "longstr";

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        reader.long()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.bits_used = 0;
        put_long(writer.out, self);
    }
}

impl<'a> Argument<'a> for Secret<'a> {
    #[cfg(test)]
    const KIND: &'static str = "longstr";

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        reader.long().map(Self)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }
}

impl<'a> Argument<'a> for Table<'a> {
    #[cfg(test)]
    const KIND: &'static str = "table";

    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        Self::parse(reader.long()?)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.as_bytes().write(writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_that_follow_each_other_share_an_octet_and_no_longer() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        for bit in [true, false, true] {
            bit.write(&mut writer);
        }
        7u8.write(&mut writer);
        for bit in [true; 9] {
            bit.write(&mut writer);
        }
        assert_eq!(out, [0b101, 7, 0xff, 1]);
        let mut reader = Reader::new(&out);
        let bits: Vec<bool> = (0..3).map(|_| bool::read(&mut reader).unwrap()).collect();
        assert_eq!(bits, [true, false, true]);
        assert_eq!(u8::read(&mut reader), Ok(7));
        assert!((0..9).all(|_| bool::read(&mut reader) == Ok(true)));
        assert!(reader.is_done());
    }
}
