//! Finding records again: one by its position, or all of a finished segment.

use std::ops::Range;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::File;

use crate::format::{self, Frame, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES};
use crate::log::{Position, Record, Shared};
use crate::recover::aside;
use crate::segment;
use crate::state::Live;

/// Read at once in the hope that the whole record is in it, or that the disk gives it where it does not give all.
const FIRST_READ_BYTES: usize = 4096;

/// The longest stretch that is read at once for the sake of several records.
const RUN_BYTES_MAX: u32 = 256 * 1024;

/// Records further apart than this are not read together.
const RUN_GAP_BYTES_MAX: u32 = 16 * 1024;

/// How far behind such a stretch the disk is told to read ahead.
const READ_AHEAD_BYTES: u32 = 2 * 1024 * 1024;

/// A stretch of a segment with several records that were asked for.
#[derive(Default)]
struct Run {
    segment: u64,
    epoch: u64,
    from: u32,
    /// Where the last record begins that it was read for.
    last: u32,
    bytes: Vec<u8>,
}

impl Run {
    fn reaches(&self, position: Position) -> bool {
        self.segment == position.segment && (self.from..=self.last).contains(&position.offset)
    }

    /// The verified body of this record, if the whole of it is here.
    fn body(&self, position: Position) -> Option<&[u8]> {
        if !self.reaches(position) {
            return None;
        }
        let from = position.offset.checked_sub(self.from)?;
        body_of(self.bytes.get(from as usize..)?, self.epoch, position).ok()
    }
}

impl Shared {
    pub(crate) fn read(&self, position: Position) -> Result<Vec<u8>> {
        let (live, file) = {
            let state = self.state.lock();
            let live = *state.live.get(&position.segment).ok_or_else(|| released(position.segment))?;
            let batches = [Some(&state.open), state.in_flight.as_deref()];
            let mut pending = batches.into_iter().flatten();
            if let Some(bytes) = pending.find_map(|batch| batch.find(position.segment, position.offset)) {
                return body_of(bytes, live.epoch, position).map(<[u8]>::to_vec);
            }
            let tail = state.tail.number == position.segment;
            (live, tail.then(|| state.tail.file.clone()))
        };
        let read = match file {
            Some(file) => read_record(&*file, live, position),
            None => self.handles.get(position.segment).and_then(|file| read_record(&*file, live, position)),
        };
        read.map_err(|error| self.unless_released(position.segment, error))
    }

    pub(crate) fn read_many(&self, positions: &[Position]) -> Vec<Result<Vec<u8>>> {
        let mut run = Run::default();
        let one = |(index, position): (usize, &Position)| {
            if !run.reaches(*position) {
                run = positions.get(index..).and_then(|rest| self.read_run(rest)).unwrap_or_default();
            }
            match run.body(*position) {
                Some(body) => Ok(body.to_vec()),
                // Alone in its place, longer than what was read, not yet written, or damaged.
                None => self.read(*position),
            }
        };
        positions.iter().enumerate().map(one).collect()
    }

    /// Reads the first of these records together with those behind it that lie near; `None` if none does.
    fn read_run(&self, positions: &[Position]) -> Option<Run> {
        let first = positions.first()?;
        let mut last = first.offset;
        for position in positions.iter().skip(1) {
            let near = position.offset.checked_sub(last).is_some_and(|gap| gap <= RUN_GAP_BYTES_MAX);
            if position.segment != first.segment || !near || position.offset - first.offset > RUN_BYTES_MAX {
                break;
            }
            last = position.offset;
        }
        if last == first.offset {
            return None;
        }
        let (live, file) = {
            let state = self.state.lock();
            let live = *state.live.get(&first.segment)?;
            let tail = state.tail.number == first.segment;
            (live, tail.then(|| state.tail.file.clone()))
        };
        let file = file.map_or_else(|| self.handles.get(first.segment), Ok).ok()?;
        let to = last.saturating_add(FIRST_READ_BYTES as u32).min(live.end);
        let mut bytes = vec![0; to.checked_sub(first.offset)? as usize];
        file.read_at(&mut bytes, first.offset.into()).ok()?;
        // Whoever reads so goes on, and the disk can be ahead of it.
        file.will_read(to.into(), READ_AHEAD_BYTES.min(live.end.saturating_sub(to)).into());
        Some(Run { segment: first.segment, epoch: live.epoch, from: first.offset, last, bytes })
    }

    pub(crate) fn scan(
        &self,
        number: u64,
        visit: &mut dyn FnMut(Record<'_>) -> Result<()>,
    ) -> Result<Vec<Range<u32>>> {
        let live = {
            let state = self.state.lock();
            let live = *state.live.get(&number).ok_or_else(|| released(number))?;
            if number == state.tail.number || live.last > self.progress.durable() {
                return Err(Error::new(Kind::Unavailable, "scan segment", segment::name(number)));
            }
            live
        };
        let file = self.handles.get(number).map_err(|error| self.unless_released(number, error))?;
        let mut bytes = vec![0; live.end as usize];
        let unread = read_what_can_be(&*file, &mut bytes);
        let mut damage: Vec<Range<u32>> = Vec::new();
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < live.end {
            let frame = Frame::at(&bytes, live.epoch, offset);
            // A length that does not verify leads nowhere: the next record is looked for at every place for one.
            let next = offset + frame.as_ref().map_or(8, |frame| frame.header.size() as u32);
            match frame.and_then(|frame| Some((frame.header, frame.body?))) {
                Some((header, body)) if format::KINDS.contains(&header.kind) => {
                    let position = Position { sequence: header.sequence, segment: number, offset };
                    visit(Record { position, kind: header.kind, body })?;
                }
                Some(_) => {}
                None => match damage.last_mut().filter(|last| last.end == offset) {
                    Some(last) => last.end = next,
                    None => damage.push(offset..next),
                },
            }
            offset = next;
        }
        self.note_damage(number, &damage)?;
        // What cannot be read may be another time: that is for nobody to give up.
        unread.map_or(Ok(damage), |error| Err(self.unless_released(number, error)))
    }

    /// What is damaged stays so, and is told once.
    fn note_damage(&self, number: u64, damage: &[Range<u32>]) -> Result<()> {
        if damage.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock();
        if !state.live.contains_key(&number) {
            return Err(released(number));
        }
        if state.damaged.insert(number, damage.len() as u64).is_none() {
            tracing::error!(segment = segment::name(number), ?damage, "commit log has damaged records");
        }
        Ok(())
    }

    pub(crate) fn copy_aside(&self, number: u64, stretch: Range<u32>) -> Result<()> {
        let live = *self.state.lock().live.get(&number).ok_or_else(|| released(number))?;
        let bytes = self.load(number, live)?;
        let range = stretch.start as usize..stretch.end as usize;
        aside::copy(&*self.files, number, bytes.get(range).unwrap_or_default(), stretch.start)
    }

    fn load(&self, number: u64, live: Live) -> Result<Vec<u8>> {
        let mut bytes = vec![0; live.end as usize];
        let read = self.handles.get(number).and_then(|file| file.read_at(&mut bytes, 0));
        read.map_err(|error| self.unless_released(number, error))?;
        Ok(bytes)
    }

    /// A segment may be released, and its file used again, while it is being read: then that is the reason.
    fn unless_released(&self, number: u64, error: Error) -> Error {
        if self.state.lock().live.contains_key(&number) { error } else { released(number) }
    }
}

/// Reads all of a file's beginning, or what the disk still gives of it; the rest is zeros, and the error is returned.
fn read_what_can_be(file: &dyn File, bytes: &mut [u8]) -> Option<Error> {
    let error = file.read_at(bytes, 0).err()?;
    for (number, piece) in bytes.chunks_mut(FIRST_READ_BYTES).enumerate() {
        if file.read_at(piece, (number * FIRST_READ_BYTES) as u64).is_err() {
            piece.fill(0);
        }
    }
    Some(error)
}

/// One record from its file.
fn read_record(file: &dyn File, live: Live, position: Position) -> Result<Vec<u8>> {
    let bad = || damaged(position.segment, position.offset);
    let room = live.end.checked_sub(position.offset).ok_or_else(bad)? as usize;
    let mut bytes = vec![0; room.min(FIRST_READ_BYTES)];
    file.read_at(&mut bytes, u64::from(position.offset))?;
    let first = bytes.first_chunk().ok_or_else(bad)?;
    let header = RecordHeader::decode(first, live.epoch, position.offset).ok_or_else(bad)?;
    let end = RECORD_HEADER_BYTES as usize + header.length as usize;
    if end > room {
        return Err(bad());
    }
    let have = bytes.len();
    bytes.resize(end, 0);
    if let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        file.read_at(rest, u64::from(position.offset) + have as u64)?;
    }
    body_of(&bytes, live.epoch, position)?;
    bytes.drain(..RECORD_HEADER_BYTES as usize);
    Ok(bytes)
}

/// The verified body of the record that `bytes` begin with, if it is the one meant.
fn body_of(bytes: &[u8], epoch: u64, position: Position) -> Result<&[u8]> {
    let body = || {
        let header = RecordHeader::decode(bytes.first_chunk()?, epoch, position.offset)?;
        let from = RECORD_HEADER_BYTES as usize;
        let body = bytes.get(from..from + header.length as usize)?;
        let whole = header.sequence == position.sequence && crc32c::crc32c(body) == header.body_checksum;
        whole.then_some(body)
    };
    body().ok_or_else(|| damaged(position.segment, position.offset))
}

fn damaged(number: u64, offset: u32) -> Error {
    Error::new(Kind::Damaged, "read log record", format!("{} at {offset}", segment::name(number)))
}

fn released(number: u64) -> Error {
    Error::new(Kind::NotFound, "read log record", format!("{} was released", segment::name(number)))
}
