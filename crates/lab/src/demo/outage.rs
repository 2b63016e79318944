//! Kills the daemon, starts it again, and measures how long its users had to do without.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::clients::cache::CacheClient;
use super::clients::way::Way;
use super::daemon::Daemon;
use super::limits;

/// What the kill came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    /// The process that was killed.
    pub(super) killed_id: u32,
    /// The process that took over.
    pub(super) next_id: u32,
    /// When, counted from the start of the replay.
    pub(super) at: Duration,
    /// From the kill to the first answer of the cache.
    pub(super) cache: Duration,
    /// From the kill to the first answer of the queue.
    pub(super) queue: Duration,
}

/// Waits for the burst half-way, so that the kill falls between its publishes; does not wait much longer than that.
pub(super) async fn moment(half_way: Instant, half_burst: &Notify) -> Result<()> {
    // Late or not, it is time.
    let _ = tokio::time::timeout_at(half_way + limits::CRASH_LATE_MAX, half_burst.notified()).await;
    Ok(())
}

/// Kills the daemon and starts it again on the same data.
pub(super) async fn strike(daemon: &mut Daemon, way: &Way, start: Instant) -> Result<Outage> {
    let killed_id = daemon.id();
    let killed = Instant::now();
    daemon.kill().await?;
    let addresses = daemon.addresses();
    // A new connection for every question: none of them waits out the pause after the last failure.
    let cache = async || CacheClient::new(addresses.clone()).ping().await.is_ok();
    let queue = async || way.ping(addresses.clone()).await.is_ok();
    let (cache_answers, queue_answers) = (answers("cache", killed, cache), answers("queue", killed, queue));
    let ((), cache, queue) = tokio::try_join!(daemon.start(), cache_answers, queue_answers)?;
    Ok(Outage { killed_id, next_id: daemon.id(), at: killed - start, cache, queue })
}

/// Asks again and again until there is an answer.
async fn answers(what: &str, killed: Instant, ask: impl AsyncFn() -> bool) -> Result<Duration> {
    let asking = async {
        while !ask().await {
            sleep(limits::PROBE_EVERY).await;
        }
        killed.elapsed()
    };
    timeout(limits::RECOVERY_MAX, asking)
        .await
        .map_err(|late| Error::new(Kind::Unavailable, "wait for answer after kill", what).because(late))
}
