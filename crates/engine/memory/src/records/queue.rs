//! A queue of segments: records enter at its head and are looked at again at its tail.

use std::collections::VecDeque;

/// The two queues of S3-FIFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueName {
    /// Newcomers.
    Small,
    /// Those that were used again.
    Main,
}

/// The segments of one queue, and how far its tail has come.
pub(crate) struct Queue {
    /// From the oldest to the one that is written.
    segments: VecDeque<u32>,
    /// Everything before it in the oldest segment is dead.
    pub(crate) tail: usize,
    /// Bytes of its records that are entries.
    pub(crate) live: usize,
    /// Bytes of the large values that belong to them.
    pub(crate) large: usize,
}

impl Queue {
    pub(crate) fn new(segments_max: usize) -> Self {
        Self { segments: VecDeque::with_capacity(segments_max), tail: 0, live: 0, large: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.segments.capacity() * size_of::<u32>()
    }

    pub(crate) fn count(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        self.segments.front().copied()
    }

    pub(crate) fn head(&self) -> Option<u32> {
        self.segments.back().copied()
    }

    pub(crate) fn begin(&mut self, segment: u32) {
        self.segments.push_back(segment);
    }

    /// Says that a segment has another number now.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) {
        if let Some(number) = self.segments.iter_mut().find(|number| **number == from) {
            *number = to;
        }
    }

    /// Takes a segment out, wherever it stands.
    pub(crate) fn remove(&mut self, segment: u32) {
        if self.oldest() == Some(segment) {
            self.tail = 0;
            self.segments.pop_front();
        } else if let Some(place) = self.segments.iter().position(|other| *other == segment) {
            self.segments.remove(place);
        }
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().copied()
    }

    /// All but the one that is written.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().copied().take(self.count().saturating_sub(1))
    }

    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        (self.tail, self.live, self.large) = (0, 0, 0);
    }
}
