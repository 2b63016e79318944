//! `forebay serve`: from settings to a running daemon, and from a signal to its end.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use forebay_core::error::{Error, Kind};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::compose::{Running, Stopped, compose};
use crate::config::load::{Sources, load};
use crate::config::settings::Settings;
use crate::descriptors::raise_limit;
use crate::failure::Failure;

/// Runs the daemon to its end.
pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let sources = Sources {
        file: matches.get_one::<PathBuf>("config").map(PathBuf::as_path),
        environment: &|name| std::env::var_os(name),
        flag: &|name| matches.get_one::<String>(name).cloned(),
    };
    let settings = load(&sources).map_err(Failure::usage)?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(shown(settings.log)).init();
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("forebay")
        .build()
        .map_err(|reason| Failure::new(format!("start the runtime: {reason}")))?;
    let ended = serve(&settings, &sources, &runtime);
    // Whatever has not ended by now was named; it must not keep the process.
    runtime.shutdown_background();
    ended
}

/// What of the log is shown. To RabbitMQ's client library each answer that a queue is not there is an error, and asking is how it
/// is found out: whoever asked tells what matters.
fn shown(level: LevelFilter) -> Targets {
    let shown = Targets::new().with_default(level);
    if level < LevelFilter::DEBUG { shown.with_target("lapin", LevelFilter::OFF) } else { shown }
}

/// Composes and starts outside of the runtime's own work, so that a front whose neighbour could not be bound may drop a
/// runtime of its own; only waiting for the end is asynchronous.
fn serve(settings: &Settings, sources: &Sources<'_>, runtime: &Runtime) -> Result<ExitCode, Failure> {
    let _context = runtime.enter();
    raise_limit();
    // Before anything runs, so that no signal goes unheard.
    let unheard = |reason: io::Error| Failure::new(format!("listen for signals: {reason}"));
    let mut signals = Signals::listen().map_err(unheard)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(unheard)?;
    let composed = compose(settings, runtime).map_err(|error| friendly(&error, settings))?;
    let addresses = composed.addresses.join("\n");
    let running = composed.start(runtime.handle());
    runtime.block_on(running.make_contact());
    announce(&addresses).map_err(|reason| Failure::new(format!("write to standard output: {reason}")))?;
    info!(?settings, "ready");
    runtime.block_on(async {
        let name = loop {
            tokio::select! {
                name = signals.next() => break name,
                _ = hang_up.recv() => read_again(&running, settings, sources),
            }
        };
        info!(signal = name, "stopping, a second signal stops at once");
        tokio::select! {
            code = stop(running, settings) => Ok(code),
            name = signals.next() => {
                warn!(signal = name, "stopped at once");
                // The log is made for it: what was confirmed is on disk.
                std::process::exit(1)
            }
        }
    })
}

/// Reads the settings anew, of which the nodes of a shared memcached take effect at once and all others with the next start.
/// What is refused changes nothing.
fn read_again(running: &Running, settings: &Settings, sources: &Sources<'_>) {
    let store = match load(sources) {
        Ok(fresh) if fresh.store.shared().is_none() && settings.store.shared().is_none() => {
            return info!("SIGHUP changes the nodes of a shared store alone, and there is none");
        }
        Ok(fresh) => fresh.store,
        Err(reason) => return warn!(%reason, "the settings stay as they are"),
    };
    match running.set_nodes(&store) {
        Ok(()) => info!(%store, "goes on with these nodes"),
        Err(error) => warn!(%error, "the nodes of the store stay as they are"),
    }
}

/// The addresses, one a line, and `ready`, in one write.
fn announce(addresses: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let separator = if addresses.is_empty() { "" } else { "\n" };
    writeln!(output, "{addresses}{separator}ready")?;
    output.flush()
}

async fn stop(running: Running, settings: &Settings) -> ExitCode {
    let Stopped { fronts, engines, connections } = running.stop(settings.drain.0).await;
    if !fronts.unfinished.is_empty() {
        warn!(unfinished = ?fronts.unfinished, "requests in progress were cut off");
    }
    if !connections.unfinished.is_empty() {
        warn!(unfinished = ?connections.unfinished, "connections to other systems were cut off");
    }
    if !engines.unfinished.is_empty() {
        error!(unfinished = ?engines.unfinished, "stopped before the log was closed; the next start recovers it");
        return ExitCode::FAILURE;
    }
    info!("stopped");
    ExitCode::SUCCESS
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What a user can do about it, after what happened.
fn friendly(error: &Error, settings: &Settings) -> Failure {
    if error.operation() == "open store" || error.operation() == "open broker" {
        return Failure::usage(error.to_string());
    }
    let reason = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let advice = match (error.kind(), reason.map(io::Error::kind)) {
        // The lock of a directory in use is refused without the system's word for it.
        (Kind::Conflict, Some(io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory)) => {
            "that is a file; name a directory with --data"
        }
        (_, Some(io::ErrorKind::AlreadyExists)) => {
            "a file that is not a socket is there; move it away, or name another path with --memcached-unix"
        }
        (_, Some(io::ErrorKind::AddrInUse)) => {
            "another program listens there; name another address with --memcached, --amqp or --http, or port 0"
        }
        (_, Some(io::ErrorKind::PermissionDenied)) => {
            "this user may not do that; name a directory of yours with --data, a port above 1023, or change the owner"
        }
        (Kind::Conflict, _) => "another forebay uses this directory; stop it, or name another with --data",
        (Kind::Damaged, _) => {
            "bytes on disk are not what was written; restore the directory, or start once with --damaged set-aside, \
             which keeps the damaged bytes in a file beside the log and goes on without them"
        }
        (Kind::Full, _) => "free disk space, or allow the queues more with --queue-disk",
        (Kind::Unsupported, _) => "a newer forebay wrote this directory; start that one",
        (Kind::Invalid, _) => return Failure::usage(error.to_string()),
        _ => return Failure::new(format!("{error} (data directory {})", settings.directory().display())),
    };
    Failure::new(format!("{error}\n{advice}"))
}
