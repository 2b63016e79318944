//! The open batch: records encoded where they will lie, waiting for the writer.

use std::sync::Arc;

use crate::format::{self, RecordHeader};
use crate::segment::Segment;

/// Records that are written and synced together.
#[derive(Default)]
pub(crate) struct Batch {
    /// Stretches of segments in order; more than one where the batch crosses a segment's end.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) records: u32,
    pub(crate) bytes: usize,
    /// Its last sequence; 0 while empty.
    pub(crate) last: u64,
}

/// Bytes for one stretch of a segment.
pub(crate) struct Piece {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Encodes a record that lies at `offset` of `segment`, right behind the one before or at a segment's start.
    /// `spare` is the buffer of an earlier batch, used for a new piece.
    pub(crate) fn push(
        &mut self,
        segment: &Arc<Segment>,
        offset: u32,
        header: RecordHeader,
        parts: &[&[u8]],
        spare: &mut Vec<u8>,
    ) {
        let header = RecordHeader { before: self.records, ..header };
        if self.pieces.last().is_none_or(|piece| piece.segment.number != segment.number) {
            self.pieces.push(Piece { segment: segment.clone(), offset, bytes: std::mem::take(spare) });
        }
        if let Some(piece) = self.pieces.last_mut() {
            let before = piece.bytes.len();
            piece.bytes.extend_from_slice(&header.encode(segment.epoch, offset));
            for part in parts {
                piece.bytes.extend_from_slice(part);
            }
            piece.bytes.resize(before + header.size() as usize, 0);
        }
        self.records += 1;
        self.bytes += header.size() as usize;
        self.last = header.sequence;
    }

    /// The bytes from `offset` of segment `number` to the end of its piece, if the batch has them.
    pub(crate) fn find(&self, number: u64, offset: u32) -> Option<&[u8]> {
        let piece = self.pieces.iter().find(|piece| piece.segment.number == number)?;
        piece.bytes.get(offset.checked_sub(piece.offset)? as usize..).filter(|bytes| !bytes.is_empty())
    }

    /// True if so many more records fit the count that a header can say.
    pub(crate) fn takes(&self, records: usize) -> bool {
        records <= (format::BATCH_RECORDS_MAX - self.records) as usize
    }
}
