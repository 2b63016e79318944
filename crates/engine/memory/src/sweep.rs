//! Dropping entries whose life is over, a bounded number at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use forebay_core::limits::memory::{
    SEGMENT_BYTES_MAX, SWEEP_DROPPED_MAX, SWEEP_ENTRIES_MAX, SWEEP_HOLD_DROPPED_MAX,
};
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::time::Instant;

use crate::memory::Memory;
use crate::records::record::SPAN_MIN;
use crate::shard::{Cause, Shard};

/// The pause between sweeps while they have something to look at.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// The pause between sweeps while they have nothing.
const PAUSE_MAX: Duration = Duration::from_secs(1);

const _: () = assert!(SEGMENT_BYTES_MAX / SPAN_MIN <= SWEEP_ENTRIES_MAX);

/// What a sweep came across.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Swept {
    /// Entries whose life was over.
    pub(crate) dropped: usize,
    /// Entries, those included.
    pub(crate) looked_at: usize,
}

impl Shard {
    /// `LocalStore::sweep` for one shard: one segment in which something may have ended. Segments know when to look at them
    /// first, so that a sweep that finds nothing costs next to nothing. Dropping is what takes time: a segment of which
    /// much has ended is left for others to have the shard, and looked at again from its start, where little is left.
    fn sweep(&mut self, now: Instant) -> Swept {
        let before = self.table.len();
        self.tick(now);
        let flushed = before - self.table.len();
        let mut swept = Swept { dropped: flushed, looked_at: flushed };
        let Some(segment) = self.heap.due(self.sweep_from, now.as_ms()) else { return swept };
        self.sweep_from = segment + 1;
        let (mut offset, mut due_ms) = (0, u64::MAX);
        while let Some((position, next, header)) = self.heap.next_in(segment, offset) {
            if swept.dropped >= SWEEP_HOLD_DROPPED_MAX {
                self.sweep_from = segment;
                return swept;
            }
            offset = next;
            swept.looked_at += 1;
            if header.expired(now) {
                let hash = self.hash(self.heap.key(position));
                self.remove(hash, position, Cause::Over);
                swept.dropped += 1;
            } else {
                due_ms = due_ms.min(header.expires_ms());
            }
        }
        self.heap.set_due(segment, due_ms);
        swept
    }
}

impl Memory {
    /// `LocalStore::sweep`: one segment of each shard, until enough has been looked at; the next call goes on with the next
    /// shard.
    pub(crate) fn sweep_some(&self, now: Instant) -> Swept {
        let mut total = Swept::default();
        for _ in 0..self.shards.len() {
            if total.looked_at >= SWEEP_ENTRIES_MAX || total.dropped >= SWEEP_DROPPED_MAX {
                break;
            }
            let shard = self.sweep_from.fetch_add(1, Relaxed) & (self.shards.len() - 1);
            let swept = self.shards[shard].lock().sweep(now);
            total.dropped += swept.dropped;
            total.looked_at += swept.looked_at;
        }
        total
    }
}

/// The background work of a store: sweeps often while there is something to look at, and rarely while there is not.
/// It ends when the store is dropped by everybody else.
pub fn sweeper(memory: Arc<Memory>, clock: Arc<dyn Clock>) -> Work {
    let memory = Arc::downgrade(&memory);
    let run = async move {
        let mut pause = PAUSE_MIN;
        loop {
            clock.sleep_until(clock.now() + pause).await;
            let Some(memory) = memory.upgrade() else { return };
            let swept = memory.sweep_some(clock.now());
            pause = if swept.looked_at > 0 { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        }
    };
    Work { name: "memory sweeper", run: Run::Task(Box::pin(run)) }
}

#[cfg(test)]
mod tests {
    use foldhash::fast::RandomState;
    use forebay_core::entry::{Version, Write};
    use forebay_core::ports::local_store::LocalStore;

    use super::*;
    use crate::memory::MemoryOptions;
    use crate::records::record::Marks;
    use crate::shard::Fields;

    #[test]
    fn a_segment_is_looked_at_only_when_something_in_it_may_have_ended() {
        let at = |ms| Instant::from_ms(1_700_000_000_000 + ms);
        let mut shard = Shard::new(1 << 20, Version(0), 1, RandomState::default(), Arc::default());
        for number in 0..100u32 {
            let key = number.to_be_bytes();
            let expires_at = Some(at(if number % 2 == 0 { 10 } else { 20 }));
            let fields = Fields { now: at(0), flags: 0, expires_at, marks: Marks::default(), named: None };
            shard.insert(shard.hash(&key), &key, b"value", fields);
        }
        let due = |shard: &Shard, ms: u64| shard.heap.due(0, at(ms).as_ms()).is_some();
        assert!(!due(&shard, 9) && due(&shard, 10));
        while shard.sweep(at(10)).dropped > 0 {}
        assert_eq!(shard.table.len(), 50);
        assert!(!due(&shard, 19) && due(&shard, 20));
        while shard.sweep(at(20)).dropped > 0 {}
        assert_eq!(shard.table.len(), 0);
        assert!(!due(&shard, 1 << 40));
    }

    #[test]
    fn mass_expiry_holds_a_shard_for_a_bounded_number_of_entries_and_forgets_none() {
        let at = |ms: u64| Instant::from_ms(1_700_000_000_000 + ms);
        let mut shard = Shard::new(64 << 20, Version(0), 1, RandomState::default(), Arc::default());
        let count = 300_000;
        for number in 0..count as u32 {
            let key = number.to_be_bytes();
            // Some stay, so that segments are looked at again and again.
            let expires_at = Some(at(if number % 10 == 0 { 20 } else { 10 }));
            let fields = Fields { now: at(0), flags: 0, expires_at, marks: Marks::default(), named: None };
            shard.insert(shard.hash(&key), &key, b"", fields);
        }
        let most = SEGMENT_BYTES_MAX / SPAN_MIN;
        for (ms, left) in [(10, count / 10), (20, 0)] {
            let (mut holds, mut looks) = (0, 0);
            while shard.heap.due(0, at(ms).as_ms()).is_some() {
                let swept = shard.sweep(at(ms));
                assert!(swept.dropped <= SWEEP_HOLD_DROPPED_MAX && swept.looked_at <= most, "{swept:?}");
                (holds, looks) = (holds + 1, looks + swept.looked_at);
            }
            assert_eq!(shard.table.len(), left);
            assert!(holds <= 2 * count / SWEEP_HOLD_DROPPED_MAX, "{holds} holds");
            assert!(looks <= 3 * count, "{looks} looks");
        }
    }

    #[test]
    fn one_sweep_looks_at_a_bounded_number_of_entries_in_however_many_shards() {
        let start = Instant::from_ms(1_700_000_000_000);
        let (bytes_max, value_bytes_max) = (64 << 20, 1 << 10);
        let memory = Memory::new(MemoryOptions { bytes_max, value_bytes_max, first_version: Version(1) });
        for number in 0..100_000u32 {
            let write = Write { expires_at: Some(Instant::from_ms(start.as_ms() + 1)), ..Write::at(start) };
            memory.write(&number.to_be_bytes(), b"value", write);
        }
        let mut left = 100_000;
        while left > 0 {
            let swept = memory.sweep_some(Instant::from_ms(start.as_ms() + 1));
            assert!(swept.looked_at < 2 * SWEEP_ENTRIES_MAX, "{swept:?}");
            assert!(swept.dropped < SWEEP_DROPPED_MAX + SWEEP_HOLD_DROPPED_MAX, "{swept:?}");
            assert!(swept.dropped > 0, "{left} are left");
            left -= swept.dropped;
        }
        assert_eq!(memory.stats().items, 0);
    }
}
