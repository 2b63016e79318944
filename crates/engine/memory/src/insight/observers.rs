//! Who looks on, shared by all shards.

use std::sync::{Arc, OnceLock};

use forebay_core::entry::View;
use forebay_core::ports::local_store::EvictionWatcher;
use forebay_core::time::Instant;

use super::top::Top;

/// The keys that are read most, and whoever wants to know what is pushed out.
#[derive(Default)]
pub(crate) struct Observers {
    pub(crate) top: Top,
    evictions: OnceLock<Arc<dyn EvictionWatcher>>,
}

impl Observers {
    /// False where there is a watcher already.
    pub(crate) fn watch_evictions(&self, watcher: Arc<dyn EvictionWatcher>) -> bool {
        self.evictions.set(watcher).is_ok()
    }

    pub(crate) fn evicted(&self, key: &[u8], view: View<'_>, now: Instant) {
        if let Some(watcher) = self.evictions.get() {
            watcher.evicted(key, view, now);
        }
    }
}
