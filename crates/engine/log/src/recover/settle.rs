//! Makes a log that was walked fit to go on: nothing behind the last record can ever verify, and everything that was
//! replayed is durable.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::files::Files;
use parking_lot::Mutex;

use super::directory::{Directory, Source};
use super::walk::Walked;
use crate::format::{SEGMENT_HEADER_BYTES, SEQUENCE_JUMP};
use crate::segment::{self, Fill, Segment};
use crate::state::{Live, Retired, State};

/// Mends the end of the log and builds the state that appends go on from.
pub(crate) fn settle(
    files: &dyn Files,
    segment_bytes: u32,
    directory: Directory,
    walked: &Walked,
) -> Result<State> {
    let Directory { sources, spares, set_aside } = directory;
    let begun = sources.first().is_some_and(|source| source.number > 1) || set_aside > 0;
    if walked.expected.is_none() && begun {
        return Err(Error::new(Kind::Damaged, "recover log", "all records are gone"));
    }
    // A name that a process killed before its sync gave is there and not safe yet.
    files.sync_names()?;
    confirm_last_batch(files, &sources, walked)?;
    let mut retired: VecDeque<Retired> = spares.into();
    let mut prepared = VecDeque::new();
    // From the back, so that a crash in between leaves no hole.
    for source in sources.iter().skip(walked.ends.len()).rev() {
        if walked.clean && source.bytes == segment_bytes {
            prepared.push_front(Arc::new(reopen(files, source)?));
        } else {
            let spare = segment::spare_name(source.number);
            files.rename(&source.name(), &spare)?;
            files.sync_names()?;
            retired.retain(|present| present.name != spare);
            retired.push_back(Retired { name: spare, number: source.number, bytes: u64::from(source.bytes) });
        }
    }
    let mut live = BTreeMap::new();
    for (source, (end, last)) in sources.iter().zip(&walked.ends) {
        let (epoch, bytes) = (source.epoch, source.bytes);
        live.insert(source.number, Live { epoch, bytes, end: *end, last: *last });
    }
    let (tail, tail_offset) = match sources.iter().zip(&walked.ends).next_back() {
        Some((source, (end, _))) => {
            if !walked.clean {
                erase(files, source, *end)?;
            }
            (reopen(files, source)?, *end)
        }
        None => (Segment::create(files, 1, segment_bytes)?, SEGMENT_HEADER_BYTES),
    };
    let (epoch, bytes) = (tail.epoch, tail.bytes);
    live.entry(tail.number).or_insert(Live { epoch, bytes, end: SEGMENT_HEADER_BYTES, last: 0 });
    let jump = if walked.clean || walked.expected.is_none() { 0 } else { SEQUENCE_JUMP };
    let next_sequence = walked.expected.unwrap_or(1).max(walked.used + 1) + jump;
    Ok(State::new(Arc::new(tail), tail_offset, next_sequence, live, prepared, retired))
}

/// The last batch, a closing record included, may have been written and never synced, or its sync may have failed and
/// left pages behind that are marked clean. It was replayed, so it must last: its bytes are written again and synced.
fn confirm_last_batch(files: &dyn Files, sources: &[Source], walked: &Walked) -> Result<()> {
    for stretch in &walked.last_batch {
        let Some(source) = sources.get(stretch.index) else { continue };
        let file = files.open(&source.name())?;
        let mut bytes = vec![0; (stretch.to - stretch.from) as usize];
        file.read_at(&mut bytes, u64::from(stretch.from))?;
        file.write_at(&bytes, u64::from(stretch.from))?;
        file.sync()?;
    }
    Ok(())
}

/// Overwrites with zeros what lies behind the last record, so that no part of a torn batch is ever taken for a record.
fn erase(files: &dyn Files, source: &Source, from: u32) -> Result<()> {
    let file = files.open(&source.name())?;
    let mut bytes = vec![0; (source.bytes - from) as usize];
    file.read_at(&mut bytes, u64::from(from))?;
    let dirty = |byte: &u8| *byte != 0;
    if let (Some(first), Some(last)) = (bytes.iter().position(dirty), bytes.iter().rposition(dirty)) {
        let zeros = vec![0; last + 1 - first];
        file.write_at(&zeros, u64::from(from) + first as u64)?;
    }
    file.sync()
}

fn reopen(files: &dyn Files, source: &Source) -> Result<Segment> {
    let file = files.open(&source.name())?.into();
    let Source { number, epoch, bytes } = *source;
    Ok(Segment { number, epoch, bytes, file, fill: Mutex::new(Fill::Over) })
}
