//! Noticing that a backend is away, and that it is back.

use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::{BROKER, Health, STORE};
use forebay_core::limits::elsewhere::{
    BACKEND_CONTACT_MAX, BACKEND_CONTACT_PAUSE, BACKEND_LOOK_FIRST, BACKEND_LOOK_KEYS, BACKEND_LOOK_PAUSE,
};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::queue::{PARKED, QueueName};
use tracing::{info, warn};

/// Tells `health` while nodes of the store are away. It looks at so many keys that every node has some.
pub fn watch_store(store: Arc<dyn RemoteStore>, health: Arc<Health>, clock: Arc<dyn Clock>) -> Work {
    let look = move || -> BoxFuture<'static, Result<()>> {
        let store = Arc::clone(&store);
        Box::pin(async move { look_at(&*store).await })
    };
    work("shared store's watch", watch(STORE, look, health, clock))
}

/// Waits until the store answers, for a moment at most: it may be away, and then a start goes on without it. Its work must
/// be running.
pub async fn await_store(store: &dyn RemoteStore, clock: &dyn Clock) {
    let until = clock.now() + BACKEND_CONTACT_MAX;
    while look_at(store).await.is_err_and(|error| error.kind() == Kind::Unavailable) {
        let now = clock.now();
        if now >= until {
            return;
        }
        clock.sleep_until(now + BACKEND_CONTACT_PAUSE).await;
    }
}

async fn look_at(store: &dyn RemoteStore) -> Result<()> {
    let keys: Vec<_> = (0..BACKEND_LOOK_KEYS).map(|key| format!("forebay.look.{key}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    store.get(&keys).await.into_iter().try_for_each(|answer| answer.map(drop))
}

/// Tells `health` while the broker is away.
pub fn watch_broker(admin: Arc<dyn BrokerAdmin>, health: Arc<Health>, clock: Arc<dyn Clock>) -> Work {
    let look = move || -> BoxFuture<'static, Result<()>> {
        let admin = Arc::clone(&admin);
        Box::pin(async move {
            match admin.queue(&QueueName::new(PARKED)?).await {
                Err(error) if error.kind() != Kind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
    };
    work("broker's watch", watch(BROKER, look, health, clock))
}

fn work(name: &'static str, watch: impl Future<Output = ()> + Send + 'static) -> Work {
    Work { name, run: Run::Task(Box::pin(watch)) }
}

/// Looks again and again, until what is looked at was closed.
async fn watch(
    part: &'static str,
    look: impl Fn() -> BoxFuture<'static, Result<()>>,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
) {
    // Connections take a moment: a start is no outage.
    clock.sleep_until(clock.now() + BACKEND_LOOK_FIRST).await;
    loop {
        let looked = look().await;
        if looked.as_ref().is_err_and(|error| error.kind() == Kind::Closed) {
            return health.set_away(part, None);
        }
        tell(part, looked.err(), &health);
        clock.sleep_until(clock.now() + BACKEND_LOOK_PAUSE).await;
    }
}

fn tell(part: &'static str, error: Option<Error>, health: &Health) {
    match (&error, health.is_away(part)) {
        (Some(error), false) => warn!(%error, part, "a backend is away"),
        (None, true) => info!(part, "a backend is back"),
        _ => {}
    }
    health.set_away(part, error.map(|error| error.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_follows_what_is_seen() {
        let health = Health::default();
        tell(BROKER, Some(Error::new(Kind::Unavailable, "reach broker", "at h")), &health);
        assert_eq!(health.away(), ["the broker is away: reach broker at h: unavailable"]);
        tell(BROKER, None, &health);
        assert!(health.away().is_empty());
    }
}
