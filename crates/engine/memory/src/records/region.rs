//! One stretch of memory for all blocks of a shard. Blocks can be moved, so it never fragments for good.
//!
//! The general allocator would serve values of all sizes, too, but after some churn the process holds half as much again
//! as is in use. Here the bound is the size of the region, and a hole is made by sliding blocks together.

use std::ops::Range;

/// Blocks begin and end at multiples of this: a cache line.
const GRANULE: usize = 64;

/// Names a block; it stays the same when the block moves.
pub(crate) type BlockId = u32;

/// The region. It takes its memory with the first block, and the system lends it page by page as it is written.
pub(crate) struct Region {
    memory: Vec<u8>,
    capacity: usize,
    /// By id; an empty one is free.
    blocks: Vec<Range<usize>>,
    free_ids: Vec<BlockId>,
    /// What is between the blocks, in order, never empty, never two next to each other.
    holes: Vec<Range<usize>>,
    used: usize,
}

impl Region {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(GRANULE);
        Self {
            memory: Vec::new(),
            capacity,
            blocks: Vec::new(),
            free_ids: Vec::new(),
            holes: Vec::new(),
            used: 0,
        }
    }

    /// What a block of so many bytes takes.
    pub(crate) const fn rounded(bytes: usize) -> usize {
        bytes.next_multiple_of(GRANULE)
    }

    /// Bytes of all blocks and of the lists of them.
    pub(crate) fn bytes(&self) -> usize {
        self.used + self.lists_bytes()
    }

    /// Bytes of the lists.
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

    /// Where a block is now; until the next block is taken.
    pub(crate) fn place(&self, block: BlockId) -> Range<usize> {
        self.blocks.get(block as usize).cloned().unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> &[u8] {
        &self.memory
    }

    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Takes a block. Others may move to make room for it.
    pub(crate) fn allocate(&mut self, bytes: usize) -> BlockId {
        let bytes = Self::rounded(bytes.max(1));
        if self.memory.is_empty() {
            self.memory = vec![0; self.capacity];
            self.holes.push(0..self.capacity);
        }
        let hole = match self.holes.iter().position(|hole| hole.len() >= bytes) {
            Some(hole) => hole,
            None => self.make_hole(bytes),
        };
        let start = self.holes[hole].start;
        self.holes[hole].start += bytes;
        if self.holes[hole].is_empty() {
            self.holes.remove(hole);
        }
        self.used += bytes;
        self.enter(start..start + bytes)
    }

    /// Gives a block back.
    pub(crate) fn free(&mut self, block: BlockId) {
        let Some(place) = self.blocks.get_mut(block as usize).map(std::mem::take) else { return };
        self.free_ids.push(block);
        self.used -= place.len();
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
        *self = Self::new(self.capacity);
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
            self.holes.reserve_exact(self.blocks.capacity() + 1 - self.holes.len());
        }
        self.blocks.push(place);
        BlockId::try_from(length).unwrap_or(BlockId::MAX)
    }

    /// Slides blocks down, from the first hole on, until there is a hole of this size, and returns which it is.
    /// What is moved is in proportion to the size and the share of memory that is free.
    fn make_hole(&mut self, bytes: usize) -> usize {
        let first = self.holes.first().map_or(self.memory.len(), |hole| hole.start);
        let mut order: Vec<usize> = (0..self.blocks.len())
            .filter(|block| !self.blocks[*block].is_empty() && self.blocks[*block].start > first)
            .collect();
        order.sort_unstable_by_key(|block| self.blocks[*block].start);
        let mut hole = first..self.memory.len();
        for (step, block) in order.iter().enumerate() {
            let place = self.blocks[*block].clone();
            let target = hole.start;
            self.memory.copy_within(place.clone(), target);
            self.blocks[*block] = target..target + place.len();
            hole.start = target + place.len();
            hole.end = order.get(step + 1).map_or(self.memory.len(), |next| self.blocks[*next].start);
            if hole.len() >= bytes {
                break;
            }
        }
        if hole.len() < bytes {
            // The shard's account keeps this from happening. If it were wrong, memory would be the lesser loss.
            hole.end = hole.start + bytes;
            self.memory.resize(hole.end, 0);
        }
        self.holes.retain(|other| other.start >= hole.end);
        self.holes.insert(0, hole);
        0
    }
}

/// An eighth at a time, so that little stands empty.
fn growth(length: usize) -> usize {
    length / 8 + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(region: &mut Region, bytes: usize, with: u8) -> BlockId {
        let block = region.allocate(bytes);
        let place = region.place(block);
        region.memory_mut()[place].fill(with);
        block
    }

    fn holds(region: &Region, block: BlockId, with: u8) -> bool {
        region.memory()[region.place(block)].iter().all(|byte| *byte == with)
    }

    /// Blocks and holes cover the memory, each byte once.
    fn check(region: &Region) {
        let mut all: Vec<(usize, usize, bool)> = region
            .blocks
            .iter()
            .filter(|block| !block.is_empty())
            .map(|block| (block.start, block.end, false))
            .chain(region.holes.iter().map(|hole| (hole.start, hole.end, true)))
            .collect();
        all.sort_unstable();
        let mut end = 0;
        let mut after_hole = false;
        for (start, stop, hole) in all {
            assert_eq!(start, end);
            assert!(stop > start && !(hole && after_hole));
            (end, after_hole) = (stop, hole);
        }
        assert_eq!(end, region.memory.len());
        assert_eq!(region.used, region.blocks.iter().map(Range::len).sum::<usize>());
    }

    #[test]
    fn holes_are_joined_and_used_again() {
        let mut region = Region::new(64 * 4);
        let blocks: Vec<BlockId> = (0..4).map(|with| filled(&mut region, 64, with)).collect();
        for block in [1, 3, 2] {
            region.free(blocks[block]);
            check(&region);
        }
        filled(&mut region, 64 * 3, 9);
        check(&region);
        assert!(holds(&region, blocks[0], 0));
        assert_eq!(region.memory.len(), 64 * 4);
    }

    #[test]
    fn blocks_slide_together_for_one_that_fits_nowhere() {
        let mut region = Region::new(64 * 8);
        let blocks: Vec<BlockId> = (0..8).map(|with| filled(&mut region, 64, with)).collect();
        for block in [0, 2, 4, 6] {
            region.free(blocks[block]);
        }
        let large = filled(&mut region, 64 * 3, 99);
        check(&region);
        assert!(holds(&region, large, 99));
        for block in [1, 3, 5, 7] {
            assert!(holds(&region, blocks[block], block as u8));
        }
        assert!(region.place(blocks[7]).start == 64 * 7, "what need not move stays");
    }

    #[test]
    fn every_block_keeps_its_bytes_through_any_churn() {
        const CAPACITY: usize = 64 * 1024;
        let mut region = Region::new(CAPACITY);
        let mut blocks: Vec<(BlockId, u8, usize)> = Vec::new();
        let mut state = 1u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below) as usize
        };
        for step in 0..20_000 {
            let bytes = if random(10) == 0 { random(8_000) } else { random(600) } + 1;
            while region.used + Region::rounded(bytes) > CAPACITY {
                let (block, with, _) = blocks.swap_remove(random(blocks.len() as u64));
                assert!(holds(&region, block, with));
                region.free(block);
            }
            let with = (step % 251) as u8;
            blocks.push((filled(&mut region, bytes, with), with, bytes));
            assert!(region.place(blocks[blocks.len() - 1].0).len() >= bytes);
            if step % 100 == 0 {
                check(&region);
            }
        }
        assert!(blocks.iter().all(|(block, with, _)| holds(&region, *block, *with)));
        assert_eq!(region.memory.len(), CAPACITY, "what fits into the capacity never takes more");
    }

    #[test]
    fn an_empty_region_has_no_memory() {
        let mut region = Region::new(1 << 20);
        assert_eq!((region.memory.len(), region.bytes()), (0, 0));
        filled(&mut region, 100, 1);
        assert!(region.bytes() >= 128);
        region.clear();
        assert_eq!((region.memory.len(), region.bytes()), (0, 0));
    }
}
