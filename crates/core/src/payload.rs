//! Bytes that many owners share without copying.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// An immutable, cheaply cloned stretch of bytes.
///
/// ```
/// use forebay_core::payload::Payload;
///
/// let payload = Payload::from("one teapot");
/// assert_eq!(payload.slice(4, 10), Some("teapot".into())); // without a copy
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Payload(Bytes);

impl Payload {
    /// A payload without bytes.
    pub const fn empty() -> Self {
        Self(Bytes::new())
    }

    /// Takes over `owner` and shares its bytes without a copy; `owner` is dropped with the last clone.
    pub fn from_owner(owner: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self(Bytes::from_owner(owner))
    }

    /// A part of the same bytes, `None` where the range does not lie inside.
    pub fn slice(&self, from: usize, to: usize) -> Option<Self> {
        (from <= to && to <= self.0.len()).then(|| Self(self.0.slice(from..to)))
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// The length only: payloads may carry secrets.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_outside_the_payload_is_refused() {
        let payload = Payload::from("abcdef");
        assert_eq!(payload.slice(1, 3).as_deref(), Some(&b"bc"[..]));
        assert_eq!(payload.slice(3, 7), None);
        assert_eq!(payload.slice(4, 2), None);
    }

    #[test]
    fn debug_shows_no_bytes() {
        assert_eq!(format!("{:?}", Payload::from("secret")), "6 bytes");
    }
}
