//! How an entry lies in the server; written down in `prelude.lua`.

use std::io::Write;

use forebay_core::entry::Version;
use forebay_core::payload::Payload;
use forebay_core::ports::remote_store::Shared;
use redis::{RedisWrite, ToRedisArgs};

use crate::connect::History;

const MAGIC: u8 = 251;
const HISTORY_AT: usize = 14;
const TAGS_AT: usize = 18;

/// The value, if it is one of this history: leases, holds and what others wrote are none. One of another history may have been
/// removed or overwritten since, and the server lost that.
pub(super) fn read(bytes: Vec<u8>, history: History) -> Option<Shared> {
    let is_present = bytes.get(HISTORY_AT..TAGS_AT)? == history.0;
    if is_present { read_any(bytes) } else { None }
}

/// The value, if it is one: where a script has looked which history it is of.
pub(super) fn read_any(bytes: Vec<u8>) -> Option<Shared> {
    if bytes.get(..2)? != [MAGIC, b'V'] {
        return None;
    }
    let flags = u32::from_be_bytes(bytes.get(2..6)?.try_into().ok()?);
    let version = version(bytes.get(6..HISTORY_AT)?)?;
    let mut at = TAGS_AT + 1;
    for _ in 0..*bytes.get(TAGS_AT)? {
        at += 1 + usize::from(*bytes.get(at)?);
    }
    let all = Payload::from(bytes);
    Some(Shared { value: all.slice(at, all.len())?, flags, version })
}

/// The tags of a value, whose whole bytes these are.
pub(super) fn tags_of(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    if bytes.get(..2)? != [MAGIC, b'V'] {
        return None;
    }
    let mut at = TAGS_AT + 1;
    let mut tags = Vec::new();
    for _ in 0..*bytes.get(TAGS_AT)? {
        let from = at + 1;
        at = from + usize::from(*bytes.get(at)?);
        tags.push(bytes.get(from..at)?);
    }
    Some(tags)
}

/// A version for a plain write. Nothing else of the key has it, for it is random but for its highest bit, by which it is above
/// all that the server counts; nor does it grow, which only what is a fencing token has to. Clients may take it for a signed
/// number.
pub(super) fn version_of(random: u64) -> Version {
    Version(1 << 61 | random >> 3)
}

/// What lies between a store's prefix and the key.
const ENTRIES: &[u8] = b":e:";

/// The name of an entry in the server, as an argument of a command.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    pub(super) prefix: &'a str,
    pub(super) key: &'a [u8],
}

impl Name<'_> {
    pub(super) fn len(self) -> usize {
        self.prefix.len() + ENTRIES.len() + self.key.len()
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.prefix.as_bytes(), ENTRIES, self.key].concat()
    }
}

impl ToRedisArgs for Name<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        write(out, [self.prefix.as_bytes(), ENTRIES, self.key]);
    }
}

/// Writes an argument of these parts.
fn write<const N: usize>(out: &mut (impl RedisWrite + ?Sized), parts: [&[u8]; N]) {
    let mut argument = out.writer_for_next_arg();
    for part in parts {
        // Memory takes all that is written to it.
        let _ = argument.write_all(part);
    }
}

/// A value without tags, as an argument of a command.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub(super) flags: u32,
    pub(super) version: Version,
    pub(super) history: History,
    pub(super) value: &'a [u8],
}

impl ToRedisArgs for Plain<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut header = [0; TAGS_AT + 1];
        header[..2].copy_from_slice(&[MAGIC, b'V']);
        header[2..6].copy_from_slice(&self.flags.to_be_bytes());
        header[6..HISTORY_AT].copy_from_slice(&self.version.0.to_be_bytes());
        header[HISTORY_AT..TAGS_AT].copy_from_slice(&self.history.0);
        write(out, [&header, self.value]);
    }
}

pub(super) fn version(bytes: &[u8]) -> Option<Version> {
    Some(Version(u64::from_be_bytes(bytes.try_into().ok()?)))
}

/// The tags as they stand in an entry. The caller has checked their number and lengths.
pub(super) fn tags(tags: &[&[u8]]) -> Vec<u8> {
    let mut written = vec![tags.len() as u8];
    for tag in tags {
        written.push(tag.len() as u8);
        written.extend_from_slice(tag);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: History = History([1, 2, 3, 4]);

    #[test]
    fn what_a_plain_write_sends_is_read_as_it_was_given_and_has_no_tags() {
        let version = version_of(u64::MAX);
        let sent = Plain { flags: 7, version, history: HISTORY, value: b"value" }.to_redis_args().concat();
        assert_eq!(tags_of(&sent), Some(Vec::new()));
        let shared = read(sent, HISTORY).unwrap();
        assert_eq!((&*shared.value, shared.flags, shared.version), (&b"value"[..], 7, version));
    }

    #[test]
    fn versions_of_plain_writes_lie_above_those_that_are_counted_and_are_no_negative_numbers() {
        for random in [0, 1 << 63, u64::MAX] {
            // Microseconds until the year 2255, as exact as scripts count.
            assert!((1 << 53..1 << 63).contains(&version_of(random).0), "{random}");
        }
        assert_ne!(version_of(1 << 3), version_of(2 << 3));
    }

    #[test]
    fn tags_of_a_value_are_told_if_it_is_whole() {
        let mut bytes = vec![MAGIC, b'V', 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4];
        bytes.extend(tags(&[b"ab", b""]));
        let header = bytes.len();
        bytes.extend(b"value");
        assert_eq!(tags_of(&bytes), Some(vec![&b"ab"[..], b""]));
        for cut in 0..header {
            assert_eq!(tags_of(&bytes[..cut]), None, "{cut}");
        }
        bytes[1] = b'L';
        assert_eq!(tags_of(&bytes), None);
    }

    #[test]
    fn only_whole_values_of_the_same_history_are_read() {
        let mut bytes = vec![MAGIC, b'V', 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4];
        bytes.extend(tags(&[b"ab", b""]));
        let header = bytes.len();
        bytes.extend(b"value");
        let shared = read(bytes.clone(), HISTORY).unwrap();
        assert_eq!((&*shared.value, shared.flags, shared.version), (&b"value"[..], 7, Version(9)));
        assert_eq!(read(bytes[..header].to_vec(), HISTORY).unwrap().value.len(), 0);
        for cut in 0..header {
            assert!(read(bytes[..cut].to_vec(), HISTORY).is_none(), "{cut}");
        }
        assert!(read(b"somebody else's, and long".to_vec(), HISTORY).is_none());
        assert!(read(bytes.clone(), History([1, 2, 3, 5])).is_none(), "of another history");
        bytes[1] = b'L';
        assert!(read(bytes, HISTORY).is_none());
    }
}
