//! One cache line of the table: what a look-up must read to know where a record may be.
//!
//! The layout is that of F14's chunks of four-byte values (Facebook's folly): tags and values side by side, and a count
//! of those who went on to a later line for want of room, so that nothing marks where something was removed.

use crate::records::heap::Position;

/// Entries that one line takes.
pub(crate) const SLOTS: usize = 12;
/// The tag of a place with nothing in it. Those of entries have their highest bit set.
const FREE: u8 = 0;
/// One in every byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Twelve positions with a tag each.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    tags: [u8; SLOTS],
    /// How many entries would be here and are in a later bucket.
    passed: u32,
    positions: [Position; SLOTS],
}

impl Bucket {
    /// Whether an entry that is not here may be in a later one.
    pub(crate) fn goes_on(&self) -> bool {
        self.passed > 0
    }

    /// An entry has found no room here.
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// Such an entry has left.
    pub(crate) fn pass_no_more(&mut self) {
        self.passed = self.passed.saturating_sub(1);
    }

    /// The slot of the entry with this tag whose position is the one.
    #[inline]
    pub(crate) fn find(&self, tag: u8, mut is: impl FnMut(&Position) -> bool) -> Option<usize> {
        let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11] = self.tags;
        let first = u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        let last = u32::from_le_bytes([t8, t9, t10, t11]);
        for (half, word) in [first, u64::from(last)].into_iter().enumerate() {
            let mut equal = equal_bytes(word, tag);
            while equal != 0 {
                let slot = half * 8 + equal.trailing_zeros() as usize / 8;
                if self.positions.get(slot).is_some_and(&mut is) {
                    return Some(slot);
                }
                equal &= equal - 1;
            }
        }
        None
    }

    pub(crate) fn position(&self, slot: usize) -> Option<Position> {
        self.positions.get(slot).copied()
    }

    pub(crate) fn set_position(&mut self, slot: usize, position: Position) {
        if let Some(place) = self.positions.get_mut(slot) {
            *place = position;
        }
    }

    /// Takes the entry in, if there is room.
    pub(crate) fn insert(&mut self, tag: u8, position: Position) -> bool {
        let Some(slot) = self.tags.iter().position(|tag| *tag == FREE) else { return false };
        self.tags[slot] = tag;
        self.positions[slot] = position;
        true
    }

    pub(crate) fn free(&mut self, slot: usize) {
        if let Some(tag) = self.tags.get_mut(slot) {
            *tag = FREE;
        }
    }

    /// The entries here.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Position> + '_ {
        self.tags.iter().zip(self.positions).filter(|(tag, _)| **tag != FREE).map(|(_, position)| position)
    }
}

/// The highest bit of every byte that is the tag, and sometimes that of a byte above such a one that differs from it in the
/// lowest bit: whoever asks looks at the entry anyway. A free place is never among them, since its highest bit differs.
fn equal_bytes(word: u64, tag: u8) -> u64 {
    let differing = word ^ (ONES * u64::from(tag));
    differing.wrapping_sub(ONES) & !differing & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_cache_line() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    #[test]
    fn every_entry_of_a_full_bucket_is_found_and_no_other() {
        let mut bucket = Bucket::default();
        for slot in 0..SLOTS {
            assert!(bucket.insert(0x80 | slot as u8, slot as Position));
        }
        assert!(!bucket.insert(0x80, 99));
        for slot in 0..SLOTS {
            let found = bucket.find(0x80 | slot as u8, |position| *position == slot as Position);
            assert_eq!(found, Some(slot));
            assert_eq!(bucket.find(0x80 | slot as u8, |_| false), None);
        }
        assert_eq!(bucket.find(0xff, |_| true), None);
        assert_eq!(bucket.iter().count(), SLOTS);
    }

    #[test]
    fn of_equal_tags_the_right_one_is_found_and_what_was_freed_is_not() {
        let mut bucket = Bucket::default();
        for position in 0..SLOTS as Position {
            bucket.insert(0xaa, position);
        }
        let find = |bucket: &Bucket, wanted| bucket.find(0xaa, |position| *position == wanted);
        let slot = find(&bucket, 7).unwrap();
        bucket.free(slot);
        assert_eq!(find(&bucket, 7), None);
        assert_eq!(find(&bucket, 8), Some(8));
        assert!(bucket.insert(0xab, 70));
        assert_eq!(bucket.find(0xab, |position| *position == 70), Some(slot));
    }

    #[test]
    fn free_places_have_no_tag_that_an_entry_could_have() {
        let bucket = Bucket::default();
        for tag in 0x80..=0xff {
            assert_eq!(bucket.find(tag, |_| true), None, "{tag}");
        }
    }
}
