//! Which key is where: one table in parts, so that growing or shrinking it never moves more than one part at a time.
//!
//! Within a part, an entry is in the bucket that its hash names, or in the next one with room. A look-up so reads one
//! cache line before the record itself.

use crate::bucket::{Bucket, SLOTS};
use crate::records::heap::Position;

/// There is a part for every so many bytes of a shard: some thousands of small entries.
const BYTES_OF_PART: usize = 512 * 1024;
/// Parts of one table.
const PARTS_MAX: usize = 8 * 1024;
/// Spreads the hash anew for what is not its lower half: that names the bucket, and some of the upper one the shard.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The positions of a shard's entries, by the hashes of their keys.
pub(crate) struct Table {
    parts: Box<[Part]>,
    len: usize,
    /// Of all parts' buckets.
    bytes: usize,
}

#[derive(Clone, Default)]
struct Part {
    buckets: Box<[Bucket]>,
    len: usize,
}

impl Table {
    /// For a shard of so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let count = (bytes_max / BYTES_OF_PART).clamp(1, PARTS_MAX).next_power_of_two();
        Self { parts: vec![Part::default(); count].into(), len: 0, bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many parts there are, always.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// How many entries are in a part.
    pub(crate) fn len_of(&self, part: usize) -> usize {
        self.parts.get(part).map_or(0, |part| part.len)
    }

    /// The entries of a part of which the lower halves of the hashes lie between these, and some others beside them.
    pub(crate) fn entries_about(
        &self,
        part: usize,
        first: u32,
        last: u32,
    ) -> impl Iterator<Item = Position> + '_ {
        let buckets = self.parts.get(part).into_iter().flat_map(move |part| part.buckets_about(first, last));
        buckets.flat_map(Bucket::iter)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.bytes_empty()
    }

    pub(crate) fn bytes_empty(&self) -> usize {
        self.parts.len() * size_of::<Part>()
    }

    /// What one more entry may take at most.
    pub(crate) fn bytes_to_grow(&self, hash: u64) -> usize {
        let part = &self.parts[self.part(hash)];
        if part.is_full() { (part.grown() - part.buckets.len()) * size_of::<Bucket>() } else { 0 }
    }

    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&Position) -> bool) -> Option<Position> {
        self.parts[self.part(hash)].find(hash, is)
    }

    /// `hash_of` is asked for the hashes of others when a part grows.
    pub(crate) fn insert(&mut self, hash: u64, position: Position, hash_of: impl Fn(&Position) -> u64) {
        self.len += 1;
        let part = self.part(hash);
        if self.parts[part].is_full() {
            let count = self.parts[part].grown();
            self.resize(part, count, hash_of);
        }
        self.parts[part].insert(hash, position);
    }

    /// Says that an entry is elsewhere from now on.
    pub(crate) fn moved(&mut self, hash: u64, from: Position, to: Position) {
        let part = &mut self.parts[self.part(hash)];
        if let Some((bucket, slot)) = part.place(hash, |&position| position == from) {
            part.buckets[bucket].set_position(slot, to);
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, position: Position, hash_of: impl Fn(&Position) -> u64) {
        let index = self.part(hash);
        let part = &mut self.parts[index];
        if !part.remove(hash, position) {
            return;
        }
        let (len, count) = (part.len, part.buckets.len());
        self.len -= 1;
        if len < entries_max(count) / 8 {
            self.resize(index, buckets_for(len * 2), hash_of);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.parts.fill(Part::default());
        (self.len, self.bytes) = (0, 0);
    }

    /// Gives a part another number of buckets. It has room for what is in it.
    fn resize(&mut self, part: usize, count: usize, hash_of: impl Fn(&Position) -> u64) {
        let part = &mut self.parts[part];
        let before = std::mem::replace(&mut part.buckets, vec![Bucket::default(); count].into());
        part.len = 0;
        for position in before.iter().flat_map(Bucket::iter) {
            part.insert(hash_of(&position), position);
        }
        self.bytes = self.bytes + size_of_val(&*part.buckets) - size_of_val(&*before);
    }

    /// The number of parts is a power of two.
    fn part(&self, hash: u64) -> usize {
        (hash.wrapping_mul(SPREAD) >> 40) as usize & (self.parts.len() - 1)
    }
}

impl Part {
    fn is_full(&self) -> bool {
        self.len >= entries_max(self.buckets.len())
    }

    /// How many buckets it has next.
    fn grown(&self) -> usize {
        (self.buckets.len() * 3 / 2).max(self.buckets.len() + 1)
    }

    /// The bucket that the hash names. Any number of buckets is named evenly.
    fn first(&self, hash: u64) -> usize {
        ((u64::from(hash as u32) * self.buckets.len() as u64) >> 32) as usize
    }

    /// The buckets that such hashes name, and those behind them to which their entries may have gone on.
    fn buckets_about(&self, first: u32, last: u32) -> impl Iterator<Item = &Bucket> {
        let [first, last] = [first, last].map(|hash| self.first(u64::from(hash)));
        let mut goes_on = true;
        let all = self.buckets.iter().cycle().skip(first).take(self.buckets.len()).enumerate();
        all.take_while(move |(number, bucket)| {
            let is_named = first + number <= last;
            let reached = is_named || goes_on;
            goes_on = bucket.goes_on();
            reached
        })
        .map(|(_, bucket)| bucket)
    }

    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    fn find(&self, hash: u64, is: impl FnMut(&Position) -> bool) -> Option<Position> {
        let (bucket, slot) = self.place(hash, is)?;
        self.buckets[bucket].position(slot)
    }

    /// Bucket and slot of an entry.
    fn place(&self, hash: u64, mut is: impl FnMut(&Position) -> bool) -> Option<(usize, usize)> {
        let (tag, mut at) = (tag(hash), self.first(hash));
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            if let Some(slot) = bucket.find(tag, &mut is) {
                return Some((at, slot));
            }
            if !bucket.goes_on() {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// There is room: a part is never quite full.
    fn insert(&mut self, hash: u64, position: Position) {
        let (tag, mut at) = (tag(hash), self.first(hash));
        while !self.buckets[at].insert(tag, position) {
            self.buckets[at].pass();
            at = self.next(at);
        }
        self.len += 1;
    }

    fn remove(&mut self, hash: u64, position: Position) -> bool {
        let Some((bucket, slot)) = self.place(hash, |&other| other == position) else { return false };
        self.buckets[bucket].free(slot);
        self.len -= 1;
        let mut at = self.first(hash);
        while at != bucket {
            self.buckets[at].pass_no_more();
            at = self.next(at);
        }
        true
    }
}

/// Entries that so many buckets take: four fifths of their slots, beyond which many would be in a later bucket than theirs.
fn entries_max(buckets: usize) -> usize {
    buckets * SLOTS * 4 / 5
}

/// How many buckets take so many entries.
fn buckets_for(entries: usize) -> usize {
    (entries * 5).div_ceil(SLOTS * 4)
}

/// Seven bits of the hash that name neither part nor bucket, and the one that says that there is an entry.
fn tag(hash: u64) -> u8 {
    (hash.wrapping_mul(SPREAD) >> 56) as u8 | 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions stand for their own hashes, spread over 64 bits.
    fn hash(position: Position) -> u64 {
        u64::from(position).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31).wrapping_mul(SPREAD)
    }

    #[test]
    fn a_table_never_grows_by_more_than_one_of_its_parts() {
        let mut table = Table::new(64 * 1024 * 1024);
        let (mut bytes, mut growth_max) = (table.bytes(), 0);
        for position in 0..500_000 {
            table.insert(hash(position), position, |&other| hash(other));
            growth_max = growth_max.max(table.bytes() - bytes);
            bytes = table.bytes();
        }
        assert!(growth_max <= bytes / 64, "{growth_max} of {bytes} bytes at once");
        assert!(
            (0..500_000)
                .all(|position| { table.find(hash(position), |&other| other == position) == Some(position) })
        );
    }

    #[test]
    fn what_is_counted_is_what_the_parts_take() {
        let mut table = Table::new(4 * 1024 * 1024);
        let empty = table.bytes();
        let counted = |table: &Table| {
            let parts: usize = table.parts.iter().map(|part| size_of_val(&*part.buckets)).sum();
            assert_eq!(table.bytes(), parts + empty);
            assert_eq!(table.len(), table.parts.iter().map(|part| part.len).sum::<usize>());
        };
        for position in 0..50_000 {
            table.insert(hash(position), position, |&other| hash(other));
        }
        counted(&table);
        for position in 0..49_000 {
            table.remove(hash(position), position, |&other| hash(other));
        }
        counted(&table);
        assert!(table.bytes() < 64 * 1024, "it becomes small again");
        table.clear();
        counted(&table);
        assert_eq!((table.len(), table.bytes()), (0, empty));
    }

    #[test]
    fn it_does_what_a_map_does_also_where_hashes_collide() {
        let mut random = 1_u64;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for spread in [1, 1_000, u64::MAX] {
            let mut table = Table::new(1);
            let mut model = std::collections::BTreeMap::new();
            let hash_of = |position: &Position| hash(*position) % spread;
            for step in 0..40_000_u32 {
                let key = draw(4_000) as Position;
                // It fills, then empties.
                if draw(100) < if step < 20_000 { 70 } else { 25 } {
                    if model.insert(key, ()).is_none() {
                        table.insert(hash_of(&key), key, hash_of);
                    }
                } else {
                    model.remove(&key);
                    table.remove(hash_of(&key), key, hash_of);
                }
                assert_eq!(table.len(), model.len());
                let asked = draw(4_000) as Position;
                let found = table.find(hash_of(&asked), |&other| other == asked);
                assert_eq!(found, model.contains_key(&asked).then_some(asked));
            }
            for key in 0..4_000 {
                table.remove(hash_of(&key), key, hash_of);
            }
            let goes_on = table.parts.iter().flat_map(|part| &part.buckets).any(Bucket::goes_on);
            assert!(!goes_on, "nothing is left that sends look-ups on");
        }
    }

    #[test]
    fn an_entry_that_was_moved_is_found_in_its_new_place_only() {
        let mut table = Table::new(1);
        (0..100).for_each(|position| table.insert(hash(position), position, |&other| hash(other)));
        table.moved(hash(7), 7, 700);
        assert_eq!(table.find(hash(7), |&other| other == 700), Some(700));
        assert_eq!(table.find(hash(7), |&other| other == 7), None);
    }
}
