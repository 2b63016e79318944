//! What the log knows under its lock: where the next record goes, which segments there are, and whether there is room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use forebay_core::error::{Error, Kind, Result};

use crate::append::batch::Batch;
use crate::append::room::{Class, Lines};
use crate::format::{self, RecordHeader};
use crate::log::Position;
use crate::segment::Segment;

/// Everything behind the log's lock.
pub(crate) struct State {
    /// The segment that the next record goes to, and where in it.
    pub(crate) tail: Arc<Segment>,
    pub(crate) tail_offset: u32,
    pub(crate) next_sequence: u64,
    /// Records that wait for the writer.
    pub(crate) open: Batch,
    /// Records that the writer has in hand.
    pub(crate) in_flight: Option<Arc<Batch>>,
    /// A buffer for the next batch.
    pub(crate) spare_buffer: Vec<u8>,
    /// Segments with records, the tail included.
    pub(crate) live: BTreeMap<u64, Live>,
    /// Damaged stretches that were found in them, by segment.
    pub(crate) damaged: BTreeMap<u64, u64>,
    /// The sum of their lengths.
    pub(crate) live_bytes: u64,
    /// Segments ready to become the tail, in order.
    pub(crate) prepared: VecDeque<Arc<Segment>>,
    /// Files to be used again or removed, the oldest first.
    pub(crate) retired: VecDeque<Retired>,
    /// Who waits for room.
    pub(crate) lines: Lines,
    /// A segment is being made ready just now.
    pub(crate) preparing: bool,
    /// The last attempt to make one found no room.
    pub(crate) no_room: bool,
    /// Why that attempt failed, unless the budget was at its end.
    pub(crate) not_prepared: Option<(Kind, String)>,
    /// An append was refused for want of space, and none has returned yet.
    pub(crate) refusing: bool,
    pub(crate) phase: Phase,
    /// What the closing record says of earlier ends.
    pub(crate) in_doubt: u64,
    /// The closing record has been appended.
    pub(crate) said_closed: bool,
    /// What failed, once a write or sync has.
    pub(crate) poison: Option<String>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) syncs: u64,
    pub(crate) sync_ns: u64,
    /// What the next batch may be held open for.
    pub(crate) gather: Gather,
    /// The caller's own files.
    pub(crate) beside: Beside,
}

/// Files beside the log that its records refer to: the caller's, but on the same disk and of the same worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// What they take; it counts against the log's disk budget.
    pub bytes: u64,
    /// How many of them are known to be damaged.
    pub damaged: u64,
}

/// How far the log's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Appends are taken.
    Running,
    /// No more appends; the writer finishes.
    Closing,
    /// The writer has finished.
    Closed,
}

/// A segment with records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) epoch: u64,
    /// Length of its file.
    pub(crate) bytes: u32,
    /// Where its records end.
    pub(crate) end: u32,
    /// The last sequence in it; 0 while it has none.
    pub(crate) last: u64,
}

/// A file that holds nothing of use any more.
#[derive(Clone, Debug)]
pub(crate) struct Retired {
    pub(crate) name: String,
    /// The number it had, for the name of the spare.
    pub(crate) number: u64,
    pub(crate) bytes: u64,
}

/// How many records are expected at most to come together for the next batch, and until when they are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    pub(crate) records: u32,
    pub(crate) until: Instant,
}

impl State {
    /// A log that goes on at `tail_offset` of `tail`.
    pub(crate) fn new(
        tail: Arc<Segment>,
        tail_offset: u32,
        next_sequence: u64,
        live: BTreeMap<u64, Live>,
        prepared: VecDeque<Arc<Segment>>,
        retired: VecDeque<Retired>,
    ) -> Self {
        Self {
            tail,
            tail_offset,
            next_sequence,
            open: Batch::default(),
            in_flight: None,
            spare_buffer: Vec::new(),
            live_bytes: live.values().map(|live| u64::from(live.bytes)).sum(),
            live,
            damaged: BTreeMap::new(),
            prepared,
            retired,
            lines: Lines::default(),
            preparing: false,
            no_room: false,
            not_prepared: None,
            refusing: false,
            phase: Phase::Running,
            in_doubt: 0,
            said_closed: false,
            poison: None,
            records: 0,
            bytes: 0,
            syncs: 0,
            sync_ns: 0,
            gather: Gather { records: 0, until: Instant::now() },
            beside: Beside::default(),
        }
    }

    /// Encodes a record into the open batch, into the next segment if it does not fit the present one. There must be
    /// room for it: see [`fit`](Self::fit).
    pub(crate) fn place(&mut self, kind: u8, parts: &[&[u8]], body_checksum: u32) -> Position {
        let length = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let size = format::record_size(length);
        if u64::from(self.tail.bytes - self.tail_offset) < size
            && let Some(next) = self.prepared.pop_front()
        {
            let live =
                Live { epoch: next.epoch, bytes: next.bytes, end: format::SEGMENT_HEADER_BYTES, last: 0 };
            self.live_bytes += u64::from(next.bytes);
            self.live.insert(next.number, live);
            self.tail = next;
            self.tail_offset = format::SEGMENT_HEADER_BYTES;
        }
        let position =
            Position { sequence: self.next_sequence, segment: self.tail.number, offset: self.tail_offset };
        let header = RecordHeader {
            body_checksum,
            length: length as u32,
            kind,
            before: 0,
            sequence: position.sequence,
        };
        self.open.push(&self.tail, position.offset, header, parts, &mut self.spare_buffer);
        self.next_sequence += 1;
        self.tail_offset += size as u32;
        self.records += 1;
        self.bytes += size;
        if let Some(live) = self.live.get_mut(&position.segment) {
            live.end = self.tail_offset;
            live.last = position.sequence;
        }
        position
    }

    /// Bytes appended and not yet durable.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.open.bytes + self.in_flight.as_ref().map_or(0, |batch| batch.bytes)
    }

    /// Bytes of all files, those beside the log included.
    pub(crate) fn disk_bytes(&self) -> u64 {
        let prepared: u64 = self.prepared.iter().map(|segment| u64::from(segment.bytes)).sum();
        let retired: u64 = self.retired.iter().map(|retired| retired.bytes).sum();
        self.live_bytes + prepared + retired + self.beside.bytes
    }

    /// The number of the next segment to be made.
    pub(crate) fn next_number(&self) -> u64 {
        self.prepared.back().map_or(self.tail.number, |segment| segment.number) + 1
    }

    /// True while ordinary appends are refused for want of space.
    pub(crate) fn is_full(&self) -> bool {
        self.refusing && !self.takes_new()
    }

    /// True if even a record that needs the next segment leaves enough of them.
    pub(crate) fn takes_new(&self) -> bool {
        self.prepared.len() > Class::New.leaves()
    }

    /// True while the open batch is worth holding for more. An empty one is not: nobody waits for it.
    pub(crate) fn expects_more(&self, now: Instant) -> bool {
        let begun = !self.open.is_empty() && self.phase == Phase::Running && self.poison.is_none();
        begun && self.open.records < self.gather.records && now < self.gather.until
    }

    /// The error that everything gets after a failed write or sync.
    pub(crate) fn check_poison(&self, operation: &'static str) -> Result<()> {
        match &self.poison {
            Some(what) => Err(Error::new(Kind::Poisoned, operation, what.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_contract::files::Saboteur;

    use super::*;
    use crate::append::room::Fit;
    use crate::options::LogOptions;

    #[test]
    fn a_batch_is_held_only_for_as_many_as_may_come_back_and_only_for_its_moment() {
        let tail = Segment::create(&Saboteur::new(), 1, 512).unwrap();
        let mut state = State::new(Arc::new(tail), 64, 1, BTreeMap::new(), VecDeque::new(), VecDeque::new());
        let now = Instant::now();
        let until = now + Duration::from_micros(50);
        state.gather = Gather { records: 2, until };
        assert!(!state.expects_more(now), "nobody waits");
        state.place(1, &[], 0);
        assert!(state.expects_more(now) && !state.expects_more(until));
        state.phase = Phase::Closing;
        assert!(!state.expects_more(now), "the log is closing");
        state.phase = Phase::Running;
        state.place(1, &[], 0);
        assert!(!state.expects_more(now), "all are there");
    }

    #[test]
    fn a_batch_takes_no_more_records_than_their_headers_can_count() {
        let tail = Segment::create(&Saboteur::new(), 1, 512).unwrap();
        let mut state = State::new(Arc::new(tail), 64, 1, BTreeMap::new(), VecDeque::new(), VecDeque::new());
        state.open.records = format::BATCH_RECORDS_MAX - 1;
        let fit = |state: &State| state.fit(Class::Free, &[24], &LogOptions::default());
        assert_eq!(fit(&state), Fit::Now);
        state.place(1, &[], 0);
        assert!(matches!(fit(&state), Fit::Soon(_)));
    }
}
