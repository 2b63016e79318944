//! What the demo does, from start to end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use tempfile::TempDir;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::clients::way::Way;
use super::daemon::Daemon;
use super::limits;
use super::options::DemoOptions;
use super::outage;
use super::shop::Shop;
use super::trace::{Survey, Trace};
use super::traffic::feed::Feed;
use super::traffic::replay::Replay;
use super::verdict::counts::Counts;
use super::verdict::journal;
use super::verdict::judge::{self, Verdict};
use super::verdict::progress::Progress;
use super::verdict::report::Report;

/// Runs the demo, printing its progress and its result on standard output.
///
/// `Ok`: it ran to its end, and the verdict says whether every must was kept. `Err`: it could not be run, or was
/// interrupted. Either way the daemon it started is gone afterwards, and so is everything it has written.
pub fn run(options: DemoOptions) -> Result<Verdict> {
    options.check()?;
    let failed = |error| Error::new(Kind::Io, "run demo", "start").because(error);
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let folder = TempDir::with_prefix("forebay-demo-").map_err(failed)?;
    let outcome = runtime.block_on(async {
        let mut daemon = Daemon::new(&options.daemon, folder.path())
            .on(options.store.as_deref(), options.broker.as_deref());
        let outcome = tokio::select! {
            outcome = story(&options, folder.path(), &mut daemon) => outcome,
            signal = interrupted() => Err(signal),
        };
        daemon.kill().await?;
        outcome
    });
    runtime.shutdown_timeout(limits::STOP_MAX);
    outcome
}

async fn story(options: &DemoOptions, folder: &Path, daemon: &mut Daemon) -> Result<Verdict> {
    let progress = Progress::new();
    let trace = options.trace.clone().map_or(Trace::Web07, Trace::File);
    let survey = surveyed(trace.clone()).await?;
    progress.note(&introduction(&trace, &survey, options));
    let shop = Shop::open(folder, &survey.keys).await?;
    daemon.start().await?;
    progress.note(&format!("daemon is process {}", daemon.id()));
    // Stores and brokers that were there before have what other runs left.
    let run = format!("forebay-demo-{}-{}", std::process::id(), daemon.id());
    let way = options.broker.as_ref().map_or(Way::Amqp, |_| Way::http(&run));
    way.declare(daemon.addresses()).await?;

    let (start, length) = (Instant::now(), Duration::from_secs(options.seconds));
    let counts = Arc::new(Counts::new(start, length + limits::DRAIN_MAX));
    let half_burst = Arc::new(Notify::new());
    let replay = Replay {
        feed: Feed::new(&trace, &survey, start, length)?,
        shop: shop.clone(),
        addresses: daemon.addresses(),
        way: way.clone(),
        prefix: options.store.as_ref().map_or_else(String::new, |_| format!("{run}-")),
        counts: counts.clone(),
        half_burst: half_burst.clone(),
        start,
        length,
    };
    let journal_path = folder.join("orders.journal");
    let (ended, until_ended) = oneshot::channel::<()>();
    let traffic = async {
        let replayed = replay.run(&journal_path).await;
        drop(ended);
        replayed
    };
    let daemon_life = async {
        daemon.watched(outage::moment(start + length / 2, &half_burst)).await?;
        progress
            .note(&format!("      killing process {} with SIGKILL in the middle of a burst", daemon.id()));
        let outage = outage::strike(daemon, &way, start).await?;
        progress.note(&format!("      process {} has taken over", outage.next_id));
        // The sender is dropped when the traffic has ended; it never sends.
        let _ = daemon.watched(async { Ok(until_ended.await) }).await?;
        Ok(outage)
    };
    let (replayed, outage) = tokio::select! {
        outcome = async { tokio::try_join!(traffic, daemon_life) } => outcome?,
        never = progress.show(&counts, start) => never,
    };

    let findings = judge::find(&journal::read(&journal_path)?, &shop.done().await?, shop.miscounted().await?);
    let verdict = judge::judge(&findings, &counts, replayed.left);
    shop.close().await;
    if let Err(error) = way.clean_up(daemon.addresses()).await {
        progress.note(&format!("      the queue of this run is left: {error}"));
    }
    let report = Report {
        survey: &survey,
        counts: &counts,
        latencies: &replayed.latencies,
        outage: &outage,
        findings: &findings,
        verdict: &verdict,
    };
    progress.note(&report.render());
    Ok(verdict)
}

/// Decoding takes a moment and waits for nothing: it has a thread of its own.
async fn surveyed(trace: Trace) -> Result<Survey> {
    let survey = tokio::task::spawn_blocking(move || trace.survey()).await;
    survey.map_err(|error| Error::new(Kind::Unavailable, "read trace", "crashed").because(error))?
}

fn introduction(trace: &Trace, survey: &Survey, options: &DemoOptions) -> String {
    let seconds = options.seconds;
    let cache = options.store.as_ref().map_or("the cache", |_| "a near cache of the shared store");
    let queue = options.broker.as_ref().map_or("AMQP", |_| "HTTP, on the broker that was named,");
    format!(
        "A shop with {} products replays the trace {} for {seconds} s.\n\
         Pages are read through {cache} over memcached; orders come in bursts over {queue} and are worked off evenly;\n\
         half-way the daemon is killed.",
        survey.keys.len(),
        trace.name(),
    )
}

/// Waits for Ctrl-C or a request to end.
async fn interrupted() -> Error {
    let stopped = |why: &str| Error::new(Kind::Unavailable, "run demo", why);
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return stopped("cannot listen to signals");
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => stopped("interrupted"),
        _ = terminate.recv() => stopped("terminated"),
    }
}
