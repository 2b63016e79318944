//! What all connections of one front share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use forebay_core::limits::memcached::{GET_LINE_BYTES_MAX, LINE_BYTES_MAX, OPEN_LINE_BYTES_MAX};
use forebay_core::limits::{KEY_BYTES_MAX, OUTPUT_BYTES_MAX};
use forebay_core::ports::clock::Clock;
use forebay_core::stats::StoreStats;
use forebay_core::time::Instant;
use forebay_wire::memcached::parse::Limits;
use parking_lot::Mutex;

use crate::backing::Backing;
use crate::options::Options;
use crate::serve::bind::Addresses;
use crate::serve::budget::Budget;
use crate::serve::peers::Peers;
use crate::stats::counters::{Counters, Tally};
use crate::watch::events::Evictions;
use crate::watch::log::{WatchLog, WatchStats};

/// The store, the clock, and what is counted.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) peers: Arc<Peers>,
    pub(crate) buffers: Arc<Budget>,
    pub(crate) counters: Counters,
    pub(crate) options: Options,
    pub(crate) addresses: Addresses,
    pub(crate) started: Instant,
    /// Whether what is there may be dumped.
    pub(crate) dumps: AtomicBool,
    pub(crate) watch_log: Arc<WatchLog>,
    forgotten: Mutex<Totals>,
}

/// Everything that `stats reset` sets back to zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) tally: Tally,
    pub(crate) store: StoreStats,
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) watch: WatchStats,
}

impl Totals {
    /// Bytes that entries take. What the store keeps ready for the first of them is none of them.
    pub(crate) fn entry_bytes(&self) -> u64 {
        if self.store.items == 0 { 0 } else { self.store.bytes }
    }
}

impl<S: Backing> Shared<S> {
    pub(crate) fn new(options: Options, addresses: Addresses, store: Arc<S>, clock: Arc<dyn Clock>) -> Self {
        let limits = Limits {
            key_bytes_max: KEY_BYTES_MAX,
            item_bytes_max: options.value_bytes_max,
            open_line_bytes_max: OPEN_LINE_BYTES_MAX,
            line_bytes_max: LINE_BYTES_MAX,
            get_line_bytes_max: GET_LINE_BYTES_MAX,
        };
        let started = clock.now();
        let peers = Arc::new(Peers::new(options.connections_max));
        // The largest value that may be stored can be read as well, behind as many answers as an output holds.
        let buffers_bytes_min = options.value_bytes_max.saturating_add(OUTPUT_BYTES_MAX);
        let buffers = Arc::new(Budget::new(options.buffers_bytes_max.max(buffers_bytes_min)));
        let (counters, forgotten) = (Counters::default(), Mutex::default());
        let (dumps, watch_log) = (AtomicBool::new(true), Arc::<WatchLog>::default());
        store.watch_evictions(Arc::new(Evictions(Arc::clone(&watch_log))));
        Self {
            store,
            clock,
            limits,
            peers,
            buffers,
            counters,
            options,
            addresses,
            started,
            dumps,
            watch_log,
            forgotten,
        }
    }

    /// Counts since the start or the last reset. What is not a count is as it is now.
    pub(crate) fn totals(&self) -> Totals {
        let (all, forgotten) = (self.all(), *self.forgotten.lock());
        let (store, before) = (all.store, forgotten.store);
        Totals {
            tally: all.tally.since(&forgotten.tally),
            store: StoreStats {
                evicted: store.evicted.saturating_sub(before.evicted),
                evicted_unread: store.evicted_unread.saturating_sub(before.evicted_unread),
                expired: store.expired.saturating_sub(before.expired),
                expired_unread: store.expired_unread.saturating_sub(before.expired_unread),
                misses_expired: store.misses_expired.saturating_sub(before.misses_expired),
                ..store
            },
            connections: all.connections.saturating_sub(forgotten.connections),
            refused: all.refused.saturating_sub(forgotten.refused),
            watch: all.watch.since(forgotten.watch),
        }
    }

    /// Threads that serve; the caller's runtime counts as one.
    pub(crate) fn threads(&self) -> usize {
        self.options.threads.max(1)
    }

    /// Counts start again from zero.
    pub(crate) fn reset(&self) {
        *self.forgotten.lock() = self.all();
    }

    fn all(&self) -> Totals {
        let connections = self.peers.stats();
        Totals {
            tally: self.counters.sum(),
            store: self.store.memory(),
            connections: connections.total(),
            refused: connections.refused(),
            watch: self.watch_log.stats(),
        }
    }
}
