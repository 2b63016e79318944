//! Offsets as ranges, joined where they touch. Pure.

use std::collections::BTreeMap;

use super::contiguous::Offset;

/// Each beginning with its end, which is not in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(BTreeMap<Offset, Offset>);

impl Ranges {
    /// Adds a range, joined with those that it touches.
    pub(crate) fn add(&mut self, mut start: Offset, mut end: Offset) {
        if start >= end {
            return;
        }
        if let Some((before, until)) = self.0.range(..=start).next_back()
            && *until >= start
        {
            (start, end) = (*before, end.max(*until));
        }
        while let Some((next, until)) = self.0.range(start..=end).next().map(|(s, e)| (*s, *e)) {
            self.0.remove(&next);
            end = end.max(until);
        }
        self.0.insert(start, end);
    }

    /// Takes one offset out.
    pub(super) fn remove(&mut self, offset: Offset) {
        if let Some((start, end)) = self.around(offset) {
            self.0.remove(&start);
            self.add(start, offset);
            self.add(offset + 1, end);
        }
    }

    /// What lies before it is of no interest any more.
    pub(super) fn forget_before(&mut self, offset: Offset) {
        let beyond = self.0.split_off(&offset);
        let last = self.0.pop_last().filter(|(_, end)| *end > offset);
        self.0 = beyond;
        self.0.extend(last.map(|(_, end)| (offset, end)));
    }

    /// The range in which it lies.
    pub(super) fn around(&self, offset: Offset) -> Option<(Offset, Offset)> {
        let before = self.0.range(..=offset).next_back();
        before.map(|(start, end)| (*start, *end)).filter(|(_, end)| offset < *end)
    }

    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.around(offset).is_some()
    }

    /// Those that begin there or later.
    pub(super) fn from(&self, offset: Offset) -> impl Iterator<Item = (Offset, Offset)> {
        self.0.range(offset..).map(|(start, end)| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one_whatever_their_order() {
        let mut ranges = Ranges::default();
        let (even, odd) = ((0..500).map(|half| half * 2), (0..500).rev().map(|half| half * 2 + 1));
        for start in even.chain(odd) {
            ranges.add(start, start + 1);
        }
        ranges.add(10, 10);
        assert_eq!(ranges.from(0).collect::<Vec<_>>(), [(0, 1_000)]);
        ranges.remove(500);
        assert!(
            ranges.contains(499) && !ranges.contains(500) && ranges.contains(501) && !ranges.contains(1_000)
        );
    }
}
