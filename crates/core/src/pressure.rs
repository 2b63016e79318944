//! How far the memory of queues has pushed the cache back, told by the governor and read by whoever shows it.

use std::sync::{Mutex, PoisonError};

/// A rung of the ladder that memory pressure climbs. Each includes those before it; none of them costs a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Everything has the memory it was given.
    #[default]
    Calm,
    /// The cache has given memory to the queues.
    CacheShrunk,
    /// The cache is as small as it may become, and payloads that wait in queues are read from disk.
    BodiesGivenUp,
    /// What queues must keep in memory fills what there is: publishes are refused until messages are settled.
    PublishesRefused,
}

impl Rung {
    /// Every rung, from the ground up.
    pub const ALL: [Self; 4] = [Self::Calm, Self::CacheShrunk, Self::BodiesGivenUp, Self::PublishesRefused];

    /// Its name for pages and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::CacheShrunk => "cache-shrunk",
            Self::BodiesGivenUp => "bodies-given-up",
            Self::PublishesRefused => "publishes-refused",
        }
    }
}

/// Memory that queues take, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueMemory {
    /// What every message costs for as long as it is in a queue or retained, what is remembered of dedup ids and keys, and
    /// every queue for being there.
    pub entries: u64,
    /// Payloads that are kept so that they need not be read from disk.
    pub bodies: u64,
}

/// Who has which memory at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PressureStats {
    /// How far it has come.
    pub rung: Rung,
    /// The budget for cache and queues together; 0 where nobody governs.
    pub total_max: u64,
    /// What the cache may take of it at present.
    pub cache_max: u64,
    /// What payloads in queues may take of it at present.
    pub bodies_max: u64,
    /// What queues take.
    pub queues: QueueMemory,
}

/// The last word of the governor.
#[derive(Debug, Default)]
pub struct Pressure {
    stats: Mutex<PressureStats>,
}

impl Pressure {
    /// Says how things are.
    pub fn tell(&self, stats: PressureStats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// How things are.
    pub fn stats(&self) -> PressureStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_last_is_shown() {
        let pressure = Pressure::default();
        assert_eq!(pressure.stats(), PressureStats::default());
        let told = PressureStats { rung: Rung::BodiesGivenUp, total_max: 7, ..PressureStats::default() };
        pressure.tell(told);
        assert_eq!(pressure.stats(), told);
    }

    #[test]
    fn rungs_are_ordered_from_the_ground_up_and_have_names_of_their_own() {
        assert!(Rung::ALL.is_sorted());
        let names: std::collections::HashSet<_> = Rung::ALL.iter().map(|rung| rung.name()).collect();
        assert_eq!(names.len(), Rung::ALL.len());
    }
}
