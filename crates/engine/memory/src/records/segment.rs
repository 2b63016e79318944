//! One segment: a stretch of memory that records are appended to until it is full.

use super::queue::QueueName;
use super::record::{HEADER_BYTES, Header, Marks, span};

/// A segment. One that is not in use has no memory.
pub(crate) struct Segment {
    bytes: Box<[u8]>,
    queue: QueueName,
    /// Where the next record goes.
    end: usize,
    /// Bytes of the records that are entries.
    live: usize,
    /// No entry in here ends before this, in milliseconds; it may be earlier than the first end.
    due_ms: u64,
}

/// Offsets come from the table, from `append` and from walking over spans: they are always those of records.
impl Segment {
    pub(crate) fn new(queue: QueueName, bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into_boxed_slice(), queue, end: 0, live: 0, due_ms: u64::MAX }
    }

    pub(crate) fn queue(&self) -> QueueName {
        self.queue
    }

    /// Forgets its records, all of them dead, and starts over.
    pub(crate) fn reset(&mut self) {
        self.end = 0;
        self.live = 0;
        self.due_ms = u64::MAX;
    }

    /// Gives its memory back.
    pub(crate) fn release(&mut self) {
        self.reset();
        self.bytes = Box::default();
    }

    pub(crate) fn end(&self) -> usize {
        self.end
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn has_room(&self, span: usize) -> bool {
        self.end + span <= self.bytes.len()
    }

    pub(crate) fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// Says that no entry in here ends before `at_ms`.
    pub(crate) fn set_due(&mut self, at_ms: u64) {
        self.due_ms = at_ms;
    }

    /// Puts a record at the end, which has room for it, and returns where it is.
    pub(crate) fn append(&mut self, header: &Header, key: &[u8], body: &[u8]) -> usize {
        let offset = self.end;
        let (key_at, body_at) = (offset + HEADER_BYTES, offset + HEADER_BYTES + key.len());
        self.bytes[key_at..body_at].copy_from_slice(key);
        self.bytes[body_at..body_at + body.len()].copy_from_slice(body);
        let span = span(key.len(), body.len());
        self.end += span;
        self.live += span;
        self.set_header(offset, header);
        offset
    }

    /// Puts a copy of one of its records at the end, which has room for it, and returns where that is.
    pub(crate) fn append_copy(&mut self, offset: usize, header: &Header) -> usize {
        let (span, copy) = (header.span(), self.end);
        self.bytes.copy_within(offset..offset + span, copy);
        self.end += span;
        self.live += span;
        self.set_header(copy, header);
        copy
    }

    pub(crate) fn header(&self, offset: usize) -> Header {
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&self.bytes[offset..offset + HEADER_BYTES]);
        Header::decode(&bytes)
    }

    pub(crate) fn set_header(&mut self, offset: usize, header: &Header) {
        self.bytes[offset..offset + HEADER_BYTES].copy_from_slice(&header.encode());
        self.due_ms = self.due_ms.min(header.expires_ms());
    }

    pub(crate) fn key(&self, offset: usize, header: &Header) -> &[u8] {
        let key_at = offset + HEADER_BYTES;
        &self.bytes[key_at..key_at + usize::from(header.key_len)]
    }

    /// The value, or the handle of a large one.
    pub(crate) fn body(&self, offset: usize, header: &Header) -> &[u8] {
        let body_at = offset + HEADER_BYTES + usize::from(header.key_len);
        &self.bytes[body_at..body_at + header.body_len()]
    }

    pub(crate) fn body_mut(&mut self, offset: usize, header: &Header) -> &mut [u8] {
        let body_at = offset + HEADER_BYTES + usize::from(header.key_len);
        &mut self.bytes[body_at..body_at + header.body_len()]
    }

    /// Makes a record dead and returns what it was.
    pub(crate) fn kill(&mut self, offset: usize) -> Header {
        let header = self.header(offset);
        let mut dead = header;
        dead.marks.set(Marks::DEAD);
        self.bytes[offset..offset + HEADER_BYTES].copy_from_slice(&dead.encode());
        self.live -= header.span();
        header
    }

    /// The first record at or behind `offset` that is an entry.
    pub(crate) fn next_live(&self, mut offset: usize) -> Option<(usize, Header)> {
        while offset < self.end {
            let header = self.header(offset);
            if !header.marks.has(Marks::DEAD) {
                return Some((offset, header));
            }
            offset += header.span();
        }
        None
    }
}
