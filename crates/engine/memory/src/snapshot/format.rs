//! The bytes of a snapshot: a header, chunks of entries, and an empty chunk that says that it is whole.
//!
//! ```text
//! header   magic 8 | format 4 | zero 4 | highest version 8 | checksum of these 4 | zero 4
//! chunk    bytes of entries 4 | checksum of its number (8 bytes) and its entries 4 | entries
//! entry    version 8 | end of life in ms, all ones for none 8 | accessed at, in s 4 | flags 4 | length of value 4
//!          | length of key 1 | marks 1: stale, read, main queue, 0, 0, 0, and two bits of uses | key | value
//! ```
//! Numbers are little-endian; checksums are CRC-32C. The number of a chunk counts from 0, so that none is missing, doubled or
//! out of place unseen.

use forebay_core::error::{Error, Kind, Result};

pub(super) const HEADER_BYTES: usize = 32;
pub(super) const CHUNK_HEADER_BYTES: usize = 8;
const MAGIC: &[u8; 8] = b"FBYCACHE";
const FORMAT: u32 = 1;
const ENTRY_BYTES: usize = 30;

pub(super) const STALE: u8 = 1;
pub(super) const READ: u8 = 1 << 1;
pub(super) const MAIN: u8 = 1 << 2;
const USES_SHIFT: u32 = 6;

/// An entry as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept<'a> {
    pub(super) version: u64,
    pub(super) expires_ms: Option<u64>,
    pub(super) accessed: u32,
    pub(super) flags: u32,
    pub(super) marks: u8,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Kept<'_> {
    pub(super) fn uses(&self) -> u8 {
        self.marks >> USES_SHIFT
    }

    pub(super) fn with_uses(mut self, uses: u8) -> Self {
        self.marks |= uses << USES_SHIFT;
        self
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.version.to_le_bytes());
        out.extend(self.expires_ms.unwrap_or(u64::MAX).to_le_bytes());
        out.extend(self.accessed.to_le_bytes());
        out.extend(self.flags.to_le_bytes());
        out.extend(u32::try_from(self.value.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend([u8::try_from(self.key.len()).unwrap_or(u8::MAX), self.marks]);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value);
    }
}

/// Takes the next entry off the front of a chunk that was verified.
pub(super) fn entry<'a>(chunk: &mut &'a [u8]) -> Result<Kept<'a>> {
    let mut take = |count: usize| {
        let (taken, rest) = chunk.split_at_checked(count).ok_or_else(|| damaged("an entry is cut off"))?;
        *chunk = rest;
        Ok::<_, Error>(taken)
    };
    let fixed = take(ENTRY_BYTES)?;
    let (value_len, key_len) = (u32_at(fixed, 24) as usize, usize::from(u8_at(fixed, 28)));
    let expires = u64_at(fixed, 8);
    Ok(Kept {
        version: u64_at(fixed, 0),
        expires_ms: (expires != u64::MAX).then_some(expires),
        accessed: u32_at(fixed, 16),
        flags: u32_at(fixed, 20),
        marks: u8_at(fixed, 29),
        key: take(key_len)?,
        value: take(value_len)?,
    })
}

pub(super) fn header(highest_version: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..24].copy_from_slice(&highest_version.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..24]);
    header[24..28].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// The highest version of a snapshot with this header.
pub(super) fn read_header(header: &[u8; HEADER_BYTES]) -> Result<u64> {
    if &header[..8] != MAGIC || u32_at(header, 24) != crc32c::crc32c(&header[..24]) {
        return Err(damaged("its header does not verify"));
    }
    if u32_at(header, 8) != FORMAT {
        return Err(Error::new(Kind::Unsupported, "read cache snapshot", "of another format"));
    }
    Ok(u64_at(header, 16))
}

pub(super) fn chunk_header(number: u64, entries: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
    let mut header = [0; CHUNK_HEADER_BYTES];
    header[..4].copy_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    header[4..].copy_from_slice(&checksum(number, entries).to_le_bytes());
    header
}

/// The length and the checksum of a chunk.
pub(super) fn read_chunk_header(header: &[u8; CHUNK_HEADER_BYTES]) -> (usize, u32) {
    (u32_at(header, 0) as usize, u32_at(header, 4))
}

pub(super) fn checksum(number: u64, entries: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), entries)
}

pub(super) fn damaged(what: &str) -> Error {
    Error::new(Kind::Damaged, "read cache snapshot", what)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
