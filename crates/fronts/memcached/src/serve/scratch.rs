//! Buffers that a thread lends to the connection whose turn it is, so that an idle connection has none.

use std::cell::RefCell;

use forebay_core::limits::OUTPUT_BYTES_MAX;
use forebay_core::limits::memcached::INPUT_BYTES;

use crate::stats::counters::Tally;

/// The buffers of one thread.
pub(crate) struct Scratch {
    /// What is read at once.
    pub(crate) input: Box<[u8]>,
    /// What comes of it.
    pub(crate) answers: Answers,
}

/// What comes of one turn. Both are empty when it begins.
#[derive(Default)]
pub(crate) struct Answers {
    /// What is to be sent.
    pub(crate) output: Vec<u8>,
    /// What was counted.
    pub(crate) tally: Tally,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; INPUT_BYTES].into_boxed_slice(),
        answers: Answers::default(),
    });
}

/// Lends this thread's buffers for the length of a call that does not wait and does not borrow them again.
pub(crate) fn with<R>(borrower: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        // Cleared before and not after: a turn that panicked has left its answers, and they are nobody else's.
        scratch.answers.output.clear();
        let result = borrower(scratch);
        // A value may be much larger than what answers usually take.
        if scratch.answers.output.capacity() > 2 * OUTPUT_BYTES_MAX {
            scratch.answers.output = Vec::new();
        }
        result
    })
}
