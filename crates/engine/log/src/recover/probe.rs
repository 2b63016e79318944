//! What lies behind a bad place: is there proof that the missing record had been durable, or is this the torn end?

use crate::format::{Frame, RECORD_HEADER_BYTES};

/// A record found by searching.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) offset: u32,
    pub(crate) size: u32,
    pub(crate) sequence: u64,
    /// The sequence that it comes right after.
    pub(crate) after: u64,
    pub(crate) batch_first: u64,
    /// Its body verifies too.
    pub(crate) whole: bool,
}

const ZEROS: [u8; 512] = [0; 512];

/// All records of this epoch at or behind `from`, in order, wherever they begin.
pub(crate) fn search(bytes: &[u8], epoch: u64, from: u32) -> impl Iterator<Item = Found> {
    let mut offset = from;
    std::iter::from_fn(move || {
        while (offset as usize).checked_add(RECORD_HEADER_BYTES as usize)? <= bytes.len() {
            if bytes.get(offset as usize..).is_some_and(|rest| rest.starts_with(&ZEROS)) {
                // No header begins in the first part of a stretch of zeros that is longer than one.
                offset += ZEROS.len() as u32 - RECORD_HEADER_BYTES;
                continue;
            }
            let at = offset;
            let Some(frame) = Frame::at(bytes, epoch, at) else {
                offset += 8;
                continue;
            };
            let size = frame.header.size() as u32;
            offset += if frame.body.is_some() { size } else { RECORD_HEADER_BYTES };
            return Some(Found {
                offset: at,
                size,
                sequence: frame.header.sequence,
                after: frame.after(),
                batch_first: frame.header.batch_first(),
                whole: frame.body.is_some(),
            });
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{self, RecordHeader};

    fn put(bytes: &mut [u8], epoch: u64, offset: u32, sequence: u64, body: &[u8]) -> u32 {
        let header = RecordHeader {
            body_checksum: format::body_checksum(&[body]),
            length: body.len() as u32,
            kind: 1,
            before: 0,
            sequence,
        };
        let at = offset as usize;
        bytes[at..at + 24].copy_from_slice(&header.encode(epoch, offset));
        bytes[at + 24..at + 24 + body.len()].copy_from_slice(body);
        offset + header.size() as u32
    }

    #[test]
    fn records_are_found_behind_zeros_and_rubbish_at_any_place() {
        for start in (64..2048).step_by(8) {
            let mut bytes = vec![0; 4096];
            bytes[30..60].fill(0xee);
            let next = put(&mut bytes, 9, start, 5, b"five");
            put(&mut bytes, 9, next, 6, b"six");
            let found: Vec<_> = search(&bytes, 9, 24).map(|found| (found.offset, found.sequence)).collect();
            assert_eq!(found, [(start, 5), (next, 6)]);
        }
    }

    #[test]
    fn a_record_of_an_older_epoch_is_not_found() {
        let mut bytes = vec![0; 4096];
        put(&mut bytes, 8, 64, 5, b"stale");
        assert_eq!(search(&bytes, 9, 64).count(), 0);
    }

    #[test]
    fn a_record_copied_into_a_body_is_not_found() {
        let mut inner = vec![0; 128];
        put(&mut inner, 9, 64, 77, b"x");
        let mut bytes = vec![0; 4096];
        let end = put(&mut bytes, 9, 64, 5, &inner);
        bytes[64] ^= 1;
        put(&mut bytes, 9, end, 6, b"six");
        let found: Vec<_> = search(&bytes, 9, 64).map(|found| found.sequence).collect();
        assert_eq!(found, [6]);
    }
}
