//! Opening: the engines of this process where something is kept here, and what is kept elsewhere.

use std::path::PathBuf;
use std::sync::Arc;

use forebay_bond::pinned::{ResultsOptions, Waiting};
use forebay_bond::{Budget, Governor, Pinned, Results, warm};
use forebay_broker::{BrokerOptions, EmbeddedBroker};
use forebay_cache::near::alone::Alone;
use forebay_cache::{CacheOptions, SharedCache};
use forebay_connect::open::{Close, open_broker, open_store};
use forebay_connect::watch::await_store;
use forebay_core::entry::Version;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Clock, Work};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::pressure::Pressure;
use forebay_log::Disk;
use forebay_memory::{Memory, MemoryOptions};
use forebay_queue::queues::Queues;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use tokio::runtime::Handle;

use crate::builder::Builder;
use crate::forebay::{Forebay, Parts, Warm};

/// What lies in the directory of this process. All of it is read on a thread for that: it may take a while.
struct Here {
    data: PathBuf,
    /// The queues, if they are here.
    queue: Option<BrokerOptions>,
    warm: bool,
    pinned: ResultsOptions,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

/// What was found there.
#[derive(Default)]
struct Found {
    disk: Option<Arc<Disk>>,
    engine: Option<Arc<EmbeddedBroker>>,
    results: Option<Results>,
    work: Vec<Work>,
}

impl Here {
    fn open(self) -> Result<Found> {
        let Self { data, queue, warm, pinned, memory, clock } = self;
        // Who keeps nothing here needs no directory.
        if queue.is_none() && !warm && pinned.prefixes.is_empty() {
            return Ok(Found::default());
        }
        let disk = Arc::new(Disk::open(&data)?);
        warm::begin(&*disk, &memory, warm, &pinned.prefixes, clock.now())?;
        let mut found = Found::default();
        if let Some(options) = queue {
            let opened = forebay_broker::open(disk.clone(), options, Arc::clone(&clock))?;
            found.work.extend(opened.work);
            found.engine = Some(opened.broker);
        }
        if let Some(opened) = Results::open_beside(&data, pinned, clock)? {
            found.work.extend(opened.work);
            found.results = Some(opened.results);
        }
        found.disk = Some(disk);
        Ok(found)
    }
}

fn refuse(what: &str) -> Error {
    Error::new(Kind::Invalid, "open forebay", what)
}

/// Opens everything and starts it on the present runtime.
pub(crate) async fn open(builder: Builder) -> Result<Forebay> {
    if builder.memory_bytes < limits::memory::BYTES_MIN {
        return Err(refuse("memory must be at least 1 MiB"));
    }
    if builder.value_bytes_max == 0 || builder.value_bytes_max > limits::VALUE_BYTES_MAX_CEILING {
        return Err(refuse("value_bytes_max must be 1 byte to 128 MiB"));
    }
    let is_named = builder.data != Builder::new().data;
    if is_named && builder.broker.directory().is_some_and(|directory| directory != builder.data) {
        return Err(refuse("broker must name the directory that data names, or there must be no data"));
    }
    let (cache, bodies) = (builder.memory_bytes as u64, builder.queue.hot_bytes_max as u64);
    let budget = Budget::new(builder.memory_total_bytes, cache, bodies)?;
    let handle = Handle::try_current().map_err(|_| refuse("there is no tokio runtime"))?;
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    // First, for a URL that is wrong is told before the disk is touched.
    let store = builder.store.shared().map(|url| open_store(url, Arc::clone(&clock))).transpose()?;
    let broker = builder.broker.shared().map(|url| open_broker(url, Arc::clone(&clock))).transpose()?;
    let memory = Arc::new(Memory::new(MemoryOptions {
        bytes_max: builder.memory_bytes,
        value_bytes_max: builder.value_bytes_max,
        first_version: Version::first(clock.now()),
    }));
    let here = Here {
        data: builder.broker.directory().map_or(builder.data, PathBuf::from),
        queue: broker.is_none().then_some(builder.queue),
        warm: builder.warm,
        pinned: ResultsOptions {
            bytes_max: builder.pinned_bytes_max,
            value_bytes_max: builder.value_bytes_max,
            ..ResultsOptions::new(builder.pinned)
        },
        memory: Arc::clone(&memory),
        clock: Arc::clone(&clock),
    };
    let found = handle.spawn_blocking(move || here.open()).await;
    let Found { disk, engine, results, mut work } =
        found.map_err(|reason| refuse("recovery was cut off").because(reason))??;
    let mut elsewhere: Vec<Close> = Vec::new();
    let (queues, admin): (Queues, Arc<dyn BrokerAdmin>) = match (broker, &engine) {
        (Some(opened), _) => {
            work.extend(opened.work);
            elsewhere.push(opened.close);
            (Queues::new(opened.broker, Arc::clone(&clock)), opened.admin)
        }
        (None, Some(engine)) => (Queues::new(engine.clone(), Arc::clone(&clock)), engine.clone()),
        // What is here has the queues wherever nothing else has.
        (None, None) => return Err(refuse("it has no queues")),
    };

    let health = Arc::new(Health::default());
    let engines = Tasks::new(handle.clone(), Arc::clone(&health));
    let background = Tasks::new(handle, Arc::clone(&health));
    engines.spawn_all(work);
    if queues.capabilities().expired {
        engines.spawn_all(vec![queues.expirer()]);
    }
    let pressure = Arc::new(Pressure::default());
    if let Some(engine) = &engine {
        let governor = Governor::new(&memory, engine, budget, Arc::clone(&pressure));
        engines.spawn_all(vec![governor.work(Arc::clone(&clock))]);
    }
    background.spawn_all(vec![forebay_memory::sweeper(Arc::clone(&memory), Arc::clone(&clock))]);
    let warm = disk.filter(|_| builder.warm).map(|disk| Warm {
        disk,
        memory: Arc::clone(&memory),
        clock: Arc::clone(&clock),
    });
    let local: Arc<dyn LocalStore> = match &results {
        Some(results) => Arc::new(Waiting::new(Arc::new(Pinned::new(memory, Some(results.clone()))))),
        None => memory,
    };
    let (mut contacted, mut nodes) = (None, None);
    let shared: Arc<dyn RemoteStore> = match store {
        Some(opened) => {
            engines.spawn_all(opened.work);
            elsewhere.push(opened.close);
            contacted = Some(Arc::clone(&opened.store));
            nodes = opened.nodes;
            opened.store
        }
        None => Arc::new(Alone::new(Arc::clone(&local), Arc::clone(&clock))),
    };
    let cache = Arc::new(forebay_cache::Cache::new(local, Arc::clone(&clock), CacheOptions::default())?);
    let forebay = Forebay::new(Parts {
        cache,
        shared: SharedCache::new(shared, Arc::clone(&clock)),
        nodes,
        clock: Arc::clone(&clock),
        queues,
        admin,
        engine,
        elsewhere,
        engines,
        background,
        pressure,
        health,
        results,
        warm,
        write_behinds: Arc::default(),
    });
    // Only now: whoever gives this up while it waits drops what is running, and that closes it.
    if let Some(store) = contacted {
        await_store(&*store, &*clock).await;
    }
    Ok(forebay)
}
