//! One pinned result in memory.

use std::sync::Arc;

use forebay_core::entry::{Claim, Expiry, Read, State, Version, View};
use forebay_core::time::Instant;
use forebay_log::Position;

use super::record::{Head, Kept};

/// A key, shared by all places that have it.
pub(super) type Key = Arc<[u8]>;

/// What a result takes beside its key and value: its places in five collections that have just grown, and allocations.
pub(super) const ENTRY_BYTES: usize = 512;
/// What the key of a removed result takes until its removal is durable.
const GONE_BYTES: usize = 256;
/// What its record takes on the disk beside key and value.
const RECORD_BYTES: usize = 64;
/// A counter grows within this, so that counting needs no room.
const COUNTER_BYTES: usize = 20;

/// What a result takes in the budget.
pub(super) fn charge(key_len: usize, value_len: usize) -> usize {
    ENTRY_BYTES + key_len + value_len.max(COUNTER_BYTES)
}

/// What a removed one takes until that is durable; less than it took before, so that removing needs no room.
pub(super) fn gone_charge(key_len: usize) -> usize {
    GONE_BYTES + key_len
}

/// A result. Whether it was read, and who is to load it, is known to this process only.
pub(super) struct Entry {
    pub(super) value: Arc<[u8]>,
    pub(super) flags: u32,
    pub(super) version: u64,
    pub(super) expires_at: Expiry,
    pub(super) state: State,
    pub(super) claimed: bool,
    pub(super) read: bool,
    pub(super) accessed_at: Instant,
    /// Where the last durable record of it lies.
    pub(super) position: Option<Position>,
}

impl Entry {
    pub(super) fn new(value: Arc<[u8]>, kept: Kept, version: u64, now: Instant) -> Self {
        Self {
            value,
            flags: kept.flags,
            version,
            expires_at: kept.expires_at,
            state: kept.state(),
            claimed: false,
            read: false,
            accessed_at: second(now),
            position: None,
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// As it goes to the disk. A placeholder is nothing yet.
    pub(super) fn head(&self) -> Head {
        let (flags, expires_at, stale) = (self.flags, self.expires_at, self.state == State::Stale);
        let kept = (self.state != State::Leased).then_some(Kept { flags, expires_at, stale });
        Head { version: self.version, kept }
    }

    pub(super) fn view(&self, claim: Claim) -> View<'_> {
        View {
            value: &self.value,
            flags: self.flags,
            version: Version(self.version),
            expires_at: self.expires_at,
            state: self.state,
            claim,
            read_before: self.read,
            accessed_at: self.accessed_at,
        }
    }

    /// One reader wins what needs loading; everybody after it has lost until the entry is written. A reader that asks for
    /// no lease in any form would not load, and is never granted one.
    pub(super) fn claim(&mut self, read: &Read) -> Claim {
        if self.claimed {
            return Claim::Lost;
        }
        let would_load = read.lease.is_some() || read.refresh_below_ms.is_some();
        let ends_soon = match (self.expires_at, read.refresh_below_ms) {
            (Some(at), Some(below)) => at.since(read.now).as_millis() < u128::from(below),
            _ => false,
        };
        if would_load && (self.state != State::Fresh || ends_soon) {
            self.claimed = true;
            return Claim::Won;
        }
        Claim::None
    }
}

/// Accesses are known to the second.
pub(super) fn second(now: Instant) -> Instant {
    Instant::from_ms(now.as_ms() / 1_000 * 1_000)
}

/// What results take on the disk at most, given what they take in the budget.
pub(super) fn live_bytes(entries: usize, bytes: usize) -> usize {
    bytes.saturating_sub(entries * (ENTRY_BYTES - RECORD_BYTES))
}
