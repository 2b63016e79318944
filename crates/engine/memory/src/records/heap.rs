//! All records of a shard: two queues of segments, addressed by 32-bit positions.
//!
//! Records move only by being copied to the head of a queue, and nothing is freed but whole segments and large values:
//! the order in memory is the order of eviction, so entries need no links.

use std::ops::Range;

use forebay_core::limits::memory::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

use super::queue::{Queue, QueueName};
use super::record::{ALIGNMENT, Header, INLINE_MAX, Marks, key_in, span_max};
use super::region::Region;
use super::segment::Segment;

/// A shard has so many segments, if they are not at their smallest or largest.
const SEGMENTS_WANTED: usize = 256;
/// A record takes at most one in so many bytes of a segment, so that little is lost where none fits any more.
const RECORDS_IN_SEGMENT_MIN: usize = 16;
/// One in so many bytes is kept free, so that a large value finds a hole without much moving. The room is beside the budget,
/// within what resident memory may be over it.
const SLACK_SHARE: usize = 16;

/// Where a record is in the region, in units of the records' alignment. A hit is a look at the table and a look there.
pub(crate) type Position = u32;

/// The records.
pub(crate) struct Heap {
    pub(super) region: Region,
    /// By number, which says where they lie.
    pub(super) segments: Vec<Segment>,
    /// No segment before this one is free.
    pub(super) first_free: u32,
    /// How many are in use.
    pub(super) used: usize,
    /// Grows whenever a segment's bytes come to mean something else.
    pub(super) layout: u64,
    small: Queue,
    main: Queue,
    pub(super) segment_bytes: usize,
    /// How many bits of a position say where in its segment it is.
    place_bits: u32,
}

impl Heap {
    /// For a shard of so many bytes. The lists of segments get their final size at once.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let segment_bytes = segment_bytes(bytes_max);
        // While a record is copied there is a segment more than the budget holds.
        let segments_max = bytes_max / segment_bytes + 4;
        let capacity = capacity(bytes_max, segment_bytes);
        Self {
            region: Region::new(capacity, segment_bytes),
            segments: Vec::with_capacity(capacity / segment_bytes + 1),
            first_free: 0,
            used: 0,
            layout: 0,
            small: Queue::new(segments_max),
            main: Queue::new(segments_max),
            segment_bytes,
            place_bits: (segment_bytes / ALIGNMENT).ilog2(),
        }
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.lists_bytes() + self.used * self.segment_bytes + self.region.block_bytes()
    }

    /// Bytes that stay in use when it is cleared.
    pub(crate) fn bytes_empty(&self) -> usize {
        self.lists_bytes()
    }

    /// The most that `bytes` can be with what the queues hold now, wherever in their segments they begin and end.
    pub(crate) fn bytes_bound(&self) -> usize {
        let queues = self.size(QueueName::Small) + self.size(QueueName::Main);
        self.lists_bytes() + queues + 4 * self.segment_bytes
    }

    /// `bytes_bound` without any entry.
    pub(crate) fn bytes_bound_empty(&self) -> usize {
        self.segment_lists_bytes() + 4 * self.segment_bytes
    }

    /// What `bytes_bound` grows by with one more entry at most.
    pub(crate) fn weight(&self, key_len: usize, value_len: usize) -> usize {
        let large = self.is_large(value_len);
        let aside = if large { Region::rounded(value_len) + self.region.bytes_to_grow() } else { 0 };
        span_max(key_len, value_len, large) + aside
    }

    /// Bytes that a queue takes, from its tail to its head, dead records and large values included.
    pub(crate) fn size(&self, name: QueueName) -> usize {
        self.stretch(name) + self.queue(name).large
    }

    /// Whether so much is dead that entries should be copied together rather than pushed out.
    pub(crate) fn is_sparse(&self) -> bool {
        let stretch = self.stretch(QueueName::Small) + self.stretch(QueueName::Main);
        let dead = stretch - self.small.live - self.main.live;
        dead > stretch / 4 + 4 * self.segment_bytes
    }

    /// Puts an entry at the head of a queue; `header` need not know its lengths.
    pub(crate) fn append(
        &mut self,
        name: QueueName,
        mut header: Header,
        key: &[u8],
        value: &[u8],
    ) -> Position {
        self.set_lengths(&mut header, key, value);
        if header.marks.has(Marks::LARGE) {
            header.block = self.region.allocate(value.len());
            self.queue_mut(name).large += Region::rounded(value.len());
        }
        let position = self.begin(name, header.span());
        let at = self.at(position);
        self.region.memory_mut()[header.key_at(at)].copy_from_slice(key);
        self.set_header(position, &header);
        self.value_mut(position, &header).copy_from_slice(value);
        position
    }

    /// Gives an entry another value where it stands, if that takes the same room; false if it does not.
    pub(crate) fn overwrite(
        &mut self,
        position: Position,
        mut header: Header,
        key: &[u8],
        value: &[u8],
    ) -> bool {
        let before = self.header(position);
        self.set_lengths(&mut header, key, value);
        header.block = before.block;
        let room = |header: &Header| {
            let large = header.marks.has(Marks::LARGE);
            (
                large,
                header.flags != 0,
                header.span(),
                large.then(|| Region::rounded(header.value_len as usize)),
            )
        };
        let fits = room(&before) == room(&header);
        if fits {
            self.set_header(position, &header);
            self.value_mut(position, &header).copy_from_slice(value);
        }
        fits
    }

    pub(crate) fn header(&self, position: Position) -> Header {
        Header::read(self.region.memory(), self.at(position))
    }

    /// Changes what is known of an entry, but not its lengths.
    pub(crate) fn set_header(&mut self, position: Position, header: &Header) {
        let at = self.at(position);
        header.write(self.region.memory_mut(), at);
        let segment = self.segment_mut(self.number(position));
        segment.due_ms = segment.due_ms.min(header.expires_ms());
    }

    pub(crate) fn key(&self, position: Position) -> &[u8] {
        key_in(self.region.memory(), self.at(position))
    }

    pub(crate) fn value(&self, position: Position, header: &Header) -> &[u8] {
        &self.region.memory()[self.value_at(position, header)]
    }

    pub(crate) fn value_mut(&mut self, position: Position, header: &Header) -> &mut [u8] {
        let place = self.value_at(position, header);
        &mut self.region.memory_mut()[place]
    }

    /// The queue that an entry is in.
    pub(crate) fn queue_of(&self, position: Position) -> QueueName {
        self.segment(self.number(position)).queue.unwrap_or(QueueName::Small)
    }

    /// The segments of a queue, the oldest first.
    pub(crate) fn segments_of(&self, name: QueueName) -> Vec<u32> {
        self.queue(name).all().collect()
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, position: Position) {
        let header = self.header(position);
        if header.marks.has(Marks::LARGE) {
            let name = self.queue_of(position);
            self.queue_mut(name).large -= Region::rounded(header.value_len as usize);
            self.region.free(header.block);
        }
        self.kill(position, header);
    }

    /// Copies an entry to the head of a queue, where it is from now on.
    pub(crate) fn copy_to_head(&mut self, position: Position, to: QueueName, header: &Header) -> Position {
        let span = header.span();
        let copy = self.begin(to, span);
        let (from_at, to_at) = (self.at(position), self.at(copy));
        self.region.memory_mut().copy_within(from_at..from_at + span, to_at);
        self.set_header(copy, header);
        if header.marks.has(Marks::LARGE) {
            let bytes = Region::rounded(header.value_len as usize);
            let from = self.queue_of(position);
            self.queue_mut(from).large -= bytes;
            self.queue_mut(to).large += bytes;
        }
        self.kill(position, *header);
        copy
    }

    /// The entry at the tail of a queue.
    pub(crate) fn oldest(&mut self, name: QueueName) -> Option<Position> {
        let segment = self.queue(name).oldest()?;
        let entry = self.next_in(segment, self.queue(name).tail);
        // A segment without entries has been released, except for an empty one at the head.
        let end = self.segment(segment).end as usize;
        self.queue_mut(name).tail = entry.map_or(end, |(_, next, header)| next - header.span());
        entry.map(|(position, ..)| position)
    }

    /// The segment with the least that is alive, where nothing is being written.
    pub(crate) fn sparsest(&self) -> Option<u32> {
        self.small.sealed().chain(self.main.sealed()).min_by_key(|segment| self.segment(*segment).live)
    }

    /// A segment in which something may have ended by now, looking from `first` on.
    pub(crate) fn due(&self, first: u32, now_ms: u64) -> Option<u32> {
        let due = |(_, segment): &(usize, &Segment)| segment.due_ms <= now_ms;
        let segments = || self.segments.iter().enumerate();
        let found = segments().skip(first as usize).find(due).or_else(|| segments().find(due));
        found.and_then(|(number, _)| u32::try_from(number).ok())
    }

    /// Says that no entry in a segment ends before then.
    pub(crate) fn set_due(&mut self, segment: u32, at_ms: u64) {
        self.segment_mut(segment).due_ms = at_ms;
    }

    /// The first entry of a segment at or behind an offset, and the offset behind it.
    pub(crate) fn next_in(&self, segment: u32, mut offset: usize) -> Option<(Position, usize, Header)> {
        let start = segment as usize * self.segment_bytes;
        while offset < self.segment(segment).end as usize {
            let header = Header::read(self.region.memory(), start + offset);
            let next = offset + header.span();
            if !header.marks.has(Marks::DEAD) {
                return Some((self.position(segment, offset), next, header));
            }
            offset = next;
        }
        None
    }

    /// Forgets everything and gives all memory back.
    pub(crate) fn clear(&mut self) {
        self.region.clear();
        self.segments.clear();
        (self.first_free, self.used) = (0, 0);
        self.layout += 1;
        self.small.clear();
        self.main.clear();
    }

    /// While this stays, so do the offsets of records in their segments.
    pub(crate) fn layout(&self) -> u64 {
        self.layout
    }

    pub(crate) fn segment_bytes(&self) -> usize {
        self.segment_bytes
    }

    /// Whether a value of this length lies aside.
    pub(crate) fn is_large(&self, value_len: usize) -> bool {
        value_len > self.segment_bytes / RECORDS_IN_SEGMENT_MIN
    }

    fn set_lengths(&self, header: &mut Header, key: &[u8], value: &[u8]) {
        header.key_len = u8::try_from(key.len()).unwrap_or(u8::MAX);
        header.value_len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        header.marks.clear(Marks::LARGE);
        if self.is_large(value.len()) {
            header.marks.set(Marks::LARGE);
        }
    }

    /// Takes room for a record at the head of a queue, in a new segment if it does not fit into the present one.
    fn begin(&mut self, name: QueueName, span: usize) -> Position {
        let head = match self.queue(name).head() {
            Some(head) if self.segment(head).end as usize + span <= self.segment_bytes => head,
            _ => self.begin_segment(name),
        };
        self.queue_mut(name).live += span;
        let segment = self.segment_mut(head);
        let offset = segment.end;
        segment.end += span as u32;
        segment.live += span as u32;
        self.position(head, offset as usize)
    }

    fn begin_segment(&mut self, name: QueueName) -> u32 {
        let room = u32::try_from(self.region.segments()).unwrap_or(u32::MAX);
        let number = (self.first_free..room).find(|number| self.is_free(*number)).unwrap_or_else(|| {
            self.region.raise_floor();
            room
        });
        if number as usize == self.segments.len() {
            self.segments.push(Segment::FREE);
        }
        *self.segment_mut(number) = Segment::empty(name);
        self.layout += 1;
        self.first_free = number + 1;
        self.used += 1;
        self.queue_mut(name).begin(number);
        number
    }

    /// Makes a record dead. A segment without entries is released, or starts over where it is being written.
    fn kill(&mut self, position: Position, mut header: Header) {
        header.marks.set(Marks::DEAD);
        let at = self.at(position);
        header.write(self.region.memory_mut(), at);
        let (number, name) = (self.number(position), self.queue_of(position));
        self.queue_mut(name).live -= header.span();
        let segment = self.segment_mut(number);
        segment.live -= header.span() as u32;
        if segment.live > 0 {
            return;
        }
        *segment = Segment::empty(name);
        self.layout += 1;
        if self.queue(name).oldest() == Some(number) {
            self.queue_mut(name).tail = 0;
        }
        if self.queue(name).head() != Some(number) {
            self.queue_mut(name).remove(number);
            *self.segment_mut(number) = Segment::FREE;
            self.first_free = self.first_free.min(number);
            self.used -= 1;
        }
    }

    /// Bytes from a queue's tail to its head.
    fn stretch(&self, name: QueueName) -> usize {
        let queue = self.queue(name);
        let Some(head) = queue.head() else { return 0 };
        (queue.count() - 1) * self.segment_bytes + self.segment(head).end as usize - queue.tail
    }

    fn lists_bytes(&self) -> usize {
        self.segment_lists_bytes() + self.region.lists_bytes()
    }

    fn segment_lists_bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>() + self.small.bytes() + self.main.bytes()
    }

    fn value_at(&self, position: Position, header: &Header) -> Range<usize> {
        if !header.marks.has(Marks::LARGE) {
            return header.value_at(self.at(position));
        }
        let start = self.region.place(header.block).start;
        start..start + header.value_len as usize
    }

    fn queue(&self, name: QueueName) -> &Queue {
        match name {
            QueueName::Small => &self.small,
            QueueName::Main => &self.main,
        }
    }

    pub(super) fn queue_mut(&mut self, name: QueueName) -> &mut Queue {
        match name {
            QueueName::Small => &mut self.small,
            QueueName::Main => &mut self.main,
        }
    }

    pub(super) fn is_free(&self, number: u32) -> bool {
        self.segments.get(number as usize).is_none_or(|segment| segment.queue.is_none())
    }

    /// Where in the region's memory a record begins.
    pub(super) fn at(&self, position: Position) -> usize {
        position as usize * ALIGNMENT
    }

    /// The number of a record's segment.
    pub(super) fn number(&self, position: Position) -> u32 {
        position >> self.place_bits
    }

    pub(super) fn position(&self, segment: u32, offset: usize) -> Position {
        (segment << self.place_bits) + (offset / ALIGNMENT) as u32
    }

    /// Numbers of segments come from positions and queues: they are there.
    pub(super) fn segment(&self, number: u32) -> &Segment {
        &self.segments[number as usize]
    }

    pub(super) fn segment_mut(&mut self, number: u32) -> &mut Segment {
        &mut self.segments[number as usize]
    }
}

const _: () = assert!(SEGMENT_BYTES_MAX / RECORDS_IN_SEGMENT_MIN <= INLINE_MAX);

/// The largest shard that positions can address.
pub(crate) const HEAP_BYTES_MAX: usize = SEGMENT_BYTES_MAX << (31 - (SEGMENT_BYTES_MAX / ALIGNMENT).ilog2());

/// What a region for so many bytes of entries has.
pub(super) fn capacity(bytes_max: usize, segment_bytes: usize) -> usize {
    bytes_max + bytes_max / SLACK_SHARE + 4 * segment_bytes
}

/// A power of two that positions of 32 bits can address in a shard of this size.
fn segment_bytes(bytes_max: usize) -> usize {
    let wanted = (bytes_max / SEGMENTS_WANTED).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    1 << wanted.ilog2()
}
