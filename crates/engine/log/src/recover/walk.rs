//! Reads segments in order and replays their records until the log ends, or something is missing.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::files::Files;

use super::aside;
use super::directory::Source;
use super::probe::{self, Found};
use crate::format::{
    CLOSED, Frame, KINDS, OPENED, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SET_ASIDE,
};
use crate::log::{Position, Record};
use crate::options::Damaged;

/// The opening record, header and body.
const FIRST_RECORD_BYTES: usize = RECORD_HEADER_BYTES as usize + 8;

/// A stretch of a segment, by the segment's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) index: usize,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Per segment up to the last one with records: where its records end, and its last sequence.
    pub(crate) ends: Vec<(u32, u64)>,
    /// The sequence that would come next; `None` if there is no record at all.
    pub(crate) expected: Option<u64>,
    /// The greatest sequence that damage at the end may have held.
    pub(crate) used: u64,
    /// The last record is a closing one, and nothing lies behind it.
    pub(crate) clean: bool,
    /// What the last closing record says: the last sequence of a life that did not end in good order.
    pub(crate) in_doubt: u64,
    /// Where the last batch lies. It was perhaps never synced.
    pub(crate) last_batch: Vec<Stretch>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) torn_bytes: u64,
    pub(crate) set_aside: u64,
}

/// The walk itself.
pub(crate) struct Walk<'a> {
    files: &'a dyn Files,
    sources: &'a mut Vec<Source>,
    damaged: Damaged,
    replay: &'a mut dyn FnMut(Record<'_>) -> Result<()>,
    walked: Walked,
    /// First sequence of the last accepted record's batch.
    batch_first: u64,
}

/// What lies behind a bad place.
struct Behind {
    /// The first sequence that is missing.
    missing: u64,
    /// Why it had been durable, if that is certain.
    proof: Option<String>,
    /// Where whole records go on.
    next: Option<(usize, Found)>,
    /// The greatest sequence that may have been used in it.
    used: u64,
    /// Bytes of records found.
    bytes: u64,
}

impl<'a> Walk<'a> {
    /// A walk over `sources`, to which it adds replacements of missing ones.
    pub(crate) fn new(
        files: &'a dyn Files,
        sources: &'a mut Vec<Source>,
        damaged: Damaged,
        replay: &'a mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Self {
        Self { files, sources, damaged, replay, walked: Walked::default(), batch_first: 0 }
    }

    /// Replays everything that was confirmed, and whatever else is whole.
    pub(crate) fn run(mut self) -> Result<Walked> {
        let mut segment = Vec::new();
        let (mut index, mut offset) = (0, SEGMENT_HEADER_BYTES);
        while let Some(source) = self.sources.get(index).cloned() {
            source.load(self.files, &mut segment)?;
            offset = self.records(index, &source, &segment, offset)?;
            if self.leads_on(index + 1)? {
                (index, offset) = (index + 1, SEGMENT_HEADER_BYTES);
                continue;
            }
            let behind = self.behind(index, offset)?;
            let Some(proof) = &behind.proof else {
                self.walked.torn_bytes = behind.bytes;
                self.walked.clean &= behind.bytes == 0;
                break;
            };
            let error = Error::new(Kind::Damaged, "recover log", self.place(index, offset, &behind))
                .because(format!("record {} does not verify, though {proof}", behind.missing));
            if self.damaged == Damaged::Refuse {
                return Err(error);
            }
            tracing::error!(%error, "damaged place set aside");
            self.walked.set_aside += 1;
            self.set_aside(index, offset, &behind)?;
            if behind.next.is_none() {
                self.walked.used = behind.used;
                self.walked.clean = false;
                break;
            }
        }
        Ok(self.walked)
    }

    /// Replays the records of one segment from `offset` on, and returns where they end.
    fn records(&mut self, index: usize, source: &Source, segment: &[u8], mut offset: u32) -> Result<u32> {
        if self.walked.ends.len() == index {
            self.walked.ends.push((offset, 0));
        }
        while let Some(frame) = Frame::at(segment, source.epoch, offset) {
            let Some(body) = frame.body.filter(|_| self.follows(&frame)) else { break };
            let position = Position { sequence: frame.header.sequence, segment: source.number, offset };
            let end = offset + frame.header.size() as u32;
            self.accept(index, frame.header, position, end);
            if frame.header.kind == CLOSED {
                // Records of older programs have no body, and tell of none.
                self.walked.in_doubt = body.try_into().map_or(0, u64::from_le_bytes);
            }
            if KINDS.contains(&frame.header.kind) {
                self.walked.records += 1;
                self.walked.bytes += body.len() as u64;
                (self.replay)(Record { position, kind: frame.header.kind, body })?;
            }
            offset = end;
        }
        Ok(offset)
    }

    fn accept(&mut self, index: usize, header: RecordHeader, position: Position, end: u32) {
        let walked = &mut self.walked;
        walked.expected = Some(header.sequence + 1);
        walked.clean = header.kind == CLOSED;
        if let Some(present) = walked.ends.last_mut() {
            *present = (end, header.sequence);
        }
        if self.batch_first != header.batch_first() {
            self.batch_first = header.batch_first();
            walked.last_batch.clear();
        }
        match walked.last_batch.last_mut().filter(|stretch| stretch.index == index) {
            Some(stretch) => stretch.to = end,
            None => walked.last_batch.push(Stretch { index, from: position.offset, to: end }),
        }
    }

    /// Whether a whole record is the one that must come next.
    fn follows(&self, frame: &Frame<'_>) -> bool {
        let Some(expected) = self.walked.expected else { return true };
        match frame.header.kind {
            // A life begins where the one before it ended; what that one lost was never confirmed.
            OPENED => frame.header.sequence >= expected && frame.after() == expected - 1,
            // Several may cover one gap.
            SET_ASIDE => frame.header.sequence + 1 >= expected,
            _ => frame.header.sequence == expected,
        }
    }

    /// Whether the segment at `index` begins with the record that must come next.
    fn leads_on(&self, index: usize) -> Result<bool> {
        let Some(source) = self.sources.get(index) else { return Ok(false) };
        // Enough for an opening record. Of any other the header must do; the walk looks at the rest.
        let mut bytes = [0; FIRST_RECORD_BYTES];
        self.files.open(&source.name())?.read_at(&mut bytes, u64::from(SEGMENT_HEADER_BYTES))?;
        let header = bytes.first_chunk();
        let header =
            header.and_then(|header| RecordHeader::decode(header, source.epoch, SEGMENT_HEADER_BYTES));
        let Some(header) = header else { return Ok(false) };
        let frame = Frame { header, body: bytes.get(RECORD_HEADER_BYTES as usize..) };
        Ok(self.walked.expected.is_some() && self.follows(&frame))
    }

    /// Searches everything from a bad place on, until it is certain what the place is and where records go on.
    fn behind(&self, index: usize, offset: u32) -> Result<Behind> {
        let mut behind =
            Behind { missing: self.walked.expected.unwrap_or(0), proof: None, next: None, used: 0, bytes: 0 };
        let mut known = self.walked.expected.is_some();
        let mut from = offset;
        let mut segment = Vec::new();
        let mut before = None;
        for (index, source) in self.sources.iter().enumerate().skip(index) {
            let holes = before.map_or(0, |number: u64| source.number - number - 1);
            if holes > 0 {
                let hole = || format!("{} is there and a segment before it is not", source.name());
                behind.proof.get_or_insert_with(hole);
                if holes > limits::log::SEGMENTS_MISSING_MAX {
                    let what = format!("{holes} segments before {}", source.name());
                    return Err(
                        Error::new(Kind::Damaged, "recover log", what).because("too many are missing")
                    );
                }
                let records_max = holes * u64::from(source.bytes / RECORD_HEADER_BYTES);
                behind.used = behind.used.max(behind.missing) + records_max;
            }
            before = Some(source.number);
            source.load(self.files, &mut segment)?;
            for found in probe::search(&segment, source.epoch, from) {
                if !known {
                    // Nothing came before: missing is the record before this one, or this one itself.
                    behind.missing = found.sequence - u64::from(found.whole);
                    known = true;
                }
                behind.bytes += u64::from(found.size);
                behind.used = behind.used.max(found.sequence);
                if found.batch_first > behind.missing {
                    let later = || {
                        format!(
                            "record {} in {} was written after it had been synced",
                            found.sequence,
                            source.name()
                        )
                    };
                    behind.proof.get_or_insert_with(later);
                }
                if found.whole && behind.next.is_none() {
                    behind.next = Some((index, found));
                }
                if behind.proof.is_some() && behind.next.is_some() {
                    return Ok(behind);
                }
            }
            from = SEGMENT_HEADER_BYTES;
        }
        Ok(behind)
    }

    /// Where the first missing record was: behind the last whole one or, if that was the segment's last, at the start
    /// of the next segment.
    fn place(&self, index: usize, offset: u32, behind: &Behind) -> String {
        let here = self.sources.get(index).map(Source::name).unwrap_or_default();
        let whole_next = (index + 1, SEGMENT_HEADER_BYTES);
        match (self.sources.get(index + 1), &behind.next) {
            (Some(next), Some((at, found))) if *at > index && (*at, found.offset) != whole_next => {
                format!("{here} at {offset} or {} at {SEGMENT_HEADER_BYTES}", next.name())
            }
            _ => format!("{here} at {offset}"),
        }
    }

    /// Copies everything between a bad place and the next whole record, and covers it, so that the walk goes on over
    /// the cover. Without a next record the log ends at the bad place, and nothing needs to be covered.
    fn set_aside(&mut self, index: usize, offset: u32, behind: &Behind) -> Result<()> {
        let last = behind.next.map_or(self.sources.len() - 1, |(index, _)| index);
        let mut covered = behind.next.is_none();
        let mut segment = Vec::new();
        for (at, source) in self.sources.iter().enumerate().take(last + 1).skip(index) {
            source.load(self.files, &mut segment)?;
            let from = if at == index { offset } else { SEGMENT_HEADER_BYTES };
            let to = behind.next.filter(|_| at == last).map_or(source.bytes, |(_, found)| found.offset);
            let stretch = segment.get(from as usize..to as usize).unwrap_or_default();
            aside::copy(self.files, source.number, stretch, from)?;
            if let Some((_, next)) = behind.next.filter(|_| to - from >= RECORD_HEADER_BYTES) {
                aside::cover(self.files, source, stretch, from, &next)?;
                covered = true;
            }
        }
        for at in (index..last).rev() {
            let (Some(one), Some(two)) = (self.sources.get(at), self.sources.get(at + 1)) else { continue };
            let missing = one.number + 1..two.number;
            if let Some((_, next)) = behind.next.filter(|_| !missing.is_empty()) {
                let replaced = aside::replace_missing(self.files, missing, one.bytes, &next)?;
                self.sources.splice(at + 1..at + 1, replaced);
                covered = true;
            }
        }
        if covered { Ok(()) } else { Err(Error::new(Kind::Damaged, "set aside", "a gap without a place")) }
    }
}
