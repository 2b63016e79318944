//! Counts of what clients did: added up for one turn without sharing, then once to the shared ones.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Gets,
    Sets,
    Stored,
    Flushes,
    Touches,
    Metas,
    GetHits,
    GetMisses,
    DeleteMisses,
    DeleteHits,
    IncrMisses,
    IncrHits,
    DecrMisses,
    DecrHits,
    CasMisses,
    CasHits,
    CasBad,
    TouchHits,
    TouchMisses,
    TooLarge,
    NoMemory,
    BytesRead,
    BytesWritten,
    Yields,
    Auths,
    AuthErrors,
    IdleKicks,
    NearHits,
    NearMisses,
}

const COUNTS: usize = Count::NearMisses as usize + 1;
/// Enough that connections on different cores seldom meet.
const SHARDS: usize = 8;

/// The counts of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally([u64; COUNTS]);

impl Tally {
    /// One more.
    pub(crate) fn one(&mut self, count: Count) {
        self.add(count, 1);
    }

    /// So many more.
    pub(crate) fn add(&mut self, count: Count, number: u64) {
        if let Some(place) = self.0.get_mut(count as usize) {
            *place += number;
        }
    }

    /// All that another has counted.
    pub(crate) fn join(&mut self, other: &Self) {
        for (place, more) in self.0.iter_mut().zip(other.0) {
            *place += more;
        }
    }

    /// How many there were.
    pub(crate) fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).copied().unwrap_or(0)
    }

    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for (place, earlier) in difference.0.iter_mut().zip(earlier.0) {
            *place = place.saturating_sub(earlier);
        }
        difference
    }
}

/// The counts of all turns.
#[derive(Debug, Default)]
pub(crate) struct Counters([Shard; SHARDS]);

/// Far enough apart that two of them never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard([AtomicU64; COUNTS]);

impl Counters {
    /// Adds the counts of a turn of connection `id` and empties them.
    pub(crate) fn take(&self, tally: &mut Tally, id: u64) {
        let Some(shard) = self.0.get(id as usize % SHARDS) else { return };
        for (number, shared) in tally.0.iter_mut().zip(&shard.0) {
            if *number > 0 {
                shared.fetch_add(std::mem::take(number), Relaxed);
            }
        }
    }

    /// All counts together.
    pub(crate) fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        for shard in &self.0 {
            for (number, shared) in sum.0.iter_mut().zip(&shard.0) {
                *number += shared.load(Relaxed);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_of_all_connections_add_up() {
        let counters = Counters::default();
        for id in 0..20 {
            let mut tally = Tally::default();
            tally.one(Count::Gets);
            tally.add(Count::BytesRead, id);
            counters.take(&mut tally, id);
            assert_eq!(tally, Tally::default());
        }
        let sum = counters.sum();
        assert_eq!((sum.get(Count::Gets), sum.get(Count::BytesRead), sum.get(Count::Yields)), (20, 190, 0));
        assert_eq!(counters.sum().since(&sum), Tally::default());
    }
}
