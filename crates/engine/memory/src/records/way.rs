//! Making way in a shard's region, a step at a time: for segments, for large values, and for giving memory back. What moves
//! records about is told which segment has to go, because the table points at them.

use super::heap::{Heap, Position, capacity};
use super::segment::Segment;

/// Free segments kept below the floor, so that a head that is full goes on without blocks being moved.
const SEGMENTS_READY: usize = 2;

impl Heap {
    /// Moves one large value so that there is a segment ready below the floor, and returns its length; 0 when there is, or
    /// when nothing is free but what large values are about to take.
    pub(crate) fn ready_step(&mut self) -> usize {
        if self.region.segments() >= self.used + SEGMENTS_READY {
            return 0;
        }
        if self.region.lacks(self.segment_bytes) {
            return 0;
        }
        while self.region.can_raise() && self.region.segments() < self.used + SEGMENTS_READY {
            self.region.raise_floor();
        }
        if self.region.segments() >= self.used + SEGMENTS_READY { 0 } else { self.region.raise_step() }
    }

    /// A segment that has to go elsewhere before there is room for a large value; the floor is lowered past free ones. As long
    /// as there are free segments to spare, that is less work than joining holes.
    pub(crate) fn in_the_way(&mut self, value_len: usize) -> Option<u32> {
        while self.is_large(value_len)
            && !self.region.has_hole(value_len)
            && (self.region.lacks(value_len) || self.region.segments() > self.used + SEGMENTS_READY)
        {
            if let Some(segment) = self.lower_floor()? {
                return Some(segment);
            }
        }
        None
    }

    /// Moves one large value so that there is a hole for another one, and returns its length; 0 when there is.
    pub(crate) fn join_step(&mut self, value_len: usize) -> usize {
        if !self.is_large(value_len) || self.region.has_hole(value_len) {
            return 0;
        }
        self.region.join_step()
    }

    /// Says for how many bytes the shard is from now on.
    pub(crate) fn limit(&mut self, bytes_max: usize) {
        self.region.limit(capacity(bytes_max, self.segment_bytes));
    }

    /// A segment that has to go elsewhere before memory can be given back to the system.
    pub(crate) fn in_the_way_of_cut(&mut self) -> Option<u32> {
        while self.region.is_over_limit() && self.region.segments() > self.used + SEGMENTS_READY {
            if let Some(segment) = self.lower_floor()? {
                return Some(segment);
            }
        }
        None
    }

    /// What the region takes when all of it is used.
    pub(crate) fn region_bytes(&self) -> usize {
        self.region.bytes()
    }

    /// Moves one large value towards giving memory back, and returns its length; 0 when it is given back.
    pub(crate) fn cut_step(&mut self) -> usize {
        if self.region.is_over_limit() { self.region.cut_step() } else { 0 }
    }

    /// Lowers the floor by one segment, or returns the segment that is in the way; `None` where there is no segment.
    fn lower_floor(&mut self) -> Option<Option<u32>> {
        let highest = self.region.segments().checked_sub(1)?;
        if self.segments.get(highest).is_some_and(|segment| segment.queue.is_some()) {
            return u32::try_from(highest).ok().map(Some);
        }
        self.segments.truncate(highest);
        self.region.lower_floor();
        Some(None)
    }

    /// A free segment below another one.
    pub(crate) fn free_below(&self, segment: u32) -> Option<u32> {
        (self.first_free..segment).find(|number| self.is_free(*number))
    }

    /// Where a record will be when its segment has become another one.
    pub(crate) fn moved(&self, position: Position, to: u32) -> Position {
        self.position(to, self.at(position) - self.number(position) as usize * self.segment_bytes)
    }

    /// Makes a segment become another one, which is free.
    pub(crate) fn move_segment(&mut self, from: u32, to: u32) {
        let bytes = self.segment_bytes;
        let start = from as usize * bytes;
        self.region.memory_mut().copy_within(start..start + bytes, to as usize * bytes);
        self.layout += 1;
        let segment = *self.segment(from);
        *self.segment_mut(to) = segment;
        *self.segment_mut(from) = Segment::FREE;
        if let Some(name) = segment.queue {
            self.queue_mut(name).renumber(from, to);
        }
    }
}
