//! Who reads a connection's replies: its task; or a caller that is alone on it, so that nobody has to be woken for its reply
//! before itself is; or nobody, between the calls of such callers.
//!
//! Whoever reads may hand out any reply, so this decides only who is woken. Two rules keep a wake from being lost. Who is made
//! the reader asks the connection after that. Who is not, asks it only where it finds so while it holds the input, and never
//! while another one reads.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// The task reads.
const TASK: u64 = 0;
/// Nobody does.
const NOBODY: u64 = 1;

/// A lone caller's turn to read; no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// Who reads now. At first the task does.
#[derive(Default)]
pub(super) struct Reader {
    /// `TASK`, `NOBODY`, or the turn of a caller.
    now: AtomicU64,
    /// Turns so far.
    turns: AtomicU64,
    task: AtomicWaker,
}

impl Reader {
    pub(super) fn is_task(&self) -> bool {
        self.now.load(SeqCst) == TASK
    }

    pub(super) fn is_nobody(&self) -> bool {
        self.now.load(SeqCst) == NOBODY
    }

    pub(super) fn is_turn(&self, turn: Turn) -> bool {
        self.now.load(SeqCst) == turn.0
    }

    /// A caller that is alone reads from now on.
    pub(super) fn begin_turn(&self) -> Turn {
        let turn = Turn(self.turns.fetch_add(1, SeqCst) + NOBODY + 1);
        self.now.store(turn.0, SeqCst);
        turn
    }

    /// Nobody waits for a reply any more. What the task reads, it goes on reading.
    pub(super) fn rest(&self) {
        let now = self.now.load(SeqCst);
        if now > NOBODY {
            // Whoever changes it meanwhile has made the task the reader.
            let _ = self.now.compare_exchange(now, NOBODY, SeqCst, SeqCst);
        }
    }

    /// The caller reads no more, whatever has become of its call.
    pub(super) fn end_turn(&self, turn: Turn) {
        if self.now.compare_exchange(turn.0, TASK, SeqCst, SeqCst).is_ok() {
            self.task.wake();
        }
    }

    /// The task reads from now on.
    pub(super) fn give_to_task(&self) {
        if !self.is_task() && self.now.swap(TASK, SeqCst) != TASK {
            self.task.wake();
        }
    }

    /// Whom to wake when the task becomes the reader.
    pub(super) fn register_task(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Turns so far.
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_is_over_ends_no_other() {
        let reader = Reader::default();
        assert!(reader.is_task());
        let first = reader.begin_turn();
        reader.rest();
        assert!(reader.is_nobody());
        let second = reader.begin_turn();
        reader.end_turn(first);
        assert!(reader.is_turn(second) && !reader.is_turn(first));
        reader.end_turn(second);
        assert!(reader.is_task());
        reader.rest();
        assert!(reader.is_task(), "what the task reads it goes on reading");
    }
}
