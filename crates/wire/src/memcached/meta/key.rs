//! The key of a meta command, in the form it came and in the form it is stored.

use super::base64::{decode, encode};
use crate::memcached::command::Bytes;

/// A key that may have come in base64.
#[derive(Clone, Copy, Debug)]
pub struct MetaKey<'a> {
    bytes: Bytes<'a>,
}

impl<'a> MetaKey<'a> {
    /// The word itself is the key.
    pub(super) const fn plain(word: &'a [u8]) -> Self {
        Self { bytes: Bytes::Word(word) }
    }

    /// The word is the key in base64; `None` where it is not.
    pub(super) fn binary(word: &[u8]) -> Option<Self> {
        decode(word).map(|decoded| Self { bytes: Bytes::Decoded(decoded) })
    }

    /// The key as it is stored.
    pub const fn bytes(&self) -> &Bytes<'a> {
        &self.bytes
    }

    /// Writes the key as a reply shows it, in the form in which the request had it.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match &self.bytes {
            Bytes::Word(word) => out.extend_from_slice(word),
            Bytes::Decoded(decoded) => encode(decoded.as_slice(), out),
        }
    }

    /// True if a reply that shows the key must say that it is base64.
    pub const fn is_binary(&self) -> bool {
        matches!(self.bytes, Bytes::Decoded(_))
    }
}
