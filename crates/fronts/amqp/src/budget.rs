//! Something that is bounded in all, shared out by and by, and comes back when it is let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How much there is, and how much of it is taken.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicUsize::new(0) })
    }

    /// So much of it; `None` where that is not there.
    pub(crate) fn take(self: &Arc<Self>, count: usize) -> Option<Room> {
        let fits = |taken: usize| taken.checked_add(count).filter(|taken| *taken <= self.max);
        self.taken.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(Room { budget: Arc::clone(self), count })
    }
}

/// What was taken. It is given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    count: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_limit_and_what_is_dropped_comes_back() {
        let budget = Budget::new(10);
        let all = budget.take(10);
        assert!(all.is_some() && budget.take(1).is_none() && budget.take(usize::MAX).is_none());
        assert!(budget.take(0).is_some());
        drop(all);
        assert!(budget.take(10).is_some());
    }
}
