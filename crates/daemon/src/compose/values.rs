//! Where cached entries are: the memory of this process, or a store that many share and copies of it.

use std::sync::Arc;

use forebay_bond::pinned::ResultsOptions;
use forebay_bond::{Pinned, Results, warm};
use forebay_cache::NearCache;
use forebay_connect::open::{Close, Nodes, open_store};
use forebay_connect::url::{StoreUrl, Url};
use forebay_connect::watch::watch_store;
use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::health::Health;
use forebay_core::ports::clock::{Clock, Work};
use forebay_http::Cached;
use forebay_log::Disk;
use forebay_memory::{Memory, MemoryOptions};
use tokio::time::Instant;
use tracing::{info, warn};

use super::as_usize;
use super::directory::Directory;
use crate::config::settings::Settings;

/// The cache, and what runs for it.
pub(super) struct Values {
    pub(super) memory: Arc<Memory>,
    pub(super) kept: Kept,
    /// Keeps what is here.
    pub(super) work: Vec<Work>,
    /// Keeps connections to what is elsewhere.
    pub(super) connections: Vec<Work>,
    pub(super) background: Vec<Work>,
}

/// In what the fronts find entries.
pub(super) enum Kept {
    Here { store: Arc<Pinned<Memory>>, results: Option<Results>, warm: Option<Warm> },
    Shared { near: Arc<NearCache>, nodes: Option<Nodes>, close: Close },
}

/// What is needed to leave the cache to the next start.
pub(super) struct Warm {
    disk: Arc<Disk>,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

/// Opens the shared store that was named, or what this process keeps in its directory.
pub(super) fn open(
    settings: &Settings,
    directory: &mut Directory<'_>,
    clock: &Arc<dyn Clock>,
    health: &Arc<Health>,
) -> Result<Values> {
    let memory = Arc::new(Memory::new(MemoryOptions {
        bytes_max: as_usize(settings.memory.0),
        value_bytes_max: as_usize(settings.value_bytes_max.0),
        // Milliseconds with room for a thousand versions in each, so that none repeats after a restart.
        first_version: Version::first(clock.now()),
    }));
    let sweeper = forebay_memory::sweeper(Arc::clone(&memory), Arc::clone(clock));
    let mut values = match settings.store.shared() {
        Some(url) => share(settings, url, memory, clock, health)?,
        None => keep(settings, directory.open()?, memory, clock)?,
    };
    values.background.push(sweeper);
    Ok(values)
}

fn share(
    settings: &Settings,
    url: &Url,
    memory: Arc<Memory>,
    clock: &Arc<dyn Clock>,
    health: &Arc<Health>,
) -> Result<Values> {
    let opened = open_store(url, Arc::clone(clock))?;
    if !settings.pinned.is_empty() {
        info!(store = ?url, "no keys are pinned: a shared store keeps what it keeps");
    }
    let watch = watch_store(url, Arc::clone(&opened.store), Arc::clone(health), Arc::clone(clock));
    let near = Arc::new(NearCache::new(Arc::clone(&memory) as _, opened.store, Arc::clone(clock)));
    let kept = Kept::Shared { near, nodes: opened.nodes, close: opened.close };
    let (work, connections) = (Vec::new(), opened.work);
    Ok(Values { memory, kept, work, connections, background: vec![watch] })
}

fn keep(settings: &Settings, disk: Arc<Disk>, memory: Arc<Memory>, clock: &Arc<dyn Clock>) -> Result<Values> {
    let begun = Instant::now();
    let entries = warm::begin(&*disk, &memory, settings.warm_restart, &settings.pinned, clock.now())?;
    if entries > 0 {
        info!(entries, took = ?begun.elapsed(), "the cache is warm");
    }
    let begun = Instant::now();
    let pinned = Results::open_beside(settings.directory(), results_options(settings), Arc::clone(clock))?;
    let mut work = Vec::new();
    let results = pinned.map(|opened| {
        info!(results = opened.recovered, took = ?begun.elapsed(), "pinned results are open");
        work.extend(opened.work);
        opened.results
    });
    let store = Arc::new(Pinned::new(Arc::clone(&memory), results.clone()));
    let warm =
        settings.warm_restart.then(|| Warm { disk, memory: Arc::clone(&memory), clock: Arc::clone(clock) });
    let (kept, connections, background) = (Kept::Here { store, results, warm }, Vec::new(), Vec::new());
    Ok(Values { memory, kept, work, connections, background })
}

fn results_options(settings: &Settings) -> ResultsOptions {
    ResultsOptions {
        prefixes: settings.pinned.clone(),
        bytes_max: settings.pinned_memory.0,
        value_bytes_max: as_usize(settings.value_bytes_max.0),
        damaged: settings.damaged,
    }
}

impl Values {
    /// The cache as the HTTP front has it.
    pub(super) fn cached(&self) -> Cached {
        match &self.kept {
            Kept::Here { store, .. } => Cached::Local(Arc::clone(store) as _),
            Kept::Shared { near, .. } => {
                Cached::Shared { store: Arc::clone(near) as _, copies: Arc::clone(&self.memory) as _ }
            }
        }
    }
}

impl Kept {
    /// Nobody asks any more.
    pub(super) fn close(&self) {
        match self {
            Self::Here { results: Some(results), .. } => results.close(),
            Self::Here { results: None, .. } => {}
            Self::Shared { close, .. } => close.close(),
        }
    }

    /// Goes on with the nodes of this URL, and returns what must run for new ones.
    pub(super) fn set_nodes(&self, url: &StoreUrl) -> Result<Vec<Work>> {
        match (self, url.shared()) {
            (Self::Shared { nodes: Some(nodes), .. }, Some(url)) => nodes.set(url),
            _ => Err(Nodes::lacking(url)),
        }
    }

    /// What is left to the next start.
    pub(super) fn into_warm(self) -> Option<Warm> {
        match self {
            Self::Here { warm, .. } => warm,
            Self::Shared { .. } => None,
        }
    }

    /// Nothing is left to the next start.
    pub(super) fn forget(&mut self) {
        if let Self::Here { warm, .. } = self {
            *warm = None;
        }
    }
}

impl Warm {
    pub(super) fn leave(&self) {
        let begun = Instant::now();
        match warm::end(&*self.disk, &self.memory, self.clock.now()) {
            Ok(entries) => info!(entries, took = ?begun.elapsed(), "the cache is left to the next start"),
            Err(error) => warn!(%error, "the next start begins with an empty cache"),
        }
    }
}
