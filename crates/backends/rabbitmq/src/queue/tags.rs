//! Which deliveries of one channel are not settled: as long as none is open before it, an acknowledgement may speak of all up
//! to it. Pure.

use std::collections::BTreeSet;

use forebay_core::limits::rabbitmq::TAGS_AHEAD_MAX;

/// The server's numbers for the deliveries of a channel: 1, 2, 3, over all its consumers.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// Not settled. What has not come here yet, though later ones have, is so too.
    open: BTreeSet<u64>,
    /// The highest that has come.
    last: u64,
    /// They are not counted as they should be: nothing is said of several.
    odd: bool,
}

impl Tags {
    /// It has come.
    pub(super) fn arrive(&mut self, tag: u64) {
        if tag.saturating_sub(self.last) > TAGS_AHEAD_MAX {
            self.odd = true;
        }
        if tag > self.last && !self.odd {
            // Those between are other consumers', and on their way.
            self.open.extend(self.last + 1..=tag);
            self.last = tag;
        }
    }

    /// The server was told what becomes of it, or is told now.
    pub(super) fn settle(&mut self, tag: u64) {
        self.open.remove(&tag);
    }

    /// All up to it are settled.
    pub(super) fn settled_up_to(&self) -> u64 {
        match self.open.first() {
            _ if self.odd => 0,
            Some(first) => first - 1,
            None => self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(arrived: &[u64], settled: &[u64]) -> Tags {
        let mut tags = Tags::default();
        arrived.iter().for_each(|tag| tags.arrive(*tag));
        settled.iter().for_each(|tag| tags.settle(*tag));
        tags
    }

    #[test]
    fn all_is_settled_up_to_the_first_that_is_open() {
        assert_eq!(tags(&[], &[]).settled_up_to(), 0);
        assert_eq!(tags(&[1, 2, 3], &[2, 3]).settled_up_to(), 0);
        assert_eq!(tags(&[1, 2, 3], &[2, 1]).settled_up_to(), 2);
        assert_eq!(tags(&[1, 2, 3], &[3, 1, 2]).settled_up_to(), 3);
    }

    #[test]
    fn what_has_not_come_yet_is_open_though_later_ones_are_settled() {
        let mut tags = tags(&[1, 3, 4], &[1, 3, 4]);
        assert_eq!(tags.settled_up_to(), 1);
        tags.arrive(2);
        assert_eq!(tags.settled_up_to(), 1);
        tags.settle(2);
        assert_eq!(tags.settled_up_to(), 4);
    }

    #[test]
    fn numbers_that_leap_are_not_counted() {
        let mut tags = tags(&[1], &[1]);
        tags.arrive(2 + TAGS_AHEAD_MAX);
        tags.settle(2 + TAGS_AHEAD_MAX);
        assert_eq!((tags.settled_up_to(), tags.open.len()), (0, 0));
    }
}
