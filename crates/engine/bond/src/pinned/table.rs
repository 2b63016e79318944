//! All pinned results in memory: the truth, of which the log is the copy that survives.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use forebay_core::entry::State;
use forebay_core::limits::memory::{PINNED_LEASE_STRIPES, SWEEP_DROPPED_MAX};
use forebay_core::stats::PinnedStats;
use forebay_core::time::Instant;
use forebay_log::Position;

use super::entry::{Entry, Key, charge, gone_charge};
use super::record::Head;
use super::unkept::Unkept;

/// The results, what of them is not durable yet, and where the rest lies.
///
/// The budget covers every result, and every removed key whose removal is not durable; so what waits for the disk is
/// bounded as well.
pub(super) struct Table {
    pub(super) entries: HashMap<Key, Entry>,
    /// By the end of life.
    ends: BTreeSet<(Instant, Key)>,
    /// By where their durable records lie, with the segment: oldest first.
    order: BTreeMap<u64, (u64, Key)>,
    pub(super) unkept: Unkept,
    bytes: usize,
    bytes_max: usize,
    pub(super) value_bytes_max: usize,
    version: u64,
    /// The highest version known to be gone, by stripe of keys.
    floors: Box<[u64]>,
    /// Set while the disk takes nothing.
    pub(super) refuses: bool,
    refused: u64,
    expired: u64,
}

/// Why an entry goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its time is over. The disk has that already: it has the end of life.
    Over,
    /// Somebody removed it, which the disk must learn.
    Removed,
}

impl Table {
    /// Empty; its versions are above `version`.
    pub(super) fn new(bytes_max: usize, value_bytes_max: usize, version: u64) -> Self {
        Self {
            entries: HashMap::new(),
            ends: BTreeSet::new(),
            order: BTreeMap::new(),
            unkept: Unkept::default(),
            bytes: 0,
            bytes_max,
            value_bytes_max,
            version,
            floors: vec![version; PINNED_LEASE_STRIPES].into(),
            refuses: false,
            refused: 0,
            expired: 0,
        }
    }

    /// Takes in a record of the log, in the log's order. What is over by now was over by then, or will be before it is asked
    /// for: so there is never more in memory than there was when the records were written.
    pub(super) fn restore(&mut self, head: Head, key: &[u8], value: &[u8], position: Position, now: Instant) {
        self.version = self.version.max(head.version);
        if self.entries.contains_key(key) {
            self.remove(key, Cause::Over);
        }
        let Some(kept) = head.kept else { return };
        let entry = Entry::new(Arc::from(value), kept, head.version, now);
        if entry.is_over(now) {
            return;
        }
        let key = self.insert(key, entry);
        self.lies(&key, position);
    }

    /// All records are in. Nothing before now is a version or lease of this life.
    pub(super) fn begin(&mut self) {
        self.expired = 0;
        self.version += 1;
        self.floors.fill(self.version);
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn stripe(&self, key: &[u8]) -> usize {
        self.entries.hasher().hash_one(key) as usize % self.floors.len()
    }

    pub(super) fn floor(&self, key: &[u8]) -> u64 {
        self.floors.get(self.stripe(key)).copied().unwrap_or(u64::MAX)
    }

    pub(super) fn raise_floor(&mut self, key: &[u8], version: u64) {
        let stripe = self.stripe(key);
        if let Some(floor) = self.floors.get_mut(stripe) {
            *floor = version.max(*floor);
        }
    }

    /// Whether the key is there. One whose time is over is dropped.
    pub(super) fn find(&mut self, key: &[u8], now: Instant) -> bool {
        match self.entries.get(key) {
            None => false,
            Some(entry) if entry.is_over(now) => {
                self.remove(key, Cause::Over);
                false
            }
            Some(_) => true,
        }
    }

    /// Puts an entry in place of whatever is there, whose record on the disk stays its record until it has a newer one.
    pub(super) fn insert(&mut self, key: &[u8], mut entry: Entry) -> Key {
        let known = self.entries.get_key_value(key).map(|(key, before)| (key.clone(), before.position));
        let (key, position) = known.unwrap_or_else(|| (Arc::from(key), None));
        entry.position = position;
        if let Some(end) = entry.expires_at {
            self.ends.insert((end, key.clone()));
        }
        self.bytes += charge(key.len(), entry.value.len());
        let after = entry.expires_at;
        match self.entries.insert(key.clone(), entry) {
            Some(before) => {
                self.bytes -= charge(key.len(), before.value.len());
                if let Some(end) = before.expires_at.filter(|end| Some(*end) != after) {
                    self.ends.remove(&(end, key.clone()));
                }
            }
            None if self.unkept.place(&key).is_some() => self.bytes -= gone_charge(key.len()),
            None => {}
        }
        key
    }

    /// Gives the entry another end of life. True if it is another.
    pub(super) fn set_end(&mut self, key: &[u8], end: Option<Instant>) -> bool {
        let Some((key, _)) = self.entries.get_key_value(key) else { return false };
        let key = key.clone();
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        let before = std::mem::replace(&mut entry.expires_at, end);
        if before == end {
            return false;
        }
        if let Some(before) = before {
            self.ends.remove(&(before, key.clone()));
        }
        if let Some(end) = end {
            self.ends.insert((end, key));
        }
        true
    }

    /// The disk must learn how the key is now.
    pub(super) fn mark(&mut self, key: &[u8]) {
        if let Some((key, entry)) = self.entries.get_key_value(key)
            && entry.state != State::Leased
        {
            self.unkept.mark(key);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8], cause: Cause) {
        let Some((key, entry)) = self.entries.remove_entry(key) else { return };
        self.bytes -= charge(key.len(), entry.value.len());
        self.raise_floor(&key, entry.version);
        if let Some(end) = entry.expires_at {
            self.ends.remove(&(end, key.clone()));
        }
        if let Some(position) = entry.position {
            self.order.remove(&position.sequence);
        }
        match cause {
            Cause::Over => self.expired += 1,
            // A placeholder never was on the disk.
            Cause::Removed if entry.state == State::Leased => {}
            Cause::Removed => self.unkept.mark(&key),
        }
        if self.unkept.place(&key).is_some() {
            self.bytes += gone_charge(key.len());
        }
    }

    /// Whether there is room for a value of this length under the key. Room is made of what is over, and of nothing else.
    pub(super) fn has_room(&mut self, key: &[u8], value_len: usize, now: Instant) -> bool {
        if self.refuses {
            return false;
        }
        let new = charge(key.len(), value_len);
        let old = match self.entries.get(key) {
            Some(entry) => charge(key.len(), entry.value.len()),
            None if self.unkept.place(key).is_some() => gone_charge(key.len()),
            None => 0,
        };
        let fits = |bytes: usize, max: usize| new <= old || bytes - old + new <= max;
        if !fits(self.bytes, self.bytes_max) {
            self.sweep(now);
        }
        fits(self.bytes, self.bytes_max)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn count_refusal(&mut self) {
        self.refused += 1;
    }

    /// Drops what is over, a bounded number at a time; how many.
    pub(super) fn sweep(&mut self, now: Instant) -> usize {
        let mut dropped = 0;
        while dropped < SWEEP_DROPPED_MAX {
            let Some((_, key)) = self.ends.first().filter(|(end, _)| *end <= now).cloned() else { break };
            self.remove(&key, Cause::Over);
            dropped += 1;
        }
        dropped
    }

    /// A record of the key is durable, and is the newest one that is.
    pub(super) fn lies(&mut self, key: &[u8], position: Position) {
        let Some((key, _)) = self.entries.get_key_value(key) else { return };
        let key = key.clone();
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(before) = entry.position.replace(position) {
            self.order.remove(&before.sequence);
        }
        self.order.insert(position.sequence, (position.segment, key));
    }

    /// What was taken of the key at this place is durable.
    pub(super) fn keep(&mut self, key: &[u8], place: u64) {
        if self.unkept.keep(key, place) && !self.entries.contains_key(key) {
            self.bytes -= gone_charge(key.len());
        }
    }

    /// The oldest segment in which a result lies.
    pub(super) fn oldest_segment(&self) -> Option<u64> {
        self.order.first_key_value().map(|(_, (segment, _))| *segment)
    }

    /// The keys that lie in the oldest segments, oldest first, up to this one.
    pub(super) fn lying_up_to(&self, segment: u64) -> impl Iterator<Item = &Key> {
        self.order.values().take_while(move |(of, _)| *of <= segment).map(|(_, key)| key)
    }

    pub(super) fn stats(&self) -> PinnedStats {
        PinnedStats {
            items: self.entries.len() as u64,
            bytes: self.bytes as u64,
            bytes_max: self.bytes_max as u64,
            refused: self.refused,
            expired: self.expired,
            ..PinnedStats::default()
        }
    }
}

#[cfg(test)]
impl Table {
    /// That all its parts say the same.
    pub(super) fn check(&self) {
        let live: usize = self.entries.iter().map(|(key, entry)| charge(key.len(), entry.value.len())).sum();
        let gone = self.unkept.keys().filter(|key| !self.entries.contains_key(*key));
        assert_eq!(self.bytes, live + gone.map(|key| gone_charge(key.len())).sum::<usize>());
        let ends = self.entries.iter().filter_map(|(key, entry)| Some((entry.expires_at?, key.clone())));
        assert_eq!(self.ends, ends.collect());
        let order = self.entries.iter().filter_map(|(key, entry)| {
            let position = entry.position?;
            Some((position.sequence, (position.segment, key.clone())))
        });
        assert_eq!(self.order, order.collect());
    }
}
