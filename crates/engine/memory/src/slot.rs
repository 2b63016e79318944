//! One entry: its key and value in one allocation, and 48 bytes beside it.

use forebay_core::entry::{Expiry, State, View};
use forebay_core::time::Instant;

/// The end of a list, or a place that no entry has.
pub(crate) const NONE: u32 = u32::MAX;
/// The value of `expires` that means no end of life. 48 bits of milliseconds reach beyond the year 10000.
const NEVER: u64 = (1 << 48) - 1;

/// An entry. Field widths are chosen so that it takes 48 bytes: with millions of small entries this is the overhead.
pub(crate) struct Slot {
    /// The key, then the value.
    bytes: Box<[u8]>,
    pub(crate) version: u64,
    expires_low: u32,
    pub(crate) flags: u32,
    /// Seconds since the Unix epoch of the last counted read, or of the write.
    pub(crate) accessed: u32,
    /// The neighbours in the policy's list.
    pub(crate) previous: u32,
    pub(crate) next: u32,
    expires_high: u16,
    key_len: u8,
    pub(crate) marks: Marks,
}

const _: () = assert!(size_of::<Slot>() == 48);

/// What is known of an entry in one bit each; four bits belong to the policy.
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
    const POLICY_SHIFT: u32 = 4;

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// The policy's four bits.
    pub(crate) const fn policy(self) -> u8 {
        self.0 >> Self::POLICY_SHIFT
    }

    pub(crate) fn set_policy(&mut self, bits: u8) {
        self.0 = (self.0 & 0x0f) | (bits << Self::POLICY_SHIFT);
    }

    /// Replaces all but the policy's bits.
    pub(crate) fn replace(&mut self, marks: Self) {
        self.0 = (self.0 & 0xf0) | (marks.0 & 0x0f);
    }
}

impl Slot {
    /// An entry from `bytes` made by [`joined`] with this key length.
    pub(crate) fn new(bytes: Box<[u8]>, key_len: u8, version: u64, now: Instant) -> Self {
        let mut slot = Self {
            bytes,
            version,
            expires_low: 0,
            flags: 0,
            accessed: seconds(now),
            previous: NONE,
            next: NONE,
            expires_high: 0,
            key_len,
            marks: Marks::default(),
        };
        slot.set_expiry(None);
        slot
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.key_len)).unwrap_or_default()
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.bytes.get(usize::from(self.key_len)..).unwrap_or_default()
    }

    pub(crate) fn value_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(usize::from(self.key_len)..).unwrap_or_default()
    }

    /// Puts other bytes in place, made with the same key, and returns the old ones.
    pub(crate) fn replace_bytes(&mut self, bytes: Box<[u8]>) -> Box<[u8]> {
        std::mem::replace(&mut self.bytes, bytes)
    }

    pub(crate) fn expiry(&self) -> Expiry {
        let ms = self.expires_ms();
        (ms != NEVER).then_some(Instant::from_ms(ms))
    }

    pub(crate) fn set_expiry(&mut self, expiry: Expiry) {
        let ms = expiry.map_or(NEVER, |at| at.as_ms().min(NEVER - 1));
        self.expires_low = (ms & 0xffff_ffff) as u32;
        self.expires_high = (ms >> 32) as u16;
    }

    pub(crate) fn expired(&self, now: Instant) -> bool {
        let ms = self.expires_ms();
        ms != NEVER && ms <= now.as_ms()
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

    /// The bytes its allocation takes, as the allocator rounds them.
    pub(crate) fn allocated(&self) -> usize {
        allocated(self.bytes.len())
    }

    fn expires_ms(&self) -> u64 {
        u64::from(self.expires_low) | u64::from(self.expires_high) << 32
    }
}

/// Seconds since the Unix epoch in 32 bits, good until the year 2106.
pub(crate) fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_ms() / 1000).unwrap_or(u32::MAX)
}

/// One allocation of exactly these parts after each other.
pub(crate) fn joined(parts: &[&[u8]]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes.into_boxed_slice()
}

/// What an allocation of `bytes` really takes: a word of header, rounded to 16, at least 32; from 128 KiB on whole pages.
/// These are the steps of glibc's allocator; others stay below or close to them.
pub(crate) const fn allocated(bytes: usize) -> usize {
    const MAPPED: usize = 128 * 1024;
    const PAGE: usize = 4096;
    if bytes >= MAPPED {
        return (bytes + 16).next_multiple_of(PAGE);
    }
    let chunk = (bytes + 8).next_multiple_of(16);
    if chunk < 32 { 32 } else { chunk }
}

/// Shows an entry as it is, with the claim decided by the read.
pub(crate) fn view(slot: &Slot, claim: forebay_core::entry::Claim) -> View<'_> {
    View {
        value: slot.value(),
        flags: slot.flags,
        version: forebay_core::entry::Version(slot.version),
        expires_at: slot.expiry(),
        state: slot.state(),
        claim,
        read_before: slot.marks.has(Marks::READ),
        accessed_at: Instant::from_ms(u64::from(slot.accessed) * 1000),
    }
}
