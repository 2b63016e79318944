//! What a command works with.

use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;

use crate::shared::Shared;
use crate::stats::counters::{Count, Tally};

/// One turn of one connection: everything that was read at once is carried out at one moment, with one output.
pub(crate) struct Turn<'a, S> {
    pub(crate) shared: &'a Shared<S>,
    /// The present, asked for once a turn.
    pub(crate) now: Instant,
    /// Answers, in order.
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) tally: &'a mut Tally,
    /// Whose turn it is.
    pub(crate) connection: u64,
}

impl<S: LocalStore> Turn<'_, S> {
    pub(crate) fn store(&self) -> &S {
        &self.shared.store
    }

    /// One of two counts.
    pub(crate) fn count(&mut self, hit: bool, hits: Count, misses: Count) {
        self.tally.one(if hit { hits } else { misses });
    }
}
