//! The free stretches of a region, found by where they are and by how long they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What one hole takes in both trees at most, whose nodes may be half empty.
pub(super) const HOLE_BYTES: usize = 96;

/// Never empty, never two next to each other.
#[derive(Default)]
pub(crate) struct Holes {
    /// The end by the start.
    by_place: BTreeMap<usize, usize>,
    /// Length and start.
    by_length: BTreeSet<(usize, usize)>,
    /// The sum of the lengths.
    total: usize,
}

impl Holes {
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// What the trees take at most.
    pub(crate) fn bytes(&self) -> usize {
        self.by_place.len() * HOLE_BYTES
    }

    /// The shortest hole of at least this length.
    pub(crate) fn fitting(&self, length: usize) -> Option<Range<usize>> {
        self.by_length.range((length, 0)..).next().map(range)
    }

    /// The same, but not the hole that begins there.
    pub(crate) fn fitting_but(&self, length: usize, start: usize) -> Option<Range<usize>> {
        self.by_length.range((length, 0)..).map(range).find(|hole| hole.start != start)
    }

    /// The longest hole but the one that begins there.
    pub(crate) fn longest_but(&self, start: usize) -> Option<Range<usize>> {
        self.by_length.iter().rev().map(range).find(|hole| hole.start != start)
    }

    /// Whether there is no other.
    pub(crate) fn is_only(&self, hole: &Range<usize>) -> bool {
        self.total == hole.len()
    }

    pub(crate) fn longest(&self) -> Option<Range<usize>> {
        self.by_length.last().map(range)
    }

    /// The lowest hole that begins at or behind a place.
    pub(crate) fn first_from(&self, place: usize) -> Option<Range<usize>> {
        self.by_place.range(place..).next().map(|(start, end)| *start..*end)
    }

    pub(crate) fn last(&self) -> Option<Range<usize>> {
        self.by_place.last_key_value().map(|(start, end)| *start..*end)
    }

    /// Adds a stretch that is free from now on; it joins those next to it.
    pub(crate) fn add(&mut self, mut stretch: Range<usize>) {
        if stretch.is_empty() {
            return;
        }
        let before = self.by_place.range(..stretch.start).next_back().map(|(start, end)| *start..*end);
        if let Some(before) = before.filter(|before| before.end == stretch.start) {
            stretch.start = before.start;
            self.forget(&before);
        }
        if let Some(end) = self.by_place.get(&stretch.end).copied() {
            let behind = stretch.end..end;
            stretch.end = end;
            self.forget(&behind);
        }
        self.by_place.insert(stretch.start, stretch.end);
        self.by_length.insert((stretch.len(), stretch.start));
        self.total += stretch.len();
    }

    /// Takes a hole out; what of it stays free is `rest`.
    pub(crate) fn take(&mut self, hole: &Range<usize>, rest: Range<usize>) {
        self.forget(hole);
        self.add(rest);
    }

    fn forget(&mut self, hole: &Range<usize>) {
        self.by_place.remove(&hole.start);
        self.by_length.remove(&(hole.len(), hole.start));
        self.total -= hole.len();
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        assert_eq!(self.by_place.len(), self.by_length.len());
        self.by_place.iter().map(|(start, end)| *start..*end)
    }
}

fn range((length, start): &(usize, usize)) -> Range<usize> {
    *start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_joined_on_both_sides() {
        let mut holes = Holes::default();
        holes.add(0..10);
        holes.add(20..30);
        holes.add(40..45);
        holes.add(10..20);
        assert_eq!(holes.iter().collect::<Vec<_>>(), [0..30, 40..45]);
        assert_eq!(holes.total(), 35);
    }

    #[test]
    fn the_shortest_that_fits_is_found_and_may_be_taken_in_part() {
        let mut holes = Holes::default();
        for hole in [0..100, 200..250, 300..310] {
            holes.add(hole);
        }
        assert_eq!(holes.fitting(11), Some(200..250));
        assert_eq!((holes.fitting(101), holes.longest()), (None, Some(0..100)));
        holes.take(&(200..250), 200..239);
        assert_eq!(holes.first_from(1), Some(200..239));
        holes.take(&(300..310), 300..300);
        assert_eq!((holes.last(), holes.total()), (Some(200..239), 139));
    }
}
