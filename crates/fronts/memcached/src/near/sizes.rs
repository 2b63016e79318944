//! How large the next values are: a shared store does not say before it sends them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::limits::near::MEMCACHED_NEAR_SIZE_FADE;

/// What an answer has beside its key and value, at most.
pub(super) const ANSWER_WORDS_BYTES: usize = 64;

/// The size of the largest value of late, which every value that is asked for is taken to have. At first it is the largest
/// that there may be.
pub(super) struct Sizes(AtomicUsize);

impl Sizes {
    pub(super) const fn new(value_bytes_max: usize) -> Self {
        Self(AtomicUsize::new(value_bytes_max))
    }

    /// Bytes that one answer is taken to have.
    pub(super) fn answer(&self) -> usize {
        self.0.load(Relaxed).saturating_add(KEY_BYTES_MAX + ANSWER_WORDS_BYTES)
    }

    /// A read has found values, and the largest had so many bytes.
    pub(super) fn saw(&self, bytes: usize) {
        let next = |size: usize| Some(bytes.max(size - size / MEMCACHED_NEAR_SIZE_FADE));
        // It is never refused.
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_value_counts_at_once_and_is_forgotten_slowly() {
        let sizes = Sizes::new(1_000_000);
        assert!(sizes.answer() >= 1_000_000);
        sizes.saw(10);
        assert!(sizes.answer() > 990_000);
        for _ in 0..20 * MEMCACHED_NEAR_SIZE_FADE {
            sizes.saw(10);
        }
        assert!(sizes.answer() < 5_000, "{}", sizes.answer());
        sizes.saw(2_000_000);
        assert!(sizes.answer() >= 2_000_000);
    }
}
