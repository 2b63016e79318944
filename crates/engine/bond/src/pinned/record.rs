//! A pinned result as it lies on the disk.
//!
//! One kind of record, little-endian: version u64 · end of life in milliseconds u64 · flags u32 · marks u8 · length of the
//! key u8 · key · value. It says all there is to say of a key, so the last one of a key is the truth. Marks: 1 gone, 2 stale,
//! 4 has an end of life.

use forebay_core::entry::{Expiry, State};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::time::Instant;

/// The only kind.
pub(super) const KIND: u8 = 1;
/// Bytes before the key.
pub(super) const HEAD_BYTES: usize = 22;

const GONE: u8 = 1;
const STALE: u8 = 2;
const HAS_END: u8 = 4;

/// What a record says beside key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The version of the last change.
    pub(super) version: u64,
    /// `None`: the key is gone.
    pub(super) kept: Option<Kept>,
}

/// What is kept beside the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) flags: u32,
    pub(super) expires_at: Expiry,
    pub(super) stale: bool,
}

impl Kept {
    pub(super) fn state(self) -> State {
        if self.stale { State::Stale } else { State::Fresh }
    }
}

/// The bytes before key and value. Keys are no longer than a byte says.
pub(super) fn encode(head: &Head, key: &[u8]) -> [u8; HEAD_BYTES] {
    let (marks, kept) = match head.kept {
        None => (GONE, Kept { flags: 0, expires_at: None, stale: false }),
        Some(kept) => {
            let stale = if kept.stale { STALE } else { 0 };
            (stale | if kept.expires_at.is_some() { HAS_END } else { 0 }, kept)
        }
    };
    let mut bytes = [0; HEAD_BYTES];
    let fields = [
        &head.version.to_le_bytes()[..],
        &kept.expires_at.unwrap_or_default().as_ms().to_le_bytes(),
        &kept.flags.to_le_bytes(),
        &[marks, key.len() as u8],
    ];
    let mut rest = &mut bytes[..];
    for field in fields {
        let (place, behind) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = behind;
    }
    bytes
}

/// What a record says, with its key and value.
pub(super) fn decode(kind: u8, body: &[u8]) -> Result<(Head, &[u8], &[u8])> {
    if kind != KIND {
        return Err(Error::new(Kind::Unsupported, "read pinned result", format!("of kind {kind}")));
    }
    split(body).ok_or_else(|| Error::new(Kind::Damaged, "read pinned result", "the record is not one"))
}

fn split(body: &[u8]) -> Option<(Head, &[u8], &[u8])> {
    let (version, rest) = body.split_first_chunk()?;
    let (end, rest) = rest.split_first_chunk()?;
    let (flags, rest) = rest.split_first_chunk()?;
    let ([marks, length], rest) = rest.split_first_chunk()?;
    let length = usize::from(*length);
    let (key, value) = rest.split_at_checked(length)?;
    let known = marks & !(GONE | STALE | HAS_END) == 0;
    if !known || !(1..=KEY_BYTES_MAX).contains(&length) {
        return None;
    }
    let end = Instant::from_ms(u64::from_le_bytes(*end));
    let kept = (marks & GONE == 0).then(|| Kept {
        flags: u32::from_le_bytes(*flags),
        expires_at: (marks & HAS_END != 0).then_some(end),
        stale: marks & STALE != 0,
    });
    Some((Head { version: u64::from_le_bytes(*version), kept }, key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let ends = [None, Some(Instant::from_ms(0)), Some(Instant::from_ms(u64::MAX))];
        let kept = ends.into_iter().flat_map(|expires_at| {
            [true, false].map(|stale| Some(Kept { flags: 0xdead_beef, expires_at, stale }))
        });
        for kept in kept.chain([None]) {
            for key in [&b"k"[..], &[b'k'; KEY_BYTES_MAX]] {
                let head = Head { version: u64::MAX - 1, kept };
                let body = [&encode(&head, key)[..], key, b"value"].concat();
                assert_eq!(decode(KIND, &body).unwrap(), (head, key, &b"value"[..]));
            }
        }
    }

    #[test]
    fn what_is_no_record_is_damage_and_what_is_newer_is_unsupported() {
        let head = Head { version: 1, kept: None };
        let body = [&encode(&head, b"key")[..], b"key"].concat();
        for length in 0..body.len() {
            assert_eq!(decode(KIND, &body[..length]).unwrap_err().kind(), Kind::Damaged, "{length}");
        }
        let mut unknown = body.clone();
        unknown[20] |= 64;
        assert_eq!(decode(KIND, &unknown).unwrap_err().kind(), Kind::Damaged);
        assert_eq!(decode(KIND + 1, &body).unwrap_err().kind(), Kind::Unsupported);
    }
}
