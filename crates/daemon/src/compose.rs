//! The one place that names every front and every engine, and puts them together.

use std::sync::Arc;
use std::time::Duration;

use forebay_bond::pinned::ResultsOptions;
use forebay_bond::{Governor, Pinned, Results, warm};
use forebay_broker::{BrokerOptions, EmbeddedBroker};
use forebay_core::entry::Version;
use forebay_core::error::Result;
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::clock::{Clock, Work};
use forebay_core::pressure::Pressure;
use forebay_http::{Front, Parts};
use forebay_log::{Disk, LogOptions};
use forebay_memcached::Addresses;
use forebay_memory::{Memory, MemoryOptions};
use forebay_queue::queues::Queues;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::{Drained, Tasks};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::settings::Settings;

/// Everything, with its sockets bound and its log recovered, and not yet running.
pub(crate) struct Composed {
    /// The lines that say where it listens.
    pub(crate) addresses: Vec<String>,
    fronts: Vec<Work>,
    engines: Vec<Work>,
    background: Vec<Work>,
    broker: Arc<EmbeddedBroker>,
    results: Option<Results>,
    warm: Option<Warm>,
    health: Arc<Health>,
    stop: watch::Sender<bool>,
}

/// What is needed to leave the cache to the next start.
struct Warm {
    disk: Arc<Disk>,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
}

/// Everything, running.
pub(crate) struct Running {
    fronts: Tasks,
    engines: Tasks,
    broker: Arc<EmbeddedBroker>,
    results: Option<Results>,
    warm: Option<Warm>,
    stop: watch::Sender<bool>,
}

/// Recovers the log and binds the sockets. Nothing runs yet; where a socket cannot be bound, the log is closed in good order.
pub(crate) fn compose(settings: &Settings, runtime: &Runtime) -> Result<Composed> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let health = Arc::new(Health::default());
    let (stop, stopped) = watch::channel(false);

    let disk = Arc::new(Disk::open(&settings.data)?);
    let begun = Instant::now();
    let opened = forebay_broker::open(disk.clone(), broker_options(settings), Arc::clone(&clock))?;
    info!(recovered = ?opened.recovered, took = ?begun.elapsed(), "queues are open");
    let queues = Queues::new(opened.broker.clone(), Arc::clone(&clock));
    let mut engines = opened.work;
    engines.push(queues.expirer());

    let memory = Arc::new(Memory::new(MemoryOptions {
        bytes_max: as_usize(settings.memory.0),
        value_bytes_max: as_usize(settings.value_bytes_max.0),
        // Milliseconds with room for a thousand versions in each, so that none repeats after a restart.
        first_version: Version::first(clock.now()),
    }));
    let begun = Instant::now();
    let entries = warm::begin(&*disk, &memory, settings.warm_restart, &settings.pinned, clock.now())?;
    if entries > 0 {
        info!(entries, took = ?begun.elapsed(), "the cache is warm");
    }
    let begun = Instant::now();
    let pinned = Results::open_beside(&settings.data, results_options(settings), Arc::clone(&clock))?;
    let results = pinned.map(|opened| {
        info!(results = opened.recovered, took = ?begun.elapsed(), "pinned results are open");
        engines.extend(opened.work);
        opened.results
    });
    let store = Arc::new(Pinned::new(Arc::clone(&memory), results.clone()));
    let pressure = Arc::new(Pressure::default());
    let governor = Governor::new(&memory, &opened.broker, settings.budget()?, Arc::clone(&pressure));
    engines.push(governor.work(Arc::clone(&clock)));
    let background = vec![forebay_memory::sweeper(Arc::clone(&memory), Arc::clone(&clock))];
    let (broker, log) = (opened.broker.clone(), opened.broker.log().clone());
    let mut composed = Composed {
        addresses: Vec::new(),
        fronts: Vec::new(),
        engines,
        background,
        broker: opened.broker,
        results,
        warm: settings.warm_restart.then(|| Warm { disk, memory: memory.clone(), clock: clock.clone() }),
        health: Arc::clone(&health),
        stop,
    };
    let parts = Parts {
        queues,
        admin: broker,
        store: store.clone(),
        log,
        clock,
        pressure,
        health,
        fronts: Vec::new(),
        version: env!("CARGO_PKG_VERSION"),
    };
    match composed.bind(settings, store, parts, stopped) {
        Ok(()) => Ok(composed),
        Err(error) => {
            composed.fronts.clear();
            composed.warm = None;
            // What a log that does not close costs is that the next start has more to recover: the error is worth more.
            let _unclosed = runtime.block_on(composed.start(runtime.handle()).stop(Duration::ZERO));
            Err(error)
        }
    }
}

fn memcached_options(settings: &Settings) -> forebay_memcached::Options {
    forebay_memcached::Options {
        tcp: settings.memcached.on().copied(),
        unix: settings.memcached_unix.on().cloned(),
        threads: settings.memcached_threads,
        connections_max: settings.memcached_connections_max,
        value_bytes_max: as_usize(settings.value_bytes_max.0),
        buffers_bytes_max: as_usize(settings.memcached_buffers.0),
        drain: settings.drain.0,
    }
}

fn broker_options(settings: &Settings) -> BrokerOptions {
    BrokerOptions {
        log: LogOptions {
            // The settings are checked to fit; beyond four gigabytes there is nothing to lose.
            segment_bytes: u32::try_from(settings.segment_bytes.0).unwrap_or(u32::MAX),
            pending_bytes_max: limits::LOG_PENDING_BYTES_MAX,
            disk_bytes_max: settings.queue_disk.0,
            damaged: settings.damaged,
        },
        hot_bytes_max: as_usize(settings.queue_memory.0),
        ..BrokerOptions::default()
    }
}

fn results_options(settings: &Settings) -> ResultsOptions {
    ResultsOptions {
        prefixes: settings.pinned.clone(),
        bytes_max: settings.pinned_memory.0,
        value_bytes_max: as_usize(settings.value_bytes_max.0),
        damaged: settings.damaged,
    }
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Composed {
    /// Opens the sockets of the fronts that are on.
    fn bind(
        &mut self,
        settings: &Settings,
        store: Arc<Pinned<Memory>>,
        mut parts: Parts,
        stopped: watch::Receiver<bool>,
    ) -> Result<()> {
        if settings.memcached.on().is_some() || settings.memcached_unix.on().is_some() {
            let options = memcached_options(settings);
            let clock = Arc::clone(&parts.clock);
            let bound = forebay_memcached::bind(options, store, clock, stopped.clone())?;
            let Addresses { tcp, unix } = bound.addresses();
            self.addresses.extend(tcp.map(|address| format!("memcached {address}")));
            self.addresses.extend(unix.iter().map(|path| format!("memcached-unix {}", path.display())));
            parts.fronts.push(Front { name: "memcached", connections: bound.connections() });
            self.fronts.extend(bound.work());
        }
        if let Some(address) = settings.amqp.on() {
            let options = forebay_amqp::Options {
                directory: Arc::clone(&settings.amqp_directory),
                ..forebay_amqp::Options::new(*address)
            };
            let amqp = forebay_amqp::Parts {
                broker: Arc::clone(&self.broker),
                clock: Arc::clone(&parts.clock),
                pressure: Arc::clone(&parts.pressure),
                health: Arc::clone(&parts.health),
                version: parts.version,
            };
            let bound = forebay_amqp::bind(options, amqp, stopped.clone())?;
            self.addresses.push(format!("amqp {}", bound.address()));
            parts.fronts.push(Front { name: "amqp", connections: bound.connections() });
            self.fronts.extend(bound.work());
        }
        if let Some(address) = settings.http.on() {
            let options = forebay_http::Options {
                value_bytes_max: as_usize(settings.value_bytes_max.0),
                ..forebay_http::Options::new(*address)
            };
            let bound = forebay_http::bind(options, parts, stopped)?;
            self.addresses.push(format!("http {}", bound.address()));
            self.fronts.extend(bound.work());
        }
        Ok(())
    }

    /// Starts everything: engines first, so that the fronts find them at work.
    pub(crate) fn start(self, handle: &Handle) -> Running {
        let tasks = || Tasks::new(handle.clone(), Arc::clone(&self.health));
        let (fronts, engines, background) = (tasks(), tasks(), tasks());
        engines.spawn_all(self.engines);
        // Ends by itself when the memory is gone, and holds up nobody.
        background.spawn_all(self.background);
        fronts.spawn_all(self.fronts);
        let Self { broker, results, warm, stop, .. } = self;
        Running { fronts, engines, broker, results, warm, stop }
    }
}

/// What a stop left behind.
pub(crate) struct Stopped {
    /// Fronts that were cut off with requests in progress: those got no answer, and were promised nothing.
    pub(crate) fronts: Drained,
    /// Engines that did not close in good order: the next start has more to recover.
    pub(crate) engines: Drained,
}

impl Running {
    /// Stops accepting, lets requests in progress finish within `timeout`, then closes the log in good order.
    pub(crate) async fn stop(self, timeout: Duration) -> Stopped {
        self.stop.send_replace(true);
        let fronts = self.fronts.drain(timeout).await;
        self.broker.close();
        if let Some(results) = &self.results {
            results.close();
        }
        let engines = self.engines.drain(CLOSE_MAX).await;
        // A request that was cut off may still change the cache, and be answered.
        if let Some(warm) = self.warm.filter(|_| fronts.unfinished.is_empty()) {
            // A thread that panics leaves no snapshot, which is what the next start takes it for.
            drop(tokio::task::spawn_blocking(move || warm.leave()).await);
        }
        Stopped { fronts, engines }
    }
}

impl Warm {
    fn leave(&self) {
        let begun = Instant::now();
        match warm::end(&*self.disk, &self.memory, self.clock.now()) {
            Ok(entries) => info!(entries, took = ?begun.elapsed(), "the cache is left to the next start"),
            Err(error) => warn!(%error, "the next start begins with an empty cache"),
        }
    }
}

/// How long the log may take to write its last batch.
const CLOSE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memcached_front_is_told_what_the_settings_say() {
        let mut settings = Settings::default();
        for (name, text) in
            [("memcached_buffers", "7MiB"), ("drain", "3s"), ("memcached_connections_max", "12")]
        {
            assert_eq!(settings.set(name, text), Some(Ok(())), "{name}");
        }
        let options = memcached_options(&settings);
        assert_eq!(options.buffers_bytes_max, 7 << 20);
        assert_eq!(options.drain, Duration::from_secs(3));
        assert_eq!(options.connections_max, 12);
    }
}
