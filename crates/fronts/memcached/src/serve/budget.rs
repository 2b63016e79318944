//! Memory for half-read commands and half-sent answers: one budget for all connections of a front.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use forebay_core::limits::memcached::BUFFER_BYTES_FREE;
use tokio::sync::Notify;

/// Bytes that the buffers of all connections may take beyond what each has for free.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    taken: AtomicUsize,
    /// Rung whenever something is given back.
    freed: Notify,
}

impl Budget {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, taken: AtomicUsize::new(0), freed: Notify::const_new() }
    }

    /// Bytes taken at present.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.bytes_max);
        self.taken.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }
}

/// What one buffer has taken of the budget. It is given back with the buffer's owner.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    pub(crate) const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// The buffer is to have so many bytes. False if the budget has no room for more; then nothing changes.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(BUFFER_BYTES_FREE);
        if wanted > self.bytes {
            if !self.budget.take(wanted - self.bytes) {
                return false;
            }
            self.bytes = wanted;
        }
        true
    }

    /// The same once there is room; false if there is none before `given_up` is ready, or never.
    pub(crate) async fn grow_before(&mut self, bytes: usize, given_up: impl Future<Output = ()>) -> bool {
        let budget = Arc::clone(&self.budget);
        if bytes.saturating_sub(BUFFER_BYTES_FREE) > budget.bytes_max {
            return false;
        }
        let mut given_up = pin!(given_up);
        loop {
            // Before the look, so that nothing that is given back after it goes unheard.
            let freed = budget.freed.notified();
            if self.grow(bytes) {
                return true;
            }
            tokio::select! {
                () = freed => {}
                () = &mut given_up => return false,
            }
        }
    }

    /// The buffer has so many bytes and no more.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let wanted = bytes.saturating_sub(BUFFER_BYTES_FREE);
        if wanted < self.bytes {
            self.budget.taken.fetch_sub(self.bytes - wanted, Relaxed);
            self.bytes = wanted;
            self.budget.freed.notify_waiters();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: usize = BUFFER_BYTES_FREE;

    #[test]
    fn what_is_taken_never_exceeds_the_budget_and_is_given_back() {
        let budget = Arc::new(Budget::new(10));
        let (mut one, mut other) = (Held::new(Arc::clone(&budget)), Held::new(Arc::clone(&budget)));
        assert!(one.grow(FREE) && one.grow(FREE + 7));
        assert!(!other.grow(FREE + 4) && other.grow(FREE + 3));
        assert_eq!(budget.taken(), 10);
        one.shrink(FREE + 2);
        assert!(other.grow(FREE + 8) && !one.grow(usize::MAX));
        assert_eq!(budget.taken(), 10);
        drop(other);
        assert_eq!(budget.taken(), 2);
        drop(one);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test]
    async fn who_waits_for_room_has_it_once_it_is_given_back_and_gives_up_when_told() {
        let budget = Arc::new(Budget::new(10));
        let (mut one, mut other) = (Held::new(Arc::clone(&budget)), Held::new(Arc::clone(&budget)));
        assert!(one.grow(FREE + 10));
        assert!(!other.grow_before(FREE + 1, std::future::ready(())).await);
        assert!(!other.grow_before(FREE + 11, std::future::pending()).await, "there never is so much");
        let (grown, ()) = tokio::join!(other.grow_before(FREE + 10, std::future::pending()), async {
            drop(one);
        });
        assert!(grown);
        assert_eq!(budget.taken(), 10);
    }
}
