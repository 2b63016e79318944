//! One stretch of memory for all of a shard: segments below, large values above, and a floor between them that moves.
//!
//! The general allocator would serve values of all sizes, too, but after some churn the process holds half as much again
//! as is in use. Here the bound is the size of the region. Large values slide together when a hole is wanted; segments
//! are all of one size and stay where they are, so that the table can point straight at their records.

use std::cmp::Reverse;
use std::ops::Range;

/// Blocks begin and end at multiples of this: a cache line.
const GRANULE: usize = 64;

/// Names a large value's block; it stays the same when the block moves.
pub(crate) type BlockId = u32;

/// The region. It takes its memory when it is first used, and the system lends it page by page as it is written.
pub(crate) struct Region {
    memory: Vec<u8>,
    capacity: usize,
    segment_bytes: usize,
    /// Segments are below, blocks are above; a multiple of the segments' size.
    floor: usize,
    /// By id; an empty one is free.
    blocks: Vec<Range<usize>>,
    free_ids: Vec<BlockId>,
    /// What is between the blocks, in order, never empty, never two next to each other.
    holes: Vec<Range<usize>>,
    /// The sum of the holes.
    free: usize,
}

impl Region {
    pub(crate) fn new(capacity: usize, segment_bytes: usize) -> Self {
        let capacity = capacity.next_multiple_of(segment_bytes.max(GRANULE));
        Self {
            memory: Vec::new(),
            capacity,
            segment_bytes,
            floor: capacity,
            blocks: Vec::new(),
            free_ids: Vec::new(),
            holes: Vec::new(),
            free: 0,
        }
    }

    /// What a block of so many bytes takes.
    pub(crate) const fn rounded(bytes: usize) -> usize {
        bytes.next_multiple_of(GRANULE)
    }

    /// Bytes of all blocks.
    pub(crate) fn block_bytes(&self) -> usize {
        self.capacity - self.floor - self.free
    }

    /// Bytes of the lists of blocks and holes.
    pub(crate) fn lists_bytes(&self) -> usize {
        (self.blocks.capacity() + self.holes.capacity()) * size_of::<Range<usize>>()
            + self.free_ids.capacity() * size_of::<BlockId>()
    }

    /// What the lists may grow by with the next block.
    pub(crate) fn bytes_to_grow(&self) -> usize {
        let full = self.free_ids.is_empty() && self.blocks.len() == self.blocks.capacity();
        if full {
            growth(self.blocks.len()) * (2 * size_of::<Range<usize>>() + size_of::<BlockId>())
        } else {
            0
        }
    }

    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }

    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        if self.memory.is_empty() {
            self.memory = vec![0; self.capacity];
        }
        &mut self.memory
    }

    /// How many segments there is room for below the floor.
    pub(crate) fn segments(&self) -> usize {
        self.floor / self.segment_bytes
    }

    /// Makes room for one more segment below the floor. Blocks may move.
    pub(crate) fn raise_floor(&mut self) {
        self.ensure_free(self.segment_bytes);
        let floor = self.floor + self.segment_bytes;
        if !self.holes.first().is_some_and(|hole| hole.start == self.floor && hole.end >= floor) {
            self.slide(usize::MAX);
        }
        if let Some(lowest) = self.holes.first_mut() {
            lowest.start = floor;
            if lowest.start == lowest.end {
                self.holes.remove(0);
            }
        }
        self.free -= self.segment_bytes;
        self.floor = floor;
    }

    /// Takes the room of the highest segment, which must be free, for blocks.
    pub(crate) fn lower_floor(&mut self) {
        let start = self.floor - self.segment_bytes;
        match self.holes.first_mut() {
            Some(lowest) if lowest.start == self.floor => lowest.start = start,
            _ => self.holes.insert(0, start..self.floor),
        }
        self.free += self.segment_bytes;
        self.floor = start;
    }

    /// How many segments the floor must be lowered by before a block of so many bytes can be taken.
    pub(crate) fn segments_wanted(&self, bytes: usize) -> usize {
        Self::rounded(bytes).saturating_sub(self.free).div_ceil(self.segment_bytes)
    }

    /// Where a block is now; until the next one is taken or the floor is raised.
    pub(crate) fn place(&self, block: BlockId) -> Range<usize> {
        self.blocks.get(block as usize).cloned().unwrap_or_default()
    }

    /// Takes a block, as high as it fits. Others may move to make room for it.
    pub(crate) fn allocate(&mut self, bytes: usize) -> BlockId {
        let bytes = Self::rounded(bytes.max(1));
        self.ensure_free(bytes);
        let hole = match self.holes.iter().rposition(|hole| hole.len() >= bytes) {
            Some(hole) => hole,
            None => self.slide(bytes),
        };
        let end = self.holes[hole].end;
        self.holes[hole].end -= bytes;
        if self.holes[hole].is_empty() {
            self.holes.remove(hole);
        }
        self.free -= bytes;
        self.enter(end - bytes..end)
    }

    /// Gives a block back.
    pub(crate) fn free(&mut self, block: BlockId) {
        let Some(place) = self.blocks.get_mut(block as usize).map(std::mem::take) else { return };
        self.free_ids.push(block);
        self.free += place.len();
        let next = self.holes.partition_point(|hole| hole.start < place.start);
        let joins_next = self.holes.get(next).is_some_and(|hole| hole.start == place.end);
        let joins_previous = next > 0 && self.holes[next - 1].end == place.start;
        match (joins_previous, joins_next) {
            (true, true) => self.holes[next - 1].end = self.holes.remove(next).end,
            (true, false) => self.holes[next - 1].end = place.end,
            (false, true) => self.holes[next].start = place.start,
            (false, false) => self.holes.insert(next, place),
        }
    }

    /// Gives everything back, the memory included.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity, self.segment_bytes);
    }

    fn enter(&mut self, place: Range<usize>) -> BlockId {
        if let Some(block) = self.free_ids.pop() {
            self.blocks[block as usize] = place;
            return block;
        }
        let length = self.blocks.len();
        if length == self.blocks.capacity() {
            self.blocks.reserve_exact(growth(length));
            // There is at most one hole more than blocks, so these do not grow in between.
            self.free_ids.reserve_exact(self.blocks.capacity());
            self.holes.reserve_exact((self.blocks.capacity() + 1).saturating_sub(self.holes.len()));
        }
        self.blocks.push(place);
        BlockId::try_from(length).unwrap_or(BlockId::MAX)
    }

    /// The shard's account sees to it that there is enough. If it were wrong, memory would be the lesser loss.
    fn ensure_free(&mut self, bytes: usize) {
        let missing = Self::rounded(bytes.saturating_sub(self.free));
        if missing == 0 {
            return;
        }
        let capacity = self.capacity + missing;
        if !self.memory.is_empty() {
            self.memory.resize(capacity, 0);
        }
        match self.holes.last_mut() {
            Some(highest) if highest.end == self.capacity => highest.end = capacity,
            _ => self.holes.push(self.capacity..capacity),
        }
        self.capacity = capacity;
        self.free += missing;
    }

    /// Slides blocks up, from the highest hole down, until there is a hole of this size or all free room is one hole above the
    /// floor, and returns which hole it is. What is moved is in proportion to the size and the share of room that is free.
    fn slide(&mut self, bytes: usize) -> usize {
        let mut hole = self.holes.last().cloned().unwrap_or(self.floor..self.floor);
        let mut order: Vec<usize> = (0..self.blocks.len())
            .filter(|block| !self.blocks[*block].is_empty() && self.blocks[*block].start < hole.start)
            .collect();
        order.sort_unstable_by_key(|block| Reverse(self.blocks[*block].start));
        for (step, block) in order.iter().enumerate() {
            if hole.len() >= bytes {
                break;
            }
            let place = self.blocks[*block].clone();
            let target = hole.end - place.len();
            self.memory_mut().copy_within(place, target);
            self.blocks[*block] = target..hole.end;
            hole.end = target;
            hole.start = order.get(step + 1).map_or(self.floor, |next| self.blocks[*next].end);
        }
        self.holes.retain(|other| other.end <= hole.start);
        self.holes.push(hole);
        self.holes.len() - 1
    }
}

/// An eighth at a time, so that little stands empty.
fn growth(length: usize) -> usize {
    length / 8 + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: usize = 1024;

    /// A region of so many segments, all but `below` of them given to blocks.
    fn region(segments: usize, below: usize) -> Region {
        let mut region = Region::new(segments * SEGMENT, SEGMENT);
        while region.segments() > below {
            region.lower_floor();
        }
        region
    }

    fn filled(region: &mut Region, bytes: usize, with: u8) -> BlockId {
        let block = region.allocate(bytes);
        let place = region.place(block);
        region.memory_mut()[place].fill(with);
        block
    }

    fn holds(region: &Region, block: BlockId, with: u8) -> bool {
        region.memory()[region.place(block)].iter().all(|byte| *byte == with)
    }

    /// Blocks and holes cover what is above the floor, each byte once.
    fn check(region: &Region) {
        let blocks = region.blocks.iter().filter(|block| !block.is_empty());
        let mut all: Vec<(usize, usize, bool)> = blocks
            .map(|block| (block.start, block.end, false))
            .chain(region.holes.iter().map(|hole| (hole.start, hole.end, true)))
            .collect();
        all.sort_unstable();
        let (mut end, mut after_hole) = (region.floor, false);
        for (start, stop, hole) in all {
            assert_eq!(start, end);
            assert!(stop > start && !(hole && after_hole));
            (end, after_hole) = (stop, hole);
        }
        assert_eq!(end, region.capacity);
        assert_eq!(region.block_bytes(), region.blocks.iter().map(Range::len).sum::<usize>());
        assert_eq!(region.free, region.holes.iter().map(Range::len).sum::<usize>());
        assert!(region.holes.is_sorted_by_key(|hole| hole.start));
    }

    #[test]
    fn holes_are_joined_and_used_again() {
        let mut region = region(1, 0);
        let blocks: Vec<BlockId> = (0..16).map(|with| filled(&mut region, 64, with)).collect();
        assert_eq!(region.free, 0);
        for block in [1, 3, 2] {
            region.free(blocks[block]);
            check(&region);
        }
        filled(&mut region, 64 * 3, 99);
        check(&region);
        assert_eq!(region.capacity, SEGMENT);
        assert!(holds(&region, blocks[0], 0) && holds(&region, blocks[4], 4));
    }

    #[test]
    fn blocks_slide_together_for_one_that_fits_nowhere() {
        let mut region = region(1, 0);
        let blocks: Vec<BlockId> = (0..16).map(|with| filled(&mut region, 64, with)).collect();
        let lowest = region.place(blocks[15]);
        for block in [0, 2, 4, 6] {
            region.free(blocks[block]);
        }
        let large = filled(&mut region, 64 * 3, 99);
        check(&region);
        assert!(holds(&region, large, 99));
        assert!([1, 3, 5, 7, 9, 15].iter().all(|block| holds(&region, blocks[*block], *block as u8)));
        assert_eq!(region.place(blocks[15]), lowest, "what need not move stays");
    }

    #[test]
    fn the_floor_moves_both_ways_past_blocks_that_can_move() {
        let mut region = region(4, 2);
        let blocks: Vec<BlockId> = (0..32).map(|with| filled(&mut region, 64, with)).collect();
        assert_eq!(region.segments_wanted(64), 1);
        region.lower_floor();
        assert_eq!(region.segments_wanted(64), 0);
        let more = filled(&mut region, 64, 99);
        for block in (0..32).step_by(2) {
            region.free(blocks[block]);
        }
        check(&region);
        region.raise_floor();
        check(&region);
        assert_eq!((region.segments(), region.capacity), (2, 4 * SEGMENT));
        assert!(holds(&region, more, 99));
        assert!((1..32).step_by(2).all(|block| holds(&region, blocks[block], block as u8)));
    }

    #[test]
    fn every_block_keeps_its_bytes_through_any_churn() {
        const SEGMENTS: usize = 64;
        let mut region = region(SEGMENTS, 8);
        let mut blocks: Vec<(BlockId, u8)> = Vec::new();
        let mut state = 1u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below) as usize
        };
        for step in 0..20_000 {
            let bytes = if random(10) == 0 { random(8_000) } else { random(600) } + 1;
            let with = (step % 251) as u8;
            while region.segments_wanted(bytes) > 0 {
                if random(2) == 0 && region.segments() > 0 {
                    region.lower_floor();
                } else {
                    let (block, with) = blocks.swap_remove(random(blocks.len() as u64));
                    assert!(holds(&region, block, with));
                    region.free(block);
                }
            }
            blocks.push((filled(&mut region, bytes, with), with));
            if random(20) == 0 && region.free >= SEGMENT {
                region.raise_floor();
            }
            if step % 100 == 0 {
                check(&region);
            }
        }
        assert!(blocks.iter().all(|(block, with)| holds(&region, *block, *with)));
        assert_eq!(region.capacity, SEGMENTS * SEGMENT, "what fits into the region never takes more");
    }

    #[test]
    fn a_region_that_is_asked_for_more_than_it_has_grows() {
        let mut region = region(2, 1);
        let first = filled(&mut region, 1_000, 1);
        let second = filled(&mut region, 1_000, 2);
        region.raise_floor();
        check(&region);
        assert!(holds(&region, first, 1) && holds(&region, second, 2));
        assert!(region.capacity > 2 * SEGMENT);
    }

    #[test]
    fn an_empty_region_has_no_memory() {
        let mut region = region(1_000, 0);
        assert_eq!((region.memory.len(), region.block_bytes()), (0, 0));
        filled(&mut region, 100, 1);
        assert_eq!(region.block_bytes(), 128);
        region.clear();
        assert_eq!((region.memory.len(), region.block_bytes(), region.lists_bytes()), (0, 0, 0));
    }
}
