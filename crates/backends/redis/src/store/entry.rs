//! How an entry lies in the server; written down in `prelude.lua`.

use forebay_core::entry::Version;
use forebay_core::payload::Payload;
use forebay_core::ports::remote_store::Shared;

const MAGIC: u8 = 251;
const TAGS_AT: usize = 14;

/// The value, if it is one: leases, holds and what others wrote are none.
pub(super) fn read(bytes: Vec<u8>) -> Option<Shared> {
    if bytes.get(..2)? != [MAGIC, b'V'] {
        return None;
    }
    let flags = u32::from_be_bytes(bytes.get(2..6)?.try_into().ok()?);
    let version = version(bytes.get(6..TAGS_AT)?)?;
    let mut at = TAGS_AT + 1;
    for _ in 0..*bytes.get(TAGS_AT)? {
        at += 1 + usize::from(*bytes.get(at)?);
    }
    let all = Payload::from(bytes);
    Some(Shared { value: all.slice(at, all.len())?, flags, version })
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

    #[test]
    fn only_whole_values_are_read() {
        let mut bytes = vec![MAGIC, b'V', 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9];
        bytes.extend(tags(&[b"ab", b""]));
        let header = bytes.len();
        bytes.extend(b"value");
        let shared = read(bytes.clone()).unwrap();
        assert_eq!((&*shared.value, shared.flags, shared.version), (&b"value"[..], 7, Version(9)));
        assert_eq!(read(bytes[..header].to_vec()).unwrap().value.len(), 0);
        for cut in 0..header {
            assert!(read(bytes[..cut].to_vec()).is_none(), "{cut}");
        }
        assert!(read(b"somebody else's".to_vec()).is_none());
        bytes[1] = b'L';
        assert!(read(bytes).is_none());
    }
}
