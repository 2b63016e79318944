//! Setting damage aside: the damaged bytes are copied to a file of their own, and a record of the log's own kind covers
//! the place, so that later openings know of the gap.

use forebay_core::error::{Kind, Result};
use forebay_core::ports::files::Files;

use super::directory::Source;
use super::probe::Found;
use crate::format::{self, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SET_ASIDE};
use crate::segment::{self, Segment};

/// The name of a copy.
fn copy_name(number: u64, offset: u32) -> String {
    format!("damaged-{number}-{offset}.bin")
}

/// Gives a segment without a usable header another name. It is then missing among the segments.
pub(crate) fn whole_segment(files: &dyn Files, number: u64) -> Result<()> {
    files.rename(&segment::name(number), &copy_name(number, 0))?;
    files.sync_names()
}

/// Puts zeros where a file was cut short. What was there is lost; the walk finds out which records that were.
pub(crate) fn restore_length(files: &dyn Files, source: &Source) -> Result<()> {
    let file = files.open(&source.name())?;
    let length = file.len()?;
    let zeros = vec![0; u64::from(source.bytes).saturating_sub(length) as usize];
    file.write_at(&zeros, length)?;
    file.sync()
}

/// Copies a stretch of a segment to a file of its own, durably, unless it is all zeros.
pub(crate) fn copy(files: &dyn Files, number: u64, stretch: &[u8], offset: u32) -> Result<()> {
    if stretch.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    let name = copy_name(number, offset);
    match files.remove(&name) {
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        _ => {}
    }
    let file = files.create(&name, stretch.len() as u64)?;
    file.write_at(stretch, 0)?;
    file.sync()?;
    files.sync_names()
}

/// Covers a stretch from `offset` to its end with a record that says: sequences up to the one before `next` are gone.
pub(crate) fn cover(
    files: &dyn Files,
    source: &Source,
    stretch: &[u8],
    offset: u32,
    next: &Found,
) -> Result<()> {
    let body = stretch.get(RECORD_HEADER_BYTES as usize..).unwrap_or_default();
    let sequence = next.after;
    let header = RecordHeader {
        body_checksum: format::body_checksum(&[body]),
        length: body.len() as u32,
        kind: SET_ASIDE,
        // It claims no more than the record behind it: that what is before that one's batch had been synced.
        before: sequence.saturating_sub(next.batch_first) as u32,
        sequence,
    };
    let file = files.open(&source.name())?;
    file.write_at(&header.encode(source.epoch, offset), u64::from(offset))?;
    file.sync()
}

/// Puts segments in the place of missing ones, each covered to its end. The caller has bounded their number.
pub(crate) fn replace_missing(
    files: &dyn Files,
    missing: std::ops::Range<u64>,
    bytes: u32,
    next: &Found,
) -> Result<Vec<Source>> {
    let replace = |number| {
        let segment = Segment::create(files, number, bytes)?;
        let source = Source { number, epoch: segment.epoch, bytes };
        let zeros = vec![0; (bytes - SEGMENT_HEADER_BYTES) as usize];
        cover(files, &source, &zeros, SEGMENT_HEADER_BYTES, next)?;
        Ok(source)
    };
    missing.map(replace).collect()
}

#[cfg(test)]
mod tests {
    use forebay_contract::files::Saboteur;

    use super::*;

    #[test]
    fn a_cover_claims_no_more_than_the_record_behind_it() {
        let files = Saboteur::new();
        let segment = Segment::create(&files, 3, 512).unwrap();
        let source = Source { number: 3, epoch: segment.epoch, bytes: 512 };
        for (sequence, batch_first) in [(20, 20), (20, 19), (20, 12)] {
            let next =
                Found { offset: 200, size: 32, sequence, after: sequence - 1, batch_first, whole: true };
            cover(&files, &source, &[0; 136], 64, &next).unwrap();
            let mut bytes = [0; 24];
            segment.file.read_at(&mut bytes, 64).unwrap();
            let header = RecordHeader::decode(&bytes, segment.epoch, 64).unwrap();
            assert_eq!((header.sequence, header.size(), header.kind), (19, 136, SET_ASIDE));
            assert!(header.batch_first() <= batch_first);
        }
    }
}
