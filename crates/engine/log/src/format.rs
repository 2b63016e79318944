//! The bytes on disk: segment header and record header, with their checksums.
//!
//! All numbers are little-endian. A segment file is one segment header, then records without gaps, then bytes that
//! do not verify: zeros, or what the file held before it was recycled.
//!
//! # Segment header, 64 bytes
//!
//! | bytes  | what |
//! | ---    | --- |
//! | 0..8   | `FOREBAY\n` |
//! | 8..12  | format version, 1. In every version the first 64 bytes keep this layout |
//! | 12..16 | crc32c of bytes 0..12 and 16..64 |
//! | 16..24 | segment number, as in the file's name |
//! | 24..32 | epoch: random, drawn anew each time the file is put to use |
//! | 32..36 | length of the file in bytes |
//! | 36..64 | zeros |
//!
//! # Record, a multiple of 8 bytes
//!
//! | bytes  | what |
//! | ---    | --- |
//! | 0..4   | crc32c of the segment's epoch (8 bytes), the record's offset in the segment (4 bytes) and bytes 4..24 |
//! | 4..8   | crc32c of the body |
//! | 8..12  | length of the body |
//! | 12..13 | kind: below 240 the caller's, above it the log's own (`OPENED`, `CLOSED`, `SET_ASIDE`) |
//! | 13..16 | how many records of the same batch come before it |
//! | 16..24 | sequence, from 1, one more than the record before |
//! | 24..   | body, then zeros up to the next multiple of 8 |
//!
//! Epoch and offset in the checksum mean that neither a stale record of a recycled file, nor a record copied into
//! another record's body, nor a write that went astray ever verifies.
//!
//! The batch count carries the proof that recovery needs: a batch is written only after the batch before it was
//! synced, so a whole record says that everything before its batch had been made durable. A hole before such a record
//! is damage; a hole without one after it is the torn end of the last batch, which nobody was told is safe.
//!
//! The log's own records: `OPENED` starts each life of the log, is durable before anything else is taken, and its body
//! is the sequence (8 bytes) after which this life goes on; sequences in between were never confirmed and are not used
//! again. `CLOSED` ends a life in good order, and its body is the last sequence (8 bytes; none is 0) of the last life
//! that did not end so. `SET_ASIDE` covers a damaged stretch that was copied away: sequences up
//! to its own are gone.

use std::ops::RangeInclusive;

/// Bytes of the segment header, where the first record begins.
pub const SEGMENT_HEADER_BYTES: u32 = 64;
/// Bytes of the record header.
pub const RECORD_HEADER_BYTES: u32 = 24;
/// Kinds that callers may use.
pub const KINDS: RangeInclusive<u8> = 0..=239;

/// A life of the log begins.
pub(crate) const OPENED: u8 = 255;
/// A life of the log ended in good order.
pub(crate) const CLOSED: u8 = 254;
/// Covers a damaged stretch that was copied away.
pub(crate) const SET_ASIDE: u8 = 253;

/// The format that this program writes and reads.
pub(crate) const VERSION: u32 = 1;
/// Most records in one batch: their count within it has 24 bits.
pub(crate) const BATCH_RECORDS_MAX: u32 = 1 << 24;
/// No sequence is greater: at a million records a second that is 146,000 years.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 62;
/// By how much sequences jump after an unclean end. Two batches at most can have been lost, so none is used twice.
pub(crate) const SEQUENCE_JUMP: u64 = 2 * BATCH_RECORDS_MAX as u64;

const MAGIC: &[u8; 8] = b"FOREBAY\n";
const HEADER: usize = RECORD_HEADER_BYTES as usize;
const SEGMENT_HEADER: usize = SEGMENT_HEADER_BYTES as usize;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) bytes: u32,
}

/// Why a segment header was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// It is not ours, or its checksum is wrong.
    Damaged,
    /// It is whole, but of another format version.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.bytes.to_le_bytes());
        let checksum = Self::checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER]) -> Result<Self, HeaderFault> {
        if &bytes[0..8] != MAGIC || u32_at(bytes, 12) != Self::checksum(bytes) {
            return Err(HeaderFault::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => {
                Ok(Self { number: u64_at(bytes, 16), epoch: u64_at(bytes, 24), bytes: u32_at(bytes, 32) })
            }
            version => Err(HeaderFault::Version(version)),
        }
    }

    fn checksum(bytes: &[u8; SEGMENT_HEADER]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&bytes[0..12]), &bytes[16..])
    }
}

/// What stands before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) body_checksum: u32,
    pub(crate) length: u32,
    pub(crate) kind: u8,
    /// Records of the same batch before this one.
    pub(crate) before: u32,
    pub(crate) sequence: u64,
}

impl RecordHeader {
    pub(crate) fn encode(self, epoch: u64, offset: u32) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[4..8].copy_from_slice(&self.body_checksum.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&(u32::from(self.kind) | self.before << 8).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        let checksum = Self::checksum(&bytes, epoch, offset);
        bytes[0..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at `offset` of a segment with this epoch, if one was written exactly there.
    pub(crate) fn decode(bytes: &[u8; HEADER], epoch: u64, offset: u32) -> Option<Self> {
        let sequence = u64_at(bytes, 16);
        let word = u32_at(bytes, 12);
        let before = word >> 8;
        if !(u64::from(before) + 1..=SEQUENCE_MAX).contains(&sequence)
            || u32_at(bytes, 0) != Self::checksum(bytes, epoch, offset)
        {
            return None;
        }
        Some(Self {
            body_checksum: u32_at(bytes, 4),
            length: u32_at(bytes, 8),
            kind: word as u8,
            before,
            sequence,
        })
    }

    /// The first sequence of its batch: everything below it had been synced when this record was written.
    pub(crate) fn batch_first(&self) -> u64 {
        self.sequence - u64::from(self.before)
    }

    /// Bytes that the record takes in its segment.
    pub(crate) fn size(&self) -> u64 {
        record_size(u64::from(self.length))
    }

    fn checksum(bytes: &[u8; HEADER], epoch: u64, offset: u32) -> u32 {
        let mut place = [0; 12];
        place[0..8].copy_from_slice(&epoch.to_le_bytes());
        place[8..12].copy_from_slice(&offset.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&place), &bytes[4..])
    }
}

/// Bytes that a record with a body of `length` takes.
pub(crate) fn record_size(length: u64) -> u64 {
    u64::from(RECORD_HEADER_BYTES) + length.next_multiple_of(8)
}

/// The checksum of a body in parts.
pub(crate) fn body_checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |checksum, part| crc32c::crc32c_append(checksum, part))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes)
}

/// A record found in the bytes of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: RecordHeader,
    /// The body if it verifies; `None` if it is damaged or torn under a whole header.
    pub(crate) body: Option<&'a [u8]>,
}

impl<'a> Frame<'a> {
    /// The record at `offset` of a segment's bytes, if its header verifies and it ends inside.
    pub(crate) fn at(segment: &'a [u8], epoch: u64, offset: u32) -> Option<Self> {
        let from = segment.get(offset as usize..)?;
        let header = RecordHeader::decode(from.first_chunk()?, epoch, offset)?;
        let body = from.get(HEADER..HEADER + header.length as usize)?;
        let whole = crc32c::crc32c(body) == header.body_checksum;
        Some(Self { header, body: whole.then_some(body) })
    }

    /// The sequence that it comes right after: the one before its own or, where a life begins, the last of the life
    /// before.
    pub(crate) fn after(&self) -> u64 {
        let said = self.body.filter(|_| self.header.kind == OPENED).and_then(<[u8]>::first_chunk);
        said.map_or(self.header.sequence - 1, |after| u64::from_le_bytes(*after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: RecordHeader =
        RecordHeader { body_checksum: 7, length: 300, kind: 9, before: 3, sequence: 1_000 };

    #[test]
    fn headers_read_back_as_written() {
        let segment = SegmentHeader { number: 3, epoch: u64::MAX - 4, bytes: 4096 };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
        assert_eq!(RecordHeader::decode(&RECORD.encode(5, 64), 5, 64), Some(RECORD));
        assert_eq!(RECORD.batch_first(), 997);
        assert_eq!(RECORD.size(), 24 + 304);
    }

    #[test]
    fn a_record_of_another_epoch_or_offset_does_not_verify() {
        let bytes = RECORD.encode(5, 64);
        assert_eq!(RecordHeader::decode(&bytes, 6, 64), None);
        assert_eq!(RecordHeader::decode(&bytes, 5, 72), None);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for bit in 0..HEADER * 8 {
            let mut bytes = RECORD.encode(5, 64);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bytes, 5, 64), None, "record bit {bit}");
        }
        let segment = SegmentHeader { number: 3, epoch: 8, bytes: 4096 };
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut bytes = segment.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Damaged), "segment bit {bit}");
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut bytes = SegmentHeader { number: 3, epoch: 8, bytes: 4096 }.encode();
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let checksum = SegmentHeader::checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Version(2)));
    }

    #[test]
    fn zeros_are_not_a_record() {
        assert_eq!(RecordHeader::decode(&[0; HEADER], 0, 0), None);
    }
}
