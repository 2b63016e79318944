//! One stretch of memory for all of a shard: segments below, large values above, and a floor between them that moves.
//!
//! The general allocator would serve values of all sizes, too, but after some churn the process holds half as much again
//! as is in use. Here the bound is the size of the region. A large value goes into the shortest hole that takes it; where
//! none does, others are moved, one at each call, so that whoever holds the lock decides when it is enough for now.
//! Segments are all of one size and stay where they are, so that the table can point straight at their records.

use std::collections::BTreeMap;
use std::ops::Range;

use super::holes::{HOLE_BYTES, Holes};

/// Blocks begin and end at multiples of this: a cache line.
const GRANULE: usize = 64;
/// What a block takes in the tree of blocks at most, whose nodes may be half empty.
const ORDER_BYTES: usize = 48;
/// A region that may grow does so by one in so many bytes, so that it rarely has to.
const GROWTH_SHARE: usize = 16;

/// Names a large value's block; it stays the same when the block moves.
pub(crate) type BlockId = u32;

/// The region. It takes its memory when it is first used, and the system lends it page by page as it is written.
pub(crate) struct Region {
    memory: Vec<u8>,
    capacity: usize,
    /// It grows up to this where room is wanted.
    capacity_max: usize,
    segment_bytes: usize,
    /// Segments are below, blocks are above; a multiple of the segments' size.
    floor: usize,
    /// By id; an empty one is free.
    blocks: Vec<Range<usize>>,
    free_ids: Vec<BlockId>,
    /// Blocks by where they begin.
    order: BTreeMap<usize, BlockId>,
    /// What is between the blocks.
    holes: Holes,
}

impl Region {
    pub(crate) fn new(capacity: usize, segment_bytes: usize) -> Self {
        let capacity = capacity.next_multiple_of(segment_bytes.max(GRANULE));
        Self {
            memory: Vec::new(),
            capacity,
            capacity_max: capacity,
            segment_bytes,
            floor: capacity,
            blocks: Vec::new(),
            free_ids: Vec::new(),
            order: BTreeMap::new(),
            holes: Holes::default(),
        }
    }

    /// What a block of so many bytes takes.
    pub(crate) const fn rounded(bytes: usize) -> usize {
        bytes.next_multiple_of(GRANULE)
    }

    /// Bytes of all of it.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity
    }

    /// Bytes of all blocks.
    pub(crate) fn block_bytes(&self) -> usize {
        self.capacity - self.floor - self.holes.total()
    }

    /// Bytes of the lists of blocks and holes.
    pub(crate) fn lists_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Range<usize>>()
            + self.free_ids.capacity() * size_of::<BlockId>()
            + self.order.len() * ORDER_BYTES
            + self.holes.bytes()
    }

    /// What the lists may grow by with the next block: an eighth at a time, and a hole.
    pub(crate) fn bytes_to_grow(&self) -> usize {
        let full = self.free_ids.is_empty() && self.blocks.len() == self.blocks.capacity();
        let lists = if full { growth(self.blocks.len()) } else { 0 };
        lists * (size_of::<Range<usize>>() + size_of::<BlockId>()) + ORDER_BYTES + HOLE_BYTES
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

    /// Whether the floor can be raised by a segment without moving a block.
    pub(crate) fn can_raise(&self) -> bool {
        let lowest = self.holes.first_from(self.floor);
        lowest.is_some_and(|hole| hole.start == self.floor && hole.len() >= self.segment_bytes)
    }

    /// Moves one block so that the floor is on the way to be raised, and returns its length; 0 where there is nothing to move.
    /// The lowest block goes to a hole that takes it. Until there is one holes are joined, but for the one at the floor, which
    /// therefore only ever grows: this comes to an end.
    pub(crate) fn raise_step(&mut self) -> usize {
        self.ensure_free(self.segment_bytes);
        let Some((_, &block)) = self.order.range(self.floor..).next() else { return 0 };
        let place = self.place(block);
        if let Some(hole) = self.holes.fitting_but(place.len(), self.floor) {
            self.relocate(block, &hole);
            return place.len();
        }
        let Some(longest) = self.holes.longest_but(self.floor) else { return 0 };
        self.rise_or_sink(&longest)
    }

    /// Makes room for one more segment below the floor. Blocks may move.
    pub(crate) fn raise_floor(&mut self) {
        self.ensure_free(self.segment_bytes);
        while !self.can_raise() && self.raise_step() > 0 {}
        if let Some(lowest) = self.holes.first_from(self.floor) {
            self.holes.take(&lowest, lowest.start + self.segment_bytes..lowest.end);
        }
        self.floor += self.segment_bytes;
    }

    /// Takes the room of the highest segment, which must be free, for blocks.
    pub(crate) fn lower_floor(&mut self) {
        let start = self.floor - self.segment_bytes;
        self.holes.add(start..self.floor);
        self.floor = start;
    }

    /// Whether less is free above the floor than a block of so many bytes takes.
    pub(crate) fn lacks(&mut self, bytes: usize) -> bool {
        self.grow_for(Self::rounded(bytes));
        Self::rounded(bytes) > self.holes.total()
    }

    /// Where a block is now; until the next one is taken, or blocks are moved.
    pub(crate) fn place(&self, block: BlockId) -> Range<usize> {
        self.blocks.get(block as usize).cloned().unwrap_or_default()
    }

    /// Whether a block of so many bytes can be taken without moving others.
    pub(crate) fn has_hole(&self, bytes: usize) -> bool {
        self.holes.fitting(Self::rounded(bytes.max(1))).is_some()
    }

    /// Moves one block so that the longest hole comes nearer to the next one, and returns the block's length; 0 where all that
    /// is free is one hole. It rises while there are holes above it and then sinks, so that no block is in its way twice.
    pub(crate) fn join_step(&mut self) -> usize {
        let Some(longest) = self.holes.longest() else { return 0 };
        if self.holes.is_only(&longest) { 0 } else { self.rise_or_sink(&longest) }
    }

    /// Takes a block, out of the shortest hole that it fits. Others move to make room for it if there is no such hole.
    pub(crate) fn allocate(&mut self, bytes: usize) -> BlockId {
        let bytes = Self::rounded(bytes.max(1));
        self.ensure_free(bytes);
        while !self.has_hole(bytes) && self.join_step() > 0 {}
        let hole = self.holes.fitting(bytes).unwrap_or_default();
        let place = hole.end - bytes..hole.end;
        self.holes.take(&hole, hole.start..place.start);
        self.enter(place)
    }

    /// Gives a block back.
    pub(crate) fn free(&mut self, block: BlockId) {
        let Some(place) = self.blocks.get_mut(block as usize).map(std::mem::take) else { return };
        self.order.remove(&place.start);
        self.free_ids.push(block);
        self.holes.add(place);
    }

    /// Gives everything back, the memory included.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity_max, self.segment_bytes);
    }

    /// Says how large it may become. It grows where room is wanted; for it to become smaller `cut_step` is called.
    pub(crate) fn limit(&mut self, capacity: usize) {
        self.capacity_max = capacity.next_multiple_of(self.segment_bytes.max(GRANULE));
        if self.memory.is_empty() {
            self.clear();
        }
    }

    /// Whether it is larger than it may become.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.capacity > self.capacity_max
    }

    /// Moves one block down so that the highest hole is on the way to reach the top, or gives what is free at the top back to
    /// the system. Returns how many bytes were moved; 0 when it is within the limit, or as small as it can be.
    pub(crate) fn cut_step(&mut self) -> usize {
        let top = self.holes.last().filter(|hole| hole.end == self.capacity);
        if let Some(top) = top.as_ref().filter(|top| top.start <= self.capacity_max) {
            self.holes.take(top, top.start..self.capacity_max);
            self.capacity = self.capacity_max;
            self.memory.truncate(self.capacity);
            self.memory.shrink_to_fit();
            return 0;
        }
        let below = top.map_or(self.capacity, |top| top.start);
        self.holes
            .first_from(self.floor)
            .filter(|hole| hole.start < below)
            .map_or(0, |hole| self.slide_down(&hole))
    }

    fn enter(&mut self, place: Range<usize>) -> BlockId {
        let block = self.free_ids.pop().unwrap_or_else(|| {
            let length = self.blocks.len();
            if length == self.blocks.capacity() {
                self.blocks.reserve_exact(growth(length));
                self.free_ids.reserve_exact(self.blocks.capacity());
            }
            self.blocks.push(0..0);
            BlockId::try_from(length).unwrap_or(BlockId::MAX)
        });
        self.put(block, place);
        block
    }

    /// Grows within the limit until so much is free.
    fn grow_for(&mut self, bytes: usize) {
        let missing = bytes.saturating_sub(self.holes.total());
        let room = self.capacity_max.saturating_sub(self.capacity);
        if missing > 0 && room > 0 {
            self.extend(missing.max(self.capacity / GROWTH_SHARE).min(room));
        }
    }

    /// The shard's account sees to it that there is enough. If it were wrong, memory would be the lesser loss.
    fn ensure_free(&mut self, bytes: usize) {
        self.grow_for(bytes);
        self.extend(bytes.saturating_sub(self.holes.total()));
    }

    fn extend(&mut self, bytes: usize) {
        let capacity = self.capacity + Self::rounded(bytes);
        if !self.memory.is_empty() {
            self.memory.reserve_exact(capacity - self.capacity);
            self.memory.resize(capacity, 0);
        }
        self.holes.add(self.capacity..capacity);
        self.capacity = capacity;
    }

    /// Moves a block to the end of a hole elsewhere.
    fn relocate(&mut self, block: BlockId, hole: &Range<usize>) {
        let place = self.place(block);
        let target = hole.end - place.len();
        self.holes.take(hole, hole.start..target);
        self.copy(block, target);
        self.holes.add(place);
    }

    /// Towards the holes above while there are any, then towards those below.
    fn rise_or_sink(&mut self, hole: &Range<usize>) -> usize {
        match self.holes.first_from(hole.end) {
            Some(_) => self.slide_down(hole),
            None => self.slide_up(hole),
        }
    }

    /// Moves the block right below a hole to the hole's end.
    fn slide_up(&mut self, hole: &Range<usize>) -> usize {
        let Some((_, &block)) = self.order.range(..hole.start).next_back() else { return 0 };
        let place = self.place(block);
        self.holes.take(hole, 0..0);
        self.copy(block, place.start + hole.len());
        self.holes.add(place.start..place.start + hole.len());
        place.len()
    }

    /// Moves the block right above a hole to the hole's start.
    fn slide_down(&mut self, hole: &Range<usize>) -> usize {
        let Some(&block) = self.order.get(&hole.end) else { return 0 };
        let place = self.place(block);
        self.holes.take(hole, 0..0);
        self.copy(block, hole.start);
        self.holes.add(hole.start + place.len()..place.end);
        place.len()
    }

    fn copy(&mut self, block: BlockId, target: usize) {
        let place = self.place(block);
        self.memory_mut().copy_within(place.clone(), target);
        self.order.remove(&place.start);
        self.put(block, target..target + place.len());
    }

    fn put(&mut self, block: BlockId, place: Range<usize>) {
        self.order.insert(place.start, block);
        if let Some(entered) = self.blocks.get_mut(block as usize) {
            *entered = place;
        }
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
        assert_eq!(region.holes.total(), region.holes.iter().map(|hole| hole.len()).sum::<usize>());
        let in_order: Vec<&Range<usize>> =
            region.order.values().map(|block| &region.blocks[*block as usize]).collect();
        assert!(in_order.is_sorted_by_key(|block| block.start));
        assert_eq!(in_order.len() + region.free_ids.len(), region.blocks.len());
    }

    #[test]
    fn holes_are_joined_and_used_again() {
        let mut region = region(1, 0);
        let blocks: Vec<BlockId> = (0..16).map(|with| filled(&mut region, 64, with)).collect();
        assert_eq!(region.holes.total(), 0);
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
        assert!(region.lacks(64));
        region.lower_floor();
        assert!(!region.lacks(64));
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
            while region.lacks(bytes) {
                if random(2) == 0 && region.segments() > 0 {
                    region.lower_floor();
                } else {
                    let (block, with) = blocks.swap_remove(random(blocks.len() as u64));
                    assert!(holds(&region, block, with));
                    region.free(block);
                }
            }
            blocks.push((filled(&mut region, bytes, with), with));
            if random(20) == 0 && region.holes.total() >= SEGMENT {
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

    /// A large region, full of blocks of many sizes but for one in sixteen bytes, here and there.
    fn scattered() -> Region {
        let mut region = region(64 * 1024, 0);
        let mut state = 3u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut blocks = Vec::new();
        while region.holes.total() > 64 * SEGMENT {
            blocks.push(region.allocate(1 + random(32 * SEGMENT as u64) as usize));
        }
        while region.holes.total() < region.capacity / 16 {
            region.free(blocks.swap_remove(random(blocks.len() as u64) as usize));
        }
        region
    }

    #[test]
    fn raising_the_floor_moves_in_proportion_to_the_rise_and_not_to_the_region() {
        let mut region = scattered();
        let (mut moved, rise) = (0, 256);
        for _ in 0..rise {
            while !region.can_raise() {
                moved += region.raise_step();
            }
            region.raise_floor();
        }
        check(&region);
        assert!(
            moved <= 4 * rise * SEGMENT,
            "{moved} bytes for {} of a region of {}",
            rise * SEGMENT,
            region.capacity
        );
    }

    #[test]
    fn joining_holes_moves_in_proportion_to_the_hole_that_is_wanted() {
        let mut region = scattered();
        let wanted = 256 * SEGMENT;
        let mut moved = 0;
        while !region.has_hole(wanted) {
            moved += region.join_step();
        }
        check(&region);
        assert!(moved <= 32 * wanted, "{moved} bytes for {wanted} of a region of {}", region.capacity);
    }
}
