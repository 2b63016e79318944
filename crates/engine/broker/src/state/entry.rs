//! What the broker keeps in memory of one message.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use forebay_core::message::Message;
use forebay_core::time::Instant;
use forebay_log::Position;

use crate::storage::journal::Stored;

/// Where the record with a message's body lies. It changes when the message is carried forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) sequence: u64,
    /// 32 bits, which at 16 MiB a segment is 64 EiB of log, so that an entry stays small.
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl From<Position> for Location {
    fn from(position: Position) -> Self {
        let segment = u32::try_from(position.segment).unwrap_or(u32::MAX);
        Self { sequence: position.sequence, segment, offset: position.offset }
    }
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        Self { sequence: location.sequence, segment: location.segment.into(), offset: location.offset }
    }
}

/// What a message's place among the ready ones depends on, beside its arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rank {
    /// As it was published, whatever the queue tells apart.
    priority: u8,
    key: u32,
}

impl Rank {
    pub(crate) fn of(priority: u8, key: Option<&str>) -> Self {
        Self { priority, key: key.map_or(NO_KEY, hash) }
    }
}

/// Messages of keys that hash alike are kept in one order: that costs some of their concurrency, never an order.
fn hash(key: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    ((hasher.finish() >> 32) as u32).max(1)
}

/// The key of messages that have none.
pub(crate) const NO_KEY: u32 = 0;

/// A moment in 48 bits, which are milliseconds for 8,900 years; later ones are [`NEVER`].
#[derive(Clone, Copy, Debug)]
struct Stamp([u8; 6]);

impl From<Instant> for Stamp {
    fn from(at: Instant) -> Self {
        let [a, b, c, d, e, f, ..] = at.as_ms().min(STAMP_MAX).to_le_bytes();
        Self([a, b, c, d, e, f])
    }
}

impl From<Stamp> for Instant {
    fn from(Stamp([a, b, c, d, e, f]): Stamp) -> Self {
        match u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) {
            STAMP_MAX => NEVER,
            ms => Self::from_ms(ms),
        }
    }
}

const STAMP_MAX: u64 = (1 << 48) - 1;

// The flags of an entry.
const HOLDS_KEY: u8 = 1;
const CLAIM: u8 = 2;
const GONE: u8 = 4;
const WAS_KEPT: u8 = 8;

/// One message in a queue: 56 bytes, whatever the message's size. With what a list grows by ahead of its need, a queued
/// message takes no more than 64.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name and place in the queue.
    pub(crate) position: u64,
    location: Location,
    bytes: u32,
    /// A hash of its key; [`NO_KEY`] where it has none.
    pub(crate) key: u32,
    /// Attempts that were begun; more than can be counted in 16 bits are not told apart.
    pub(crate) attempts: u16,
    /// As it was published.
    pub(crate) priority: u8,
    flags: u8,
    published_at: Stamp,
    expires_at: Stamp,
    /// The message itself while it is kept in memory.
    pub(crate) body: Option<Arc<Message>>,
}

impl Entry {
    /// A message that was never delivered.
    pub(crate) fn new(position: u64, stored: Stored, published_at: Instant, rank: Rank) -> Self {
        Self {
            position,
            location: stored.location,
            bytes: stored.bytes,
            key: rank.key,
            attempts: 0,
            priority: rank.priority,
            flags: 0,
            published_at: published_at.into(),
            expires_at: NEVER.into(),
            body: None,
        }
    }

    /// It keeps other messages with its key waiting.
    pub(crate) fn holds_key(&self) -> bool {
        self.flags & HOLDS_KEY != 0
    }

    /// Says whether it does from now on, and returns whether it did.
    pub(crate) fn set_holds_key(&mut self, holds: bool) -> bool {
        let held = self.holds_key();
        self.flags = if holds { self.flags | HOLDS_KEY } else { self.flags & !HOLDS_KEY };
        held
    }

    /// The log has only a claim to its payload.
    pub(crate) fn has_claim(&self) -> bool {
        self.flags & CLAIM != 0
    }

    pub(crate) fn set_claim(&mut self) {
        self.flags |= CLAIM;
    }

    /// Takes it out of its place in a list, where a mark with its position stays.
    pub(super) fn leave(&mut self) -> Self {
        let was_kept = if self.body.is_some() { WAS_KEPT } else { 0 };
        let mark = Self { flags: GONE | was_kept, body: None, ..*self };
        std::mem::replace(self, mark)
    }

    /// It is only the mark of one that has left.
    pub(super) fn is_gone(&self) -> bool {
        self.flags & GONE != 0
    }

    /// Its body is kept or, if it has left, was kept then.
    pub(super) fn counts_as_kept(&self) -> bool {
        self.body.is_some() || self.flags & WAS_KEPT != 0
    }

    /// The mark of one that has left counts as one without a body from now on.
    pub(super) fn count_as_cold(&mut self) {
        self.flags &= !WAS_KEPT;
    }

    /// When the queue took it.
    pub(crate) fn published_at(&self) -> Instant {
        self.published_at.into()
    }

    /// [`NEVER`] for most. Set aside from the message's own, because a dead letter expires no more.
    /// It was published no later than then.
    pub(crate) fn publish_by(&mut self, latest: Instant) {
        self.published_at = self.published_at().min(latest).into();
    }

    pub(crate) fn expires_at(&self) -> Instant {
        self.expires_at.into()
    }

    pub(crate) fn expire_at(&mut self, at: Instant) {
        self.expires_at = at.into();
    }

    /// The record with its body.
    pub(crate) fn stored(&self) -> Stored {
        Stored { location: self.location, bytes: self.bytes }
    }

    /// Its body lies elsewhere from now on.
    pub(crate) fn carried(&mut self, to: Stored) {
        self.location = to.location;
        self.bytes = to.bytes;
    }
}

/// The end of time.
pub(crate) const NEVER: Instant = Instant::from_ms(u64::MAX);

const _: () = assert!(size_of::<Entry>() == 56);

/// A message for tests, that lies nowhere.
#[cfg(test)]
pub(crate) fn at(position: u64, rank: Rank) -> Entry {
    let location = Location { sequence: position, segment: 1, offset: 0 };
    Entry::new(position, Stored { location, bytes: 1 }, Instant::from_ms(9), rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_and_those_beyond_all_use_are_never() {
        let mut entry = at(1, Rank::default());
        assert_eq!((entry.expires_at(), entry.published_at().as_ms()), (NEVER, 9));
        for ms in [0, 1_800_000_000_123, STAMP_MAX - 1] {
            entry.expire_at(Instant::from_ms(ms));
            assert_eq!(entry.expires_at().as_ms(), ms);
        }
        entry.expire_at(Instant::from_ms(STAMP_MAX + 5));
        assert_eq!(entry.expires_at(), NEVER);
    }

    #[test]
    fn a_key_is_told_from_none_and_from_others() {
        let key = |key| Rank::of(0, key).key;
        assert_eq!(key(None), NO_KEY);
        assert_eq!(key(Some("a")), key(Some("a")));
        assert!(key(Some("a")) != key(Some("b")) && key(Some("")) != NO_KEY);
    }
}
