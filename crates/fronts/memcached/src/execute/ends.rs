//! The ends of life that one meta command speaks of: that of a new entry, and a new one for what is there.

use forebay_core::entry::Expiry;
use forebay_core::time::Instant;
use forebay_wire::memcached::words::Words;

use crate::expiry::expiry;

/// `N` and `T`, where they were given.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) vivify: Option<Expiry>,
    pub(super) touch: Option<Expiry>,
}

impl Ends {
    pub(super) fn new(vivify: Option<i32>, touch: Option<i32>, now: Instant) -> Self {
        let end = |exptime| expiry(exptime, now);
        Self { vivify: vivify.map(end), touch: touch.map(end) }
    }

    /// The end of life of what is made. Flags take effect in the order in which they stand, so the last holds.
    pub(super) fn created(&self, flags: Words<'_>) -> Option<Expiry> {
        let vivify = self.vivify?;
        let last = flags.filter(|word| matches!(word.first(), Some(b'N' | b'T'))).last();
        Some(self.touch.filter(|_| last.and_then(|word| word.first()) == Some(&b'T')).unwrap_or(vivify))
    }

    /// The end of life to show from a flag on, when `end` was the one before it.
    pub(super) fn after(&self, letter: Option<&u8>, created: bool, end: Expiry) -> Expiry {
        match letter {
            Some(b'T') => self.touch.unwrap_or(end),
            Some(b'N') if created => self.vivify.unwrap_or(end),
            _ => end,
        }
    }
}
