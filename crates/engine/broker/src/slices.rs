//! Long work in slices: others have their turn in between, at the queue's lock and on the runtime's thread.

use std::future::poll_fn;
use std::task::Poll;

use forebay_core::limits;

use crate::engine::Engine;
use crate::state::entry::Entry;

/// Lets others run, on whatever runtime this is.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Messages that have left their queue in one step, and are still to be forgotten. Whatever becomes of the future that
/// does so, all are: the segment of one that is not would never be given back.
pub(crate) struct Leaving<'a, I: Iterator<Item = Entry>> {
    pub(crate) engine: &'a Engine,
    pub(crate) entries: I,
}

impl<I: Iterator<Item = Entry>> Leaving<'_, I> {
    /// Forgets them all, and says how many there were.
    pub(crate) async fn forget(mut self) -> u64 {
        let mut count = 0;
        loop {
            let slice = self.entries.by_ref().take(limits::SLICE_MESSAGES_MAX);
            let forgotten = slice.map(|entry| self.engine.forget(entry)).count();
            count += forgotten as u64;
            if forgotten < limits::SLICE_MESSAGES_MAX {
                return count;
            }
            yield_now().await;
        }
    }
}

impl<I: Iterator<Item = Entry>> Drop for Leaving<'_, I> {
    fn drop(&mut self) {
        self.entries.by_ref().for_each(|entry| self.engine.forget(entry));
    }
}
