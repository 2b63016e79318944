//! The layout of one record: 22 bytes of header, the flags if there are any, the key, then the value or what says where a large
//! one is. Overhead counts: with millions of small entries it is what memory goes into.

use std::ops::Range;

use forebay_core::entry::{Claim, Expiry, State, Version, View};
use forebay_core::time::Instant;

use super::region::BlockId;

/// Bytes of every header.
const FIXED_BYTES: usize = 22;
/// Bytes of flags that are not zero.
const FLAGS_BYTES: usize = 4;
/// What stands in place of a large value: its block and its length.
const HANDLE_BYTES: usize = 8;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 2;
/// The longest value in a record: its length shares 16 bits with the mark for flags.
pub(crate) const INLINE_MAX: usize = (HAS_FLAGS - 1) as usize;
const HAS_FLAGS: u16 = 1 << 15;
/// The end of life that means none. 48 bits of milliseconds reach beyond the year 10000.
const NEVER: u64 = (1 << 48) - 1;

/// What is known of an entry beside its key and value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u64,
    pub(crate) flags: u32,
    pub(crate) value_len: u32,
    /// Where a large value is.
    pub(crate) block: BlockId,
    /// Seconds since the Unix epoch of the last counted read, or of the write.
    pub(crate) accessed: u32,
    expires: u64,
    pub(crate) key_len: u8,
    pub(crate) marks: Marks,
}

impl Header {
    /// A fresh entry, written now, that does not end.
    pub(crate) fn new(version: u64, now: Instant) -> Self {
        Self {
            version,
            flags: 0,
            value_len: 0,
            block: 0,
            accessed: seconds(now),
            expires: NEVER,
            key_len: 0,
            marks: Marks::default(),
        }
    }

    /// The header of the record that begins at `at`, which comes from a position, a table or a walk: there is one.
    pub(crate) fn read(memory: &[u8], at: usize) -> Self {
        let [v0, v1, v2, v3, v4, v5, v6, v7, a0, a1, a2, a3, e0, e1, e2, e3, e4, e5, l0, l1, key_len, marks] =
            array::<FIXED_BYTES>(memory, at);
        let lengths = u16::from_le_bytes([l0, l1]);
        let mut header = Self {
            version: u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            flags: 0,
            value_len: u32::from(lengths & !HAS_FLAGS),
            block: 0,
            accessed: u32::from_le_bytes([a0, a1, a2, a3]),
            expires: u64::from_le_bytes([e0, e1, e2, e3, e4, e5, 0, 0]),
            key_len,
            marks: Marks(marks),
        };
        if lengths & HAS_FLAGS != 0 {
            header.flags = u32::from_le_bytes(array(memory, at + FIXED_BYTES));
        }
        if header.marks.has(Marks::LARGE) {
            let handle = header.key_at(at).end;
            header.block = u32::from_le_bytes(array(memory, handle));
            header.value_len = u32::from_le_bytes(array(memory, handle + HANDLE_BYTES / 2));
        }
        header
    }

    /// Writes all but the key and a value that is not large.
    pub(crate) fn write(&self, memory: &mut [u8], at: usize) {
        let large = self.marks.has(Marks::LARGE);
        let length = if large { 0 } else { self.value_len as u16 };
        let lengths = if self.flags != 0 { length | HAS_FLAGS } else { length };
        let [v0, v1, v2, v3, v4, v5, v6, v7] = self.version.to_le_bytes();
        let [a0, a1, a2, a3] = self.accessed.to_le_bytes();
        let [e0, e1, e2, e3, e4, e5, _, _] = self.expires.to_le_bytes();
        let [l0, l1] = lengths.to_le_bytes();
        let fixed: [u8; FIXED_BYTES] = [
            v0,
            v1,
            v2,
            v3,
            v4,
            v5,
            v6,
            v7,
            a0,
            a1,
            a2,
            a3,
            e0,
            e1,
            e2,
            e3,
            e4,
            e5,
            l0,
            l1,
            self.key_len,
            self.marks.0,
        ];
        put(memory, at, &fixed);
        if self.flags != 0 {
            put(memory, at + FIXED_BYTES, &self.flags.to_le_bytes());
        }
        if large {
            let handle = self.key_at(at).end;
            put(memory, handle, &self.block.to_le_bytes());
            put(memory, handle + HANDLE_BYTES / 2, &self.value_len.to_le_bytes());
        }
    }

    /// Where the key of a record at `at` with this header is.
    pub(crate) fn key_at(&self, at: usize) -> Range<usize> {
        let start = at + FIXED_BYTES + if self.flags != 0 { FLAGS_BYTES } else { 0 };
        start..start + usize::from(self.key_len)
    }

    /// Where its value is, if it is not large.
    pub(crate) fn value_at(&self, at: usize) -> Range<usize> {
        let start = self.key_at(at).end;
        start..start + self.value_len as usize
    }

    /// Bytes of key and value.
    pub(crate) fn entry_bytes(&self) -> usize {
        usize::from(self.key_len) + self.value_len as usize
    }

    /// Bytes from this record to the next one.
    pub(crate) fn span(&self) -> usize {
        let body = if self.marks.has(Marks::LARGE) { HANDLE_BYTES } else { self.value_len as usize };
        (self.key_at(0).end + body).next_multiple_of(ALIGNMENT)
    }

    pub(crate) fn expiry(&self) -> Expiry {
        (self.expires != NEVER).then_some(Instant::from_ms(self.expires))
    }

    pub(crate) fn set_expiry(&mut self, expiry: Expiry) {
        self.expires = expiry.map_or(NEVER, |at| at.as_ms().min(NEVER - 1));
    }

    /// The end of life in milliseconds; that of an entry without one is later than any other.
    pub(crate) fn expires_ms(&self) -> u64 {
        self.expires
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        self.expires <= now.as_ms() && self.expires != NEVER
    }

    pub(crate) fn state(&self) -> State {
        if self.marks.has(Marks::LEASED) {
            State::Leased
        } else if self.marks.has(Marks::STALE) {
            State::Stale
        } else {
            State::Fresh
        }
    }

    pub(crate) fn view<'a>(&self, value: &'a [u8], claim: Claim) -> View<'a> {
        View {
            value,
            flags: self.flags,
            version: Version(self.version),
            expires_at: self.expiry(),
            state: self.state(),
            claim,
            read_before: self.marks.has(Marks::READ),
            accessed_at: Instant::from_ms(u64::from(self.accessed) * 1000),
        }
    }
}

/// The key of the record at `at`, without reading the rest.
pub(crate) fn key_in(memory: &[u8], at: usize) -> &[u8] {
    let [l0, l1, key_len] = array(memory, at + FIXED_BYTES - 4);
    let has_flags = u16::from_le_bytes([l0, l1]) & HAS_FLAGS != 0;
    let start = at + FIXED_BYTES + if has_flags { FLAGS_BYTES } else { 0 };
    &memory[start..start + usize::from(key_len)]
}

/// The most that a record with a key and value of these lengths spans; that of a large value without it.
pub(crate) const fn span_max(key_len: usize, value_len: usize, large: bool) -> usize {
    let body = if large { HANDLE_BYTES } else { value_len };
    (FIXED_BYTES + FLAGS_BYTES + key_len + body).next_multiple_of(ALIGNMENT)
}

/// The least that a record spans.
pub(crate) const SPAN_MIN: usize = (FIXED_BYTES + 1usize).next_multiple_of(ALIGNMENT);

fn array<const N: usize>(memory: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&memory[at..at + N]);
    bytes
}

fn put(memory: &mut [u8], at: usize, bytes: &[u8]) {
    memory[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Seconds since the Unix epoch in 32 bits, good until the year 2106.
pub(crate) fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_ms() / 1000).unwrap_or(u32::MAX)
}

/// What is known of an entry in one bit each, and how often it was read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    /// No value yet: somebody holds the lease.
    pub(crate) const LEASED: Self = Self(1);
    /// Invalidated, kept to be served as stale.
    pub(crate) const STALE: Self = Self(1 << 1);
    /// A reader was granted the lease.
    pub(crate) const CLAIMED: Self = Self(1 << 2);
    /// Read at least once.
    pub(crate) const READ: Self = Self(1 << 3);
    /// The value lies aside.
    pub(crate) const LARGE: Self = Self(1 << 4);
    /// The record is no entry any more.
    pub(crate) const DEAD: Self = Self(1 << 5);
    const READS_SHIFT: u32 = 6;
    const READS_MAX: u8 = 3;

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of the others' bits is set.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// How often it was used since the eviction last looked; more than three times are three.
    pub(crate) const fn uses(self) -> u8 {
        self.0 >> Self::READS_SHIFT
    }

    pub(crate) fn set_uses(&mut self, uses: u8) {
        let uses = if uses > Self::READS_MAX { Self::READS_MAX } else { uses };
        self.0 = (self.0 & !(Self::READS_MAX << Self::READS_SHIFT)) | (uses << Self::READS_SHIFT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back() {
        let mut memory = vec![0xaa; 1_000];
        let expiries = [None, Some(Instant::from_ms(1)), Some(Instant::from_ms((1 << 47) + 12_345))];
        for (flags, large, expiry) in
            [(0, false, expiries[0]), (u32::MAX, false, expiries[1]), (0, true, expiries[2]), (1, true, None)]
        {
            let mut header = Header::new(0x0123_4567_89ab_cdef, Instant::from_ms(1_700_000_000_999));
            header.flags = flags;
            header.key_len = 250;
            header.value_len = if large { 1 << 30 } else { INLINE_MAX as u32 };
            header.block = if large { 77 } else { 0 };
            header.marks = if large { Marks::STALE.with(Marks::LARGE) } else { Marks::READ };
            header.marks.set_uses(2);
            header.set_expiry(expiry);
            header.write(&mut memory, 7);
            let read = Header::read(&memory, 7);
            assert!(read == header);
            assert_eq!(key_in(&memory, 7), &memory[header.key_at(7)]);
            assert_eq!(read.expiry(), expiry);
            assert_eq!(read.accessed, 1_700_000_000);
        }
    }

    #[test]
    fn a_small_entry_without_flags_has_an_overhead_of_22_bytes() {
        let mut header = Header::new(1, Instant::default());
        (header.key_len, header.value_len) = (16, 100);
        assert_eq!(header.span(), 138);
        assert_eq!(header.value_at(0), 38..138);
        assert!(span_max(16, 100, false) == 142);
        header.flags = 1;
        assert_eq!(header.span(), 142);
    }

    #[test]
    fn an_end_beyond_what_can_be_kept_is_far_but_an_end() {
        let mut header = Header::new(1, Instant::default());
        header.set_expiry(Some(Instant::from_ms(u64::MAX)));
        assert!(header.expiry().is_some());
        assert!(!header.expired(Instant::from_ms(1 << 47)));
    }

    #[test]
    fn uses_are_counted_up_to_three_and_leave_the_marks_alone() {
        let mut marks = Marks::READ.with(Marks::DEAD);
        for uses in 0..6 {
            marks.set_uses(uses);
            assert_eq!(marks.uses(), uses.min(3));
            assert!(marks.has(Marks::READ) && marks.has(Marks::DEAD) && !marks.has(Marks::LARGE));
        }
    }
}
