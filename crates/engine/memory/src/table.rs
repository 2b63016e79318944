//! Which key is where: one table in parts, so that growing or shrinking it never moves more than one part at a time.

use hashbrown::HashTable;

use crate::records::heap::Position;

/// There is a part for every so many bytes of a shard: some thousands of small entries.
const BYTES_OF_PART: usize = 512 * 1024;
/// Parts of one table.
const PARTS_MAX: usize = 8 * 1024;
/// Spreads the hash anew: its own bits already choose the shard and the place in a part.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The positions of a shard's entries, by the hashes of their keys.
pub(crate) struct Table {
    parts: Box<[HashTable<Position>]>,
    len: usize,
    /// Of all parts' allocations.
    bytes: usize,
}

impl Table {
    /// For a shard of so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let count = (bytes_max / BYTES_OF_PART).clamp(1, PARTS_MAX).next_power_of_two();
        Self { parts: (0..count).map(|_| HashTable::new()).collect(), len: 0, bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.bytes_empty()
    }

    pub(crate) fn bytes_empty(&self) -> usize {
        self.parts.len() * size_of::<HashTable<Position>>()
    }

    /// What one more entry may take at most.
    pub(crate) fn bytes_to_grow(&self, hash: u64) -> usize {
        let part = &self.parts[self.part(hash)];
        if part.len() == part.capacity() { part.allocation_size() + 64 } else { 0 }
    }

    pub(crate) fn find(&self, hash: u64, is: impl FnMut(&Position) -> bool) -> Option<Position> {
        self.parts[self.part(hash)].find(hash, is).copied()
    }

    /// `hash_of` is asked for the hashes of others when a part grows.
    pub(crate) fn insert(&mut self, hash: u64, position: Position, hash_of: impl Fn(&Position) -> u64) {
        self.len += 1;
        self.change(hash, |part| _ = part.insert_unique(hash, position, hash_of));
    }

    /// Says that an entry is elsewhere from now on.
    pub(crate) fn moved(&mut self, hash: u64, from: Position, to: Position) {
        let part = &mut self.parts[self.part(hash)];
        if let Some(position) = part.find_mut(hash, |&position| position == from) {
            *position = to;
        }
    }

    pub(crate) fn remove(&mut self, hash: u64, position: Position, hash_of: impl Fn(&Position) -> u64) {
        let part = &mut self.parts[self.part(hash)];
        let Ok(entry) = part.find_entry(hash, |&other| other == position) else { return };
        entry.remove();
        self.len -= 1;
        if part.len() < part.capacity() / 8 {
            self.change(hash, |part| part.shrink_to(part.len() * 2, hash_of));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.parts.fill_with(HashTable::new);
        (self.len, self.bytes) = (0, 0);
    }

    fn change(&mut self, hash: u64, change: impl FnOnce(&mut HashTable<Position>)) {
        let part = &mut self.parts[self.part(hash)];
        let before = part.allocation_size();
        change(part);
        self.bytes = self.bytes + part.allocation_size() - before;
    }

    /// The number of parts is a power of two.
    fn part(&self, hash: u64) -> usize {
        (hash.wrapping_mul(SPREAD) >> 40) as usize & (self.parts.len() - 1)
    }
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
            let parts: usize = table.parts.iter().map(HashTable::allocation_size).sum();
            assert_eq!(table.bytes(), parts + empty);
            assert_eq!(table.len(), table.parts.iter().map(HashTable::len).sum::<usize>());
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
}
