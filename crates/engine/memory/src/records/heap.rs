//! All records of a shard: two queues of segments, addressed by 32-bit positions.
//!
//! Nothing is moved but by copying a record to the head of a queue, and nothing is freed but whole segments: there is no
//! fragmentation, and the order in memory is the order of eviction, so entries need no links.

use super::large::{Large, allocated};
use super::queue::{Queue, QueueName};
use super::record::{ALIGNMENT, HANDLE_BYTES, Header, Marks, span};
use super::segment::Segment;
use forebay_core::limits::{MEMORY_SEGMENT_BYTES_MAX, MEMORY_SEGMENT_BYTES_MIN};

/// A shard has so many segments, if they are not at their smallest or largest.
const SEGMENTS_WANTED: usize = 256;
/// A record takes at most one in so many bytes of a segment, so that little is lost where none fits any more.
const RECORDS_IN_SEGMENT_MIN: usize = 16;

/// Where a record is: the segment's number times the places in a segment, plus the place.
pub(crate) type Position = u32;

/// A value on its way in.
pub(crate) enum Body<'a> {
    /// To be copied into the record.
    Inline(&'a [u8]),
    /// Already copied into an allocation of its own.
    Large(Box<[u8]>),
}

impl Body<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Body::Inline(value) => value.len(),
            Body::Large(value) => value.len(),
        }
    }

    /// The allocation that it brought and that was not used.
    pub(crate) fn leftover(self) -> Option<Box<[u8]>> {
        match self {
            Body::Inline(_) => None,
            Body::Large(value) => Some(value),
        }
    }

    /// What it costs: the bytes of the record, and those of a large value.
    pub(crate) fn weight(&self, key_len: usize) -> usize {
        match self {
            Body::Inline(value) => span(key_len, value.len()),
            Body::Large(value) => span(key_len, HANDLE_BYTES) + allocated(value.len()),
        }
    }
}

/// The records.
pub(crate) struct Heap {
    segments: Vec<Segment>,
    free: Vec<u32>,
    small: Queue,
    main: Queue,
    large: Large,
    segment_bytes: usize,
    /// How many bits of a position say where in a segment it is.
    place_bits: u32,
}

impl Heap {
    /// For a shard of so many bytes. All lists get their final size at once: later only segments and values are allocated.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let segment_bytes = segment_bytes(bytes_max);
        // While a record is copied there is a segment more than the budget holds.
        let segments_max = bytes_max / segment_bytes + 4;
        Self {
            segments: Vec::with_capacity(segments_max),
            free: Vec::with_capacity(segments_max),
            small: Queue::new(segments_max),
            main: Queue::new(segments_max),
            large: Large::default(),
            segment_bytes,
            place_bits: (segment_bytes / ALIGNMENT).ilog2(),
        }
    }

    /// The body of the largest record.
    pub(crate) fn inline_max(bytes_max: usize) -> usize {
        segment_bytes(bytes_max) / RECORDS_IN_SEGMENT_MIN
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        let segments = self.small.count() + self.main.count();
        self.lists_bytes() + segments * allocated(self.segment_bytes) + self.small.large + self.main.large
    }

    /// The most that `bytes` can be with what the queues hold now, wherever in their segments they begin and end.
    pub(crate) fn bytes_bound(&self) -> usize {
        let partial = 4 * allocated(self.segment_bytes);
        self.lists_bytes() + self.size(QueueName::Small) + self.size(QueueName::Main) + partial
    }

    /// What `bytes_bound` can grow by beside the weight of a body.
    pub(crate) fn bytes_to_grow(&self, body: &Body<'_>) -> usize {
        if matches!(body, Body::Large(_)) { self.large.bytes_to_grow() } else { 0 }
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

    /// Puts a record at the head of a queue.
    pub(crate) fn append(
        &mut self,
        name: QueueName,
        mut header: Header,
        key: &[u8],
        body: Body<'_>,
    ) -> Position {
        header.key_len = u8::try_from(key.len()).unwrap_or(u8::MAX);
        header.value_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        match body {
            Body::Inline(value) => {
                header.marks.clear(Marks::LARGE);
                self.append_record(name, &header, key, value)
            }
            Body::Large(value) => {
                header.marks.set(Marks::LARGE);
                self.queue_mut(name).large += allocated(value.len());
                let handle = self.large.insert(value).to_le_bytes();
                self.append_record(name, &header, key, &handle)
            }
        }
    }

    pub(crate) fn header(&self, position: Position) -> Header {
        let (segment, offset) = self.place(position);
        self.segment(segment).header(offset)
    }

    /// Changes what is known of an entry, but not its lengths.
    pub(crate) fn set_header(&mut self, position: Position, header: &Header) {
        let (segment, offset) = self.place(position);
        self.segment_mut(segment).set_header(offset, header);
    }

    pub(crate) fn key(&self, position: Position) -> &[u8] {
        let (segment, offset) = self.place(position);
        let segment = self.segment(segment);
        segment.key(offset, &segment.header(offset))
    }

    pub(crate) fn value(&self, position: Position, header: &Header) -> &[u8] {
        let (segment, offset) = self.place(position);
        let body = self.segment(segment).body(offset, header);
        if header.marks.has(Marks::LARGE) { self.large.get(handle(body)) } else { body }
    }

    pub(crate) fn value_mut(&mut self, position: Position, header: &Header) -> &mut [u8] {
        let (segment, offset) = self.place(position);
        if header.marks.has(Marks::LARGE) {
            let handle = handle(self.segment(segment).body(offset, header));
            return self.large.get_mut(handle);
        }
        self.segment_mut(segment).body_mut(offset, header)
    }

    /// The queue that an entry is in.
    pub(crate) fn queue_of(&self, position: Position) -> QueueName {
        let (segment, _) = self.place(position);
        self.segment(segment).queue()
    }

    /// Takes an entry out; a large value is returned, so that it can be freed when the lock is gone.
    pub(crate) fn remove(&mut self, position: Position) -> Option<Box<[u8]>> {
        let (segment, offset) = self.place(position);
        let name = self.queue_of(position);
        let header = self.segment(segment).header(offset);
        let large = header.marks.has(Marks::LARGE).then(|| {
            let value = self.large.remove(handle(self.segment(segment).body(offset, &header)));
            self.queue_mut(name).large -= allocated(value.len());
            value
        });
        self.kill(position);
        large
    }

    /// Copies an entry to the head of a queue, where it is from now on.
    pub(crate) fn copy_to_head(&mut self, position: Position, to: QueueName, header: &Header) -> Position {
        let head = self.head_with_room(to, header.span());
        let (segment, offset) = self.place(position);
        let copy = match self.segments.get_disjoint_mut([segment as usize, head as usize]) {
            Ok([source, target]) => {
                target.append(header, source.key(offset, header), source.body(offset, header))
            }
            Err(_) => self.segment_mut(head).append_copy(offset, header),
        };
        self.queue_mut(to).live += header.span();
        if header.marks.has(Marks::LARGE) {
            let bytes = allocated(header.value_len as usize);
            let from = self.queue_of(position);
            self.queue_mut(from).large -= bytes;
            self.queue_mut(to).large += bytes;
        }
        self.kill(position);
        self.position(head, copy)
    }

    /// The entry at the tail of a queue.
    pub(crate) fn oldest(&mut self, name: QueueName) -> Option<Position> {
        let segment = self.queue(name).oldest()?;
        let tail = self.queue(name).tail;
        match self.segment(segment).next_live(tail) {
            Some((offset, _)) => {
                self.queue_mut(name).tail = offset;
                Some(self.position(segment, offset))
            }
            None => {
                // A segment without entries has been released, except for an empty one at the head.
                self.queue_mut(name).tail = self.segment(segment).end();
                None
            }
        }
    }

    /// The segment with the least that is alive, where nothing is being written.
    pub(crate) fn sparsest(&self) -> Option<u32> {
        let sealed = |queue: &Queue| queue.count().saturating_sub(1);
        let segments =
            self.small.iter().take(sealed(&self.small)).chain(self.main.iter().take(sealed(&self.main)));
        segments.min_by_key(|segment| self.segment(*segment).live())
    }

    /// A segment in which something may have ended by now, looking from `first` on.
    pub(crate) fn due(&self, first: u32, now_ms: u64) -> Option<u32> {
        let count = self.segments.len();
        (0..count)
            .map(|step| (first as usize + step) % count)
            .find(|segment| self.segments[*segment].due_ms() <= now_ms)
            .and_then(|segment| u32::try_from(segment).ok())
    }

    /// Says that no entry in a segment ends before then.
    pub(crate) fn set_due(&mut self, segment: u32, at_ms: u64) {
        self.segment_mut(segment).set_due(at_ms);
    }

    /// The first entry of a segment at or behind a place.
    pub(crate) fn next_in(&self, segment: u32, offset: usize) -> Option<(Position, usize, Header)> {
        let (offset, header) = self.segment(segment).next_live(offset)?;
        Some((self.position(segment, offset), offset + header.span(), header))
    }

    /// Forgets everything and gives all memory back.
    pub(crate) fn clear(&mut self) {
        for name in [QueueName::Small, QueueName::Main] {
            while let Some(segment) = self.queue(name).oldest() {
                self.release(segment);
            }
            let queue = self.queue_mut(name);
            (queue.live, queue.large, queue.tail) = (0, 0, 0);
        }
        self.large = Large::default();
    }

    fn append_record(&mut self, name: QueueName, header: &Header, key: &[u8], body: &[u8]) -> Position {
        let head = self.head_with_room(name, header.span());
        self.queue_mut(name).live += header.span();
        let offset = self.segment_mut(head).append(header, key, body);
        self.position(head, offset)
    }

    /// The segment at the head of a queue if the record fits, else a new one there.
    fn head_with_room(&mut self, name: QueueName, span: usize) -> u32 {
        if let Some(head) = self.queue(name).head()
            && self.segment(head).has_room(span)
        {
            return head;
        }
        let segment = Segment::new(name, self.segment_bytes);
        let head = match self.free.pop() {
            Some(number) => {
                *self.segment_mut(number) = segment;
                number
            }
            None => {
                self.segments.push(segment);
                u32::try_from(self.segments.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.queue_mut(name).begin(head);
        head
    }

    /// Makes a record dead. A segment without entries is released, or starts over where it is being written.
    fn kill(&mut self, position: Position) {
        let (segment, offset) = self.place(position);
        let name = self.segment(segment).queue();
        let header = self.segment_mut(segment).kill(offset);
        self.queue_mut(name).live -= header.span();
        if self.segment(segment).live() > 0 {
            return;
        }
        if self.queue(name).head() == Some(segment) {
            self.segment_mut(segment).reset();
            if self.queue(name).oldest() == Some(segment) {
                self.queue_mut(name).tail = 0;
            }
        } else {
            self.release(segment);
        }
    }

    fn release(&mut self, segment: u32) {
        let name = self.segment(segment).queue();
        self.queue_mut(name).remove(segment);
        self.segment_mut(segment).release();
        self.free.push(segment);
    }

    /// Bytes from a queue's tail to its head.
    fn stretch(&self, name: QueueName) -> usize {
        let queue = self.queue(name);
        let Some(head) = queue.head() else { return 0 };
        (queue.count() - 1) * self.segment_bytes + self.segment(head).end() - queue.tail
    }

    fn lists_bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>()
            + self.free.capacity() * size_of::<u32>()
            + self.small.bytes()
            + self.main.bytes()
            + self.large.bytes()
    }

    fn queue(&self, name: QueueName) -> &Queue {
        match name {
            QueueName::Small => &self.small,
            QueueName::Main => &self.main,
        }
    }

    fn queue_mut(&mut self, name: QueueName) -> &mut Queue {
        match name {
            QueueName::Small => &mut self.small,
            QueueName::Main => &mut self.main,
        }
    }

    fn place(&self, position: Position) -> (u32, usize) {
        let place = position & ((1 << self.place_bits) - 1);
        (position >> self.place_bits, place as usize * ALIGNMENT)
    }

    fn position(&self, segment: u32, offset: usize) -> Position {
        segment << self.place_bits | (offset / ALIGNMENT) as u32
    }

    /// Numbers of segments come from positions and queues: they are there.
    fn segment(&self, number: u32) -> &Segment {
        &self.segments[number as usize]
    }

    fn segment_mut(&mut self, number: u32) -> &mut Segment {
        &mut self.segments[number as usize]
    }
}

/// The largest shard that positions can address.
pub(crate) const HEAP_BYTES_MAX: usize =
    MEMORY_SEGMENT_BYTES_MAX << (31 - (MEMORY_SEGMENT_BYTES_MAX / ALIGNMENT).ilog2());

/// A power of two that positions of 32 bits can address in a shard of this size.
fn segment_bytes(bytes_max: usize) -> usize {
    let wanted = (bytes_max / SEGMENTS_WANTED).clamp(MEMORY_SEGMENT_BYTES_MIN, MEMORY_SEGMENT_BYTES_MAX);
    1 << wanted.ilog2()
}

fn handle(body: &[u8]) -> u32 {
    body.first_chunk().map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
}
