//! Dropping entries whose life is over, a bounded number at a time.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::limits::SWEEP_ENTRIES_MAX;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;

use crate::memory::Memory;
use crate::policy::Policy;
use crate::shard::{Cause, Shard};

/// The pause between sweeps while they find much.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The pause between sweeps while they find nothing.
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl<P: Policy> Shard<P> {
    /// `LocalStore::sweep` for one shard: goes on where the last call stopped.
    pub(crate) fn sweep(&mut self, now: Instant) -> usize {
        self.tick(now);
        let mut dropped = 0;
        for _ in 0..SWEEP_ENTRIES_MAX.min(self.slots.len()) {
            let index = self.sweep_index;
            match self.slots.get(index) {
                None => self.sweep_index = 0,
                Some(slot) if self.is_over(slot, now) => {
                    // Another entry has this index now, and is looked at next.
                    let hash = self.hash(slot.key());
                    self.remove(index, hash, Cause::Over);
                    dropped += 1;
                }
                Some(_) => self.sweep_index += 1,
            }
        }
        dropped
    }
}

/// The background work of a store: sweeps often while entries expire, and rarely while none do.
/// It ends when the store is dropped by everybody else.
pub fn sweeper<P: Policy>(memory: Arc<Memory<P>>, clock: Arc<dyn Clock>) -> Work {
    let memory = Arc::downgrade(&memory);
    let run = async move {
        let mut pause = PAUSE_MAX;
        loop {
            clock.sleep_until(clock.now() + pause).await;
            let Some(memory) = memory.upgrade() else { return };
            let dropped = memory.sweep(clock.now());
            pause = if dropped > 0 { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        }
    };
    Work { name: "memory sweeper", run: Run::Task(Box::pin(run)) }
}
