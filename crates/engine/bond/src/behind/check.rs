//! What the queue has: the table after a restart, and writes that have left the queue unseen.
//!
//! A write leaves it unseen when an operator purges the queue, or when the hold of its last attempt runs out. The table would
//! show it for ever, so that what nothing was heard of for a while is looked for.

use std::sync::{Arc, Weak};

use forebay_core::error::{Kind, Result};
use forebay_core::limits::REPLAY_MESSAGES_MAX;
use forebay_core::limits::cache::{WRITE_BEHIND_CHECK_PAUSE, WRITE_BEHIND_RETAIN};
use forebay_core::ports::broker::ReplayFrom;
use forebay_core::ports::clock::{Clock, Run, Work};

use super::handle::Shared;
use super::letter::SourceWrite;

impl Shared {
    /// Fills the table from the queue.
    pub(super) async fn restore(&self) -> Result<()> {
        let restore = |write: SourceWrite| self.table.restore(&write.key, write.sequence, write.value);
        // Nobody else writes yet.
        self.look_through(u64::MAX, restore).await
    }

    /// Forgets the writes that are no longer in the queue, of those that nothing was heard of for a while.
    pub(super) async fn check(&self) -> Result<()> {
        let until = self.table.sequence();
        let mut quiet = self.table.quiet(self.clock.now() - WRITE_BEHIND_CHECK_PAUSE);
        if quiet.is_empty() {
            return Ok(());
        }
        // A newer write of the key, which the queue took though nobody was told so, will be written instead.
        let is_there = |write: SourceWrite| {
            if quiet.get(&*write.key).is_some_and(|quiet| write.sequence >= quiet.sequence) {
                quiet.remove(&*write.key);
            }
        };
        self.look_through(until, is_there).await?;
        for (key, quiet) in quiet {
            if self.table.gone(&key, &quiet, || self.invalidate(&key)) {
                tracing::warn!(queue = %self.queue, sequence = quiet.sequence, "a write is no longer in the queue");
            }
        }
        Ok(())
    }

    /// Shows the writes that the queue has, waiting, held or delayed, and some that were written a moment ago: all that had
    /// been accepted when `until` was the sequence given out last. Not by time: a clock may have been set back.
    async fn look_through(&self, until: u64, mut show: impl FnMut(SourceWrite)) -> Result<()> {
        let mut from = ReplayFrom::Position(0);
        loop {
            let page = self.admin.replay(&self.queue, from, REPLAY_MESSAGES_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            from = ReplayFrom::Position(last.position);
            let mut is_beyond = false;
            for write in page.iter().filter_map(|replayed| SourceWrite::read(&replayed.message)) {
                is_beyond |= write.sequence > until;
                show(write);
            }
            // What comes in meanwhile is not waited for.
            if is_beyond {
                return Ok(());
            }
        }
    }
}

/// The work that checks now and then. It ends when the write-behind is gone or the queues are closed.
pub(super) fn checker(shared: Weak<Shared>, clock: Arc<dyn Clock>) -> Work {
    let run = async move {
        // What was written just before it was opened is no longer retained by then, and is not pending in truth.
        let mut pause = 2 * WRITE_BEHIND_RETAIN;
        loop {
            clock.sleep_until(clock.now() + pause).await;
            pause = WRITE_BEHIND_CHECK_PAUSE;
            let Some(shared) = shared.upgrade() else { return };
            match shared.check().await {
                Err(error) if error.kind() == Kind::Closed => return,
                Err(error) => tracing::warn!(%error, "the writes of a write-behind cannot be looked for"),
                Ok(()) => {}
            }
        }
    };
    Work { name: "write-behind check", run: Run::Task(Box::pin(run)) }
}
