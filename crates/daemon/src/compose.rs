//! The one place that names every front and every engine, and puts them together.

mod directory;
mod queues;
mod values;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_bond::Governor;
use forebay_broker::EmbeddedBroker;
use forebay_connect::open::Close;
use forebay_connect::url::StoreUrl;
use forebay_connect::watch::await_store;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::Health;
use forebay_core::ports::clock::{Clock, Work};
use forebay_core::pressure::Pressure;
use forebay_http::{Front, Parts};
use forebay_memcached::Addresses;
use forebay_memcached::access::users::Users;
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::{Drained, Tasks};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use self::directory::Directory;
use self::queues::Messages;
use self::values::Kept;
use crate::config::settings::Settings;

/// Everything, with its sockets bound and its log recovered, and not yet running.
pub(crate) struct Composed {
    /// The lines that say where it listens.
    pub(crate) addresses: Vec<String>,
    fronts: Vec<Work>,
    engines: Vec<Work>,
    /// Keeps what is elsewhere in reach.
    connections: Vec<Work>,
    background: Vec<Work>,
    engine: Option<Arc<EmbeddedBroker>>,
    kept: Kept,
    /// The broker that is not of this process.
    elsewhere: Option<Close>,
    health: Arc<Health>,
    stop: watch::Sender<bool>,
}

/// Everything, running.
pub(crate) struct Running {
    fronts: Tasks,
    engines: Tasks,
    connections: Tasks,
    engine: Option<Arc<EmbeddedBroker>>,
    kept: Kept,
    elsewhere: Option<Close>,
    stop: watch::Sender<bool>,
}

/// Recovers the log and binds the sockets. Nothing runs yet; where a socket cannot be bound, the log is closed in good order.
/// A store or broker elsewhere need not be there: calls fail until it is.
pub(crate) fn compose(settings: &Settings, runtime: &Runtime) -> Result<Composed> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let health = Arc::new(Health::default());
    let (stop, stopped) = watch::channel(false);

    let mut directory = Directory::new(settings.directory());
    let messages = queues::open(settings, &mut directory, &clock, &health)?;
    let values = values::open(settings, &mut directory, &clock, &health)?;
    let cache = values.cached();
    let Messages { queues, admin, engine, close: elsewhere, mut work, mut connections, mut background } =
        messages;
    work.extend(values.work);
    connections.extend(values.connections);
    background.extend(values.background);
    let pressure = Arc::new(Pressure::default());
    if let Some(engine) = &engine {
        let governor = Governor::new(&values.memory, engine, settings.budget()?, Arc::clone(&pressure));
        work.push(governor.work(Arc::clone(&clock)));
    }
    let parts = Parts {
        queues,
        admin,
        cache,
        log: engine.as_ref().map(|engine| engine.log().clone()),
        clock,
        pressure,
        health: Arc::clone(&health),
        fronts: Vec::new(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let mut composed = Composed {
        addresses: Vec::new(),
        fronts: Vec::new(),
        engines: work,
        connections,
        background,
        engine,
        kept: values.kept,
        elsewhere,
        health,
        stop,
    };
    match composed.bind(settings, parts, stopped) {
        Ok(()) => Ok(composed),
        Err(error) => {
            composed.fronts.clear();
            composed.kept.forget();
            // What a log that does not close costs is that the next start has more to recover: the error is worth more.
            let _unclosed = runtime.block_on(composed.start(runtime.handle()).stop(Duration::ZERO));
            Err(error)
        }
    }
}

fn memcached_options(settings: &Settings) -> Result<forebay_memcached::Options> {
    Ok(forebay_memcached::Options {
        tcp: settings.memcached.on().copied(),
        unix: settings.memcached_unix.on().cloned(),
        threads: settings.memcached_threads,
        connections_max: settings.memcached_connections_max,
        value_bytes_max: as_usize(settings.value_bytes_max.0),
        buffers_bytes_max: as_usize(settings.memcached_buffers.0),
        users: settings.memcached_users.on().map(|file| users(file)).transpose()?,
        idle: settings.memcached_idle.on().map(|idle| idle.0),
        drain: settings.drain.0,
    })
}

fn users(file: &Path) -> Result<Arc<Users>> {
    let shown = || file.display().to_string();
    let text = fs::read_to_string(file).map_err(|cause| {
        Error::new(Kind::Io, "read users of memcached front from", shown()).because(cause)
    })?;
    let users = Users::read(&text).map_err(|expected| {
        Error::new(Kind::Invalid, "read users of memcached front from", shown()).because(expected)
    })?;
    Ok(Arc::new(users))
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Composed {
    /// Opens the sockets of the fronts that are on.
    fn bind(&mut self, settings: &Settings, mut parts: Parts, stopped: watch::Receiver<bool>) -> Result<()> {
        if settings.memcached.on().is_some() || settings.memcached_unix.on().is_some() {
            let options = memcached_options(settings)?;
            let clock = Arc::clone(&parts.clock);
            let bound = match &self.kept {
                Kept::Here { store, .. } => {
                    forebay_memcached::bind(options, Arc::clone(store), clock, stopped.clone())?
                }
                Kept::Shared { near, .. } => {
                    forebay_memcached::bind_near(options, Arc::clone(near), clock, stopped.clone())?
                }
            };
            let Addresses { tcp, unix } = bound.addresses();
            self.addresses.extend(tcp.map(|address| format!("memcached {address}")));
            self.addresses.extend(unix.iter().map(|path| format!("memcached-unix {}", path.display())));
            parts.fronts.push(Front { name: "memcached", connections: bound.connections() });
            self.fronts.extend(bound.work());
        }
        if let (Some(address), Some(engine)) = (settings.amqp.on(), &self.engine) {
            let options = forebay_amqp::Options {
                directory: Arc::clone(&settings.amqp_directory),
                ..forebay_amqp::Options::new(*address)
            };
            let amqp = forebay_amqp::Parts {
                broker: Arc::clone(engine),
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
        let (fronts, engines, connections, background) = (tasks(), tasks(), tasks(), tasks());
        engines.spawn_all(self.engines);
        connections.spawn_all(self.connections);
        // Ends by itself when the memory is gone, and holds up nobody.
        background.spawn_all(self.background);
        fronts.spawn_all(self.fronts);
        let Self { engine, kept, elsewhere, stop, .. } = self;
        Running { fronts, engines, connections, engine, kept, elsewhere, stop }
    }
}

/// What a stop left behind.
pub(crate) struct Stopped {
    /// Fronts that were cut off with requests in progress: those got no answer, and were promised nothing.
    pub(crate) fronts: Drained,
    /// Engines that did not close in good order: the next start has more to recover.
    pub(crate) engines: Drained,
    /// Connections to other systems that did not end in time: nothing is kept there that a stop could lose.
    pub(crate) connections: Drained,
}

impl Running {
    /// Waits a moment for what is elsewhere to answer for the first time.
    pub(crate) async fn make_contact(&self) {
        if let Kept::Shared { near, .. } = &self.kept {
            await_store(&**near, &TokioClock::new()).await;
        }
    }

    /// Goes on with the nodes of the shared store that this URL names.
    pub(crate) fn set_nodes(&self, url: &StoreUrl) -> Result<()> {
        self.connections.spawn_all(self.kept.set_nodes(url)?);
        Ok(())
    }

    /// Stops accepting, lets requests in progress finish within `timeout`, then closes the log in good order.
    pub(crate) async fn stop(self, timeout: Duration) -> Stopped {
        self.stop.send_replace(true);
        let fronts = self.fronts.drain(timeout).await;
        if let Some(engine) = &self.engine {
            engine.close();
        }
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.close();
        }
        self.kept.close();
        let (engines, connections) =
            tokio::join!(self.engines.drain(CLOSE_MAX), self.connections.drain(CLOSE_MAX));
        // A request that was cut off may still change the cache, and be answered.
        if let Some(warm) = self.kept.into_warm().filter(|_| fronts.unfinished.is_empty()) {
            // A thread that panics leaves no snapshot, which is what the next start takes it for.
            drop(tokio::task::spawn_blocking(move || warm.leave()).await);
        }
        Stopped { fronts, engines, connections }
    }
}

/// How long the log may take to write its last batch, and connections to say goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memcached_front_is_told_what_the_settings_say() {
        let mut settings = Settings::default();
        for (name, text) in [
            ("memcached_buffers", "7MiB"),
            ("drain", "3s"),
            ("memcached_connections_max", "12"),
            ("memcached_idle", "90s"),
        ] {
            assert_eq!(settings.set(name, text), Some(Ok(())), "{name}");
        }
        let options = memcached_options(&settings).unwrap();
        assert_eq!(options.buffers_bytes_max, 7 << 20);
        assert_eq!(options.drain, Duration::from_secs(3));
        assert_eq!(options.connections_max, 12);
        assert_eq!(options.idle, Some(Duration::from_secs(90)));
        assert_eq!(options.users, None);
    }

    #[test]
    fn users_are_read_from_their_file_and_a_fault_is_told_without_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users");
        let mut settings = Settings::default();
        assert_eq!(settings.set("memcached_users", &file.display().to_string()), Some(Ok(())));
        assert_eq!(memcached_options(&settings).unwrap_err().kind(), Kind::Io);
        fs::write(&file, "app:secret\n").unwrap();
        assert!(memcached_options(&settings).unwrap().users.is_some());
        fs::write(&file, "app:secret\nsecret\n").unwrap();
        let error = memcached_options(&settings).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
    }
}
