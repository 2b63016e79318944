//! The layout of one record: a header of 28 bytes, the key, then the value or the handle of a large one.

use forebay_core::entry::{Claim, Expiry, State, Version, View};
use forebay_core::time::Instant;

/// Bytes before the key.
pub(crate) const HEADER_BYTES: usize = 28;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: usize = 8;
/// What stands in place of a large value.
pub(crate) const HANDLE_BYTES: usize = 4;
/// The end of life that means none. 48 bits of milliseconds reach beyond the year 10000.
const NEVER: u64 = (1 << 48) - 1;

/// What is known of an entry beside its key and value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u64,
    pub(crate) flags: u32,
    pub(crate) value_len: u32,
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
            accessed: seconds(now),
            expires: NEVER,
            key_len: 0,
            marks: Marks::default(),
        }
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let &[v0, v1, v2, v3, v4, v5, v6, v7, rest @ ..] = bytes;
        let [f0, f1, f2, f3, l0, l1, l2, l3, a0, a1, a2, a3, e0, e1, e2, e3, e4, e5, key_len, marks] = rest;
        Self {
            version: u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
            flags: u32::from_le_bytes([f0, f1, f2, f3]),
            value_len: u32::from_le_bytes([l0, l1, l2, l3]),
            accessed: u32::from_le_bytes([a0, a1, a2, a3]),
            expires: u64::from_le_bytes([e0, e1, e2, e3, e4, e5, 0, 0]),
            key_len,
            marks: Marks(marks),
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let [v0, v1, v2, v3, v4, v5, v6, v7] = self.version.to_le_bytes();
        let [f0, f1, f2, f3] = self.flags.to_le_bytes();
        let [l0, l1, l2, l3] = self.value_len.to_le_bytes();
        let [a0, a1, a2, a3] = self.accessed.to_le_bytes();
        let [e0, e1, e2, e3, e4, e5, _, _] = self.expires.to_le_bytes();
        [
            v0,
            v1,
            v2,
            v3,
            v4,
            v5,
            v6,
            v7,
            f0,
            f1,
            f2,
            f3,
            l0,
            l1,
            l2,
            l3,
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
            self.key_len,
            self.marks.0,
        ]
    }

    /// Bytes from this record to the next one.
    pub(crate) fn span(&self) -> usize {
        span(usize::from(self.key_len), self.body_len())
    }

    /// Bytes behind the key.
    pub(crate) fn body_len(&self) -> usize {
        if self.marks.has(Marks::LARGE) { HANDLE_BYTES } else { self.value_len as usize }
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

/// Bytes of a record with a key and a body of these lengths.
pub(crate) const fn span(key_len: usize, body_len: usize) -> usize {
    (HEADER_BYTES + key_len + body_len).next_multiple_of(ALIGNMENT)
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
        let mut header = Header::new(0x0123_4567_89ab_cdef, Instant::from_ms(1_700_000_000_999));
        header.flags = u32::MAX;
        header.value_len = 77;
        header.key_len = 250;
        header.marks = Marks::STALE.with(Marks::LARGE);
        for expiry in [None, Some(Instant::from_ms(1)), Some(Instant::from_ms((1 << 47) + 12_345))] {
            header.set_expiry(expiry);
            header.marks.set_uses(2);
            let read = Header::decode(&header.encode());
            assert!(read == header);
            assert_eq!(read.expiry(), expiry);
            assert_eq!(read.accessed, 1_700_000_000);
        }
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
