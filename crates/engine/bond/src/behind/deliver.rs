//! A write on its way from the queue to the source.

use std::sync::Arc;

use forebay_core::delivery::Delivery;
use forebay_queue::worker::Failure;

use super::handle::Shared;
use super::letter::SourceWrite;
use super::table::Visit;

/// Gives the write to the writer. The order of a key is the queue's, which hands out one at a time; a write whose hold was
/// lost may still be in the writer's hands when the next one comes, and has its turn to the end.
pub(super) async fn deliver<W, F>(
    shared: Arc<Shared>,
    delivery: Delivery,
    writer: Arc<W>,
) -> Result<(), Failure>
where
    W: Fn(SourceWrite) -> F,
    F: Future<Output = Result<(), Failure>>,
{
    let Some(write) = SourceWrite::read(&delivery.message) else {
        return Err(Failure::reject("it is not a write of this write-behind"));
    };
    let visit = shared.table.visit(&write.key);
    let turns = visit.turns();
    let _turn = turns.write.lock().await;
    let is_last = delivery.attempt >= delivery.retry.attempt_max;
    let mut attempt = Attempt { shared: &shared, visit: &visit, write: &write, is_last, is_written: false };
    match writer(write.clone()).await {
        Ok(()) => {
            attempt.is_written = true;
            Ok(())
        }
        Err(failure) => {
            attempt.is_last |= failure.is_rejection();
            Err(failure)
        }
    }
}

/// One attempt; dropped unwritten, however that came about, it has failed.
struct Attempt<'a> {
    shared: &'a Shared,
    visit: &'a Visit,
    write: &'a SourceWrite,
    is_last: bool,
    is_written: bool,
}

impl Drop for Attempt<'_> {
    /// The cache first: as long as the write is pending readers are shown that, and when it is so no longer no load that
    /// began before the source had it can be in the cache, or come into it.
    fn drop(&mut self) {
        let Self { shared, visit, write, .. } = self;
        visit.heard(shared.clock.now());
        if self.is_written {
            match &write.value {
                Some(value) if visit.is_newest(write.sequence) => shared.store(&write.key, value),
                _ => shared.invalidate(&write.key),
            }
            visit.written(write.sequence);
            return;
        }
        shared.table.failed();
        if self.is_last {
            tracing::warn!(queue = %shared.queue, sequence = write.sequence, "a write is given up and becomes a dead letter");
            // The source may have taken it all the same.
            shared.invalidate(&write.key);
            visit.given_up(write.sequence);
        }
    }
}
