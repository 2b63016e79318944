//! Reads segments in order and replays their records until the log ends, or something is missing.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::Files;

use super::probe::{self, Found};
use crate::format::{
    CLOSED, Frame, KINDS, OPENED, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SET_ASIDE,
};
use crate::log::{Position, Record};
use crate::options::Damaged;

/// A segment file whose header verified.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) epoch: u64,
    /// Length of the file.
    pub(crate) bytes: u32,
}

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
    /// The last record is a closing one, and nothing lies behind it.
    pub(crate) clean: bool,
    /// Where the last batch lies. It was perhaps never synced.
    pub(crate) last_batch: Vec<Stretch>,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) torn_bytes: u64,
    pub(crate) set_aside: u64,
}

/// The walk itself.
pub(crate) struct Walk<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) sources: &'a [Source],
    pub(crate) damaged: Damaged,
    pub(crate) replay: &'a mut dyn FnMut(Record<'_>) -> Result<()>,
    pub(crate) walked: Walked,
    /// First sequence of the last accepted record's batch.
    batch_first: u64,
}

/// What lies behind a bad place.
struct Behind {
    /// The first sequence that is missing.
    missing: u64,
    /// A record that was written only after the missing one had been synced, or a hole among the segments.
    proof: Option<String>,
    /// Where whole records go on.
    next: Option<(usize, Found)>,
    /// Bytes of records found.
    bytes: u64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        files: &'a dyn Files,
        sources: &'a [Source],
        damaged: Damaged,
        replay: &'a mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Self {
        Self { files, sources, damaged, replay, walked: Walked::default(), batch_first: 0 }
    }

    /// Replays everything that was confirmed, and whatever else is whole.
    pub(crate) fn run(mut self) -> Result<Walked> {
        let mut segment = Vec::new();
        let mut index = 0;
        while let Some(source) = self.sources.get(index) {
            load(self.files, source, &mut segment)?;
            let offset = self.records(index, source, &segment)?;
            if self.leads_on(index + 1)? {
                index += 1;
                continue;
            }
            let behind = self.behind(index, offset)?;
            if let Some(proof) = behind.proof {
                return Err(Error::new(
                    Kind::Damaged,
                    "recover log",
                    format!(
                        "{} at {offset}: record {} does not verify, though {proof}",
                        source.name, behind.missing
                    ),
                ));
            }
            self.walked.torn_bytes = behind.bytes;
            self.walked.clean &= behind.bytes == 0;
            break;
        }
        Ok(self.walked)
    }

    /// Replays the records of one segment and returns where they end.
    fn records(&mut self, index: usize, source: &Source, segment: &[u8]) -> Result<u32> {
        let mut offset = SEGMENT_HEADER_BYTES;
        self.walked.ends.push((offset, 0));
        while let Some(frame) = Frame::at(segment, source.epoch, offset) {
            let Some(body) = frame.body.filter(|body| self.follows(&frame.header, body)) else { break };
            let position = Position { sequence: frame.header.sequence, segment: source.number, offset };
            let end = offset + frame.header.size() as u32;
            self.accept(index, frame.header, position, end);
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
    fn follows(&self, header: &RecordHeader, body: &[u8]) -> bool {
        let Some(expected) = self.walked.expected else { return true };
        let after = || body.first_chunk().copied().map(u64::from_le_bytes);
        match header.kind {
            // A life begins where the one before it ended; what that one lost was never confirmed.
            OPENED => header.sequence >= expected && after() == Some(expected - 1),
            SET_ASIDE => header.sequence >= expected,
            _ => header.sequence == expected,
        }
    }

    /// Whether the segment at `index` begins with the record that must come next.
    fn leads_on(&self, index: usize) -> Result<bool> {
        let Some(source) = self.sources.get(index) else { return Ok(false) };
        let mut bytes = [0; RECORD_HEADER_BYTES as usize + 8];
        if u64::from(source.bytes) < u64::from(SEGMENT_HEADER_BYTES) + bytes.len() as u64 {
            return Ok(false);
        }
        self.files.open(&source.name)?.read_at(&mut bytes, u64::from(SEGMENT_HEADER_BYTES))?;
        let header = bytes
            .first_chunk()
            .and_then(|header| RecordHeader::decode(header, source.epoch, SEGMENT_HEADER_BYTES));
        let body = bytes.get(RECORD_HEADER_BYTES as usize..).unwrap_or_default();
        Ok(self.walked.expected.is_some() && header.is_some_and(|header| self.follows(&header, body)))
    }

    /// Searches everything from a bad place on.
    fn behind(&self, index: usize, offset: u32) -> Result<Behind> {
        let mut behind =
            Behind { missing: self.walked.expected.unwrap_or(0), proof: None, next: None, bytes: 0 };
        let mut known = self.walked.expected.is_some();
        let mut from = offset;
        let mut segment = Vec::new();
        let mut number = None;
        for (index, source) in self.sources.iter().enumerate().skip(index) {
            if number.is_some_and(|number| number + 1 != source.number) {
                behind.proof.get_or_insert_with(|| {
                    format!("segment {} is there and the one before is not", source.name)
                });
            }
            number = Some(source.number);
            load(self.files, source, &mut segment)?;
            for found in probe::search(&segment, source.epoch, from) {
                if !known {
                    // Nothing before it: the one before this record is missing, or this one itself.
                    behind.missing = found.sequence - u64::from(found.whole);
                    known = true;
                }
                behind.bytes += u64::from(found.size);
                if found.batch_first > behind.missing {
                    let said = || {
                        format!("record {} of {} proves that it had been synced", found.sequence, source.name)
                    };
                    behind.proof.get_or_insert_with(said);
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
}

/// Reads a whole segment.
pub(crate) fn load(files: &dyn Files, source: &Source, segment: &mut Vec<u8>) -> Result<()> {
    segment.resize(source.bytes as usize, 0);
    files.open(&source.name)?.read_at(segment, 0)
}
