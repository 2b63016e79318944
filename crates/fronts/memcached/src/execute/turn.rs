//! What a command works with.

use forebay_core::entry::Read;
use forebay_core::ports::pledges::Pledges;
use forebay_core::time::Instant;

use crate::reply;
use crate::shared::Shared;
use crate::stats::counters::{Count, Tally};
use crate::told::Told;

/// One turn of one connection: everything that was read at once is carried out at one moment, with one output.
pub(crate) struct Turn<'a, S> {
    pub(crate) shared: &'a Shared<S>,
    /// For every verb with a key.
    pub(crate) store: Told<'a, S>,
    /// The present, asked for once a turn.
    pub(crate) now: Instant,
    /// Answers, in order.
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) tally: &'a mut Tally,
    /// Whose turn it is.
    pub(crate) connection: u64,
}

/// What a writer is told that names the version of a key whose versions are the store's own.
const NO_NAMES: &str =
    "SERVER_ERROR this key outlives a restart, and its versions are given here, leave out E";

impl<S: Pledges> Turn<'_, S> {
    /// The length of the value that is there.
    pub(crate) fn size_of(&mut self, key: &[u8]) -> Option<usize> {
        let mut size = None;
        let look = Read { counts: false, ..Read::at(self.now) };
        self.store.read(key, look, &mut |view| size = Some(view.value.len()));
        size
    }

    /// Whether an entry may be given such a version; if not, that is what is answered.
    pub(crate) fn admits(&mut self, key: &[u8], named: Option<u64>) -> bool {
        let admits = named.is_none() || self.store.takes_names(key);
        if !admits {
            reply::line(self.out, NO_NAMES);
        }
        admits
    }
}

impl<S> Turn<'_, S> {
    /// One of two counts.
    pub(crate) fn count(&mut self, hit: bool, hits: Count, misses: Count) {
        self.tally.one(if hit { hits } else { misses });
    }
}
