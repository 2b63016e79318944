//! What claimed files take of the disk that the log has, and when they give it back.

use std::sync::atomic::Ordering::Acquire;

use forebay_core::error::Result;

use super::ledger::After;
use crate::records::message::Claim;
use crate::state::entry::Entry;
use crate::storage::journal::Journal;

impl Journal {
    /// Takes so many bytes of the disk's budget for claimed files, if it has so many segments beside. `TooLarge`: publishes
    /// never get that much.
    pub(crate) fn reserve(&self, bytes: u64, segments: u64) -> Result<()> {
        let segments = bytes.div_ceil(self.segment_bytes) + segments;
        self.check_ever(segments)?;
        let mut live = self.live.lock();
        self.check_space(&mut live, segments)?;
        self.claims.reserve(bytes);
        Ok(())
    }

    /// Segments in use, and what claimed files take, as if they were some.
    pub(crate) fn used(&self) -> u64 {
        self.segments.load(Acquire) + self.claims.bytes().div_ceil(self.segment_bytes)
    }

    /// The disk has no room for a claimed file, whatever its budget says.
    pub(crate) fn disk_ended(&self) {
        let mut live = self.live.lock();
        if !std::mem::replace(&mut live.disk_ended, true) {
            self.ring(&mut live);
        }
    }

    /// Files that were written for nothing are to go.
    pub(crate) fn abandon(&self, claims: impl ExactSizeIterator<Item = Claim>) {
        if claims.len() > 0 {
            claims.for_each(|claim| self.claims.abandon(claim));
            self.ring(&mut self.live.lock());
        }
    }

    /// The message has left all queues, with the record that was appended last or before.
    pub(crate) fn left(&self, entry: &Entry) {
        self.died(entry.stored());
        self.left_behind(entry, After::Durable(self.last()));
    }

    /// A finished message is given up, and no record says so.
    pub(crate) fn given_up(&self, queue: u64, entry: &Entry) {
        self.died(entry.stored());
        self.left_behind(entry, After::Record { queue, position: entry.position });
    }

    fn left_behind(&self, entry: &Entry, after: After) {
        if entry.has_claim() && self.claims.leave(entry.position, after) {
            self.ring(&mut self.live.lock());
        }
    }

    /// Bytes of the message, wherever they lie.
    pub(crate) fn bytes(&self, entry: &Entry) -> usize {
        let claim = if entry.has_claim() { self.claims.get(entry.position) } else { None };
        entry.stored().bytes as usize + claim.map_or(0, |claim| claim.length as usize)
    }
}
