//! The count of what lives in each segment of the log.

use std::collections::BTreeMap;

use super::journal::Stored;

/// What carrying a message forward does add to one that waits and has no expiry: attempts and a hold.
const CARRY_GROWTH_BYTES: u64 = 16;

/// What lives where. Only records with a body count, a message's or a queue's; see [`records`](crate::records).
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) segments: BTreeMap<u64, Tally>,
    pub(super) all: Tally,
    /// The oldest segment, and the newest when it became that.
    pub(super) oldest_since: (u64, u64),
    /// Live messages are being carried forward until that is worth its price no more.
    pub(super) carrying: bool,
    /// Bytes that died since the bell was rung.
    pub(super) died: u64,
    /// The log has refused something since it was last seen not to be full.
    pub(super) refused: bool,
    /// The disk had no room for a claimed file, and nothing was done about that yet.
    pub(super) disk_ended: bool,
    /// Segments that a batch was refused for, and that carrying may make room for.
    pub(super) wanted: u64,
    pub(super) rung: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) bodies: u64,
    pub(super) bytes: u64,
}

impl Live {
    /// What the bodies take once all were carried forward from consumers' hands.
    pub(super) fn grown(&self) -> u64 {
        self.all.bytes + self.all.bodies * CARRY_GROWTH_BYTES
    }

    pub(super) fn add(&mut self, stored: Stored) {
        for tally in [self.segments.entry(stored.location.segment.into()).or_default(), &mut self.all] {
            tally.bodies += 1;
            tally.bytes += u64::from(stored.bytes);
        }
    }

    /// Says whether that was the last one in the oldest segment with life.
    pub(super) fn remove(&mut self, stored: Stored) -> bool {
        self.all.remove(stored);
        let segment = stored.location.segment.into();
        let Some(tally) = self.segments.get_mut(&segment) else { return false };
        tally.remove(stored);
        if tally.bodies > 0 {
            return false;
        }
        let oldest = self.segments.first_key_value().is_some_and(|(first, _)| *first == segment);
        self.segments.remove(&segment);
        oldest
    }
}

impl Tally {
    fn remove(&mut self, stored: Stored) {
        self.bodies = self.bodies.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(stored.bytes.into());
    }
}
