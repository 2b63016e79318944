//! Noticing that a backend is away, and that it is back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::health::{BROKER, Health, STORE};
use forebay_core::limits::elsewhere::{
    BACKEND_CONTACT_MAX, BACKEND_CONTACT_PAUSE, BACKEND_LOOK_FIRST, BACKEND_LOOK_KEYS_MAX,
    BACKEND_LOOK_KEYS_PER_NODE, BACKEND_LOOK_PAUSE,
};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::queue::{PARKED, QueueName};
use tracing::{info, warn};

use crate::url::Url;

/// A store has so many nodes, for the look, also where fewer are named.
const NODES_LOOKED_AT_MIN: usize = 3;

/// Tells `health` while the store, which this URL names, or some nodes of it are away. It looks at keys of which every node has
/// some, as far as those go that the URL names at the start with about the same weights. It is always the same keys: what is told
/// is not to change with the keys.
pub fn watch_store(
    url: &Url,
    store: Arc<dyn RemoteStore>,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
) -> Work {
    let keys = look_keys(url.hosts_max());
    let look = move || -> BoxFuture<'static, Seen> {
        let (store, keys) = (Arc::clone(&store), Arc::clone(&keys));
        Box::pin(async move { look_at(&*store, &keys).await })
    };
    work("shared store's watch", watch(STORE, look, health, clock))
}

/// Waits until the store answers, for a moment at most: it may be away, and then a start goes on without it. Its work must
/// be running.
pub async fn await_store(store: &dyn RemoteStore, clock: &dyn Clock) {
    let mut out_of_time = clock.sleep_until(clock.now() + BACKEND_CONTACT_MAX);
    // A look may take as long as the store's own time-out, which may be long.
    let keys = look_keys(1);
    let mut contact = pin!(async {
        while look_at(store, &keys).await.is_unavailable() {
            clock.sleep_until(clock.now() + BACKEND_CONTACT_PAUSE).await;
        }
    });
    poll_fn(|cx| match contact.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => out_of_time.as_mut().poll(cx),
    })
    .await;
}

fn look_keys(nodes: usize) -> Arc<[String]> {
    // Nodes may come while it is open: those of a small store have room for some more.
    let count = (BACKEND_LOOK_KEYS_PER_NODE * nodes.max(NODES_LOOKED_AT_MIN)).min(BACKEND_LOOK_KEYS_MAX);
    (0..count).map(|key| format!("forebay.look.{key}")).collect()
}

/// What a look has shown.
enum Seen {
    There,
    /// Some of its servers are away, for this reason.
    Partly(Error),
    Away(Error),
}

impl Seen {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Partly(error) | Self::Away(error) if error.kind() == Kind::Unavailable)
    }
}

async fn look_at(store: &dyn RemoteStore, keys: &[String]) -> Seen {
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let (answered, failed): (Vec<_>, Vec<_>) =
        store.get(&keys).await.into_iter().map(Result::err).partition(Option::is_none);
    match failed.into_iter().flatten().next() {
        None => Seen::There,
        Some(error) if answered.is_empty() => Seen::Away(error),
        Some(error) => Seen::Partly(error),
    }
}

/// Tells `health` while the broker is away.
pub fn watch_broker(admin: Arc<dyn BrokerAdmin>, health: Arc<Health>, clock: Arc<dyn Clock>) -> Work {
    let look = move || -> BoxFuture<'static, Seen> {
        let admin = Arc::clone(&admin);
        Box::pin(async move {
            let look = async { admin.queue(&QueueName::new(PARKED)?).await };
            match look.await {
                Err(error) if error.kind() != Kind::NotFound => Seen::Away(error),
                _ => Seen::There,
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
    look: impl Fn() -> BoxFuture<'static, Seen>,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
) {
    // Connections take a moment: a start is no outage.
    clock.sleep_until(clock.now() + BACKEND_LOOK_FIRST).await;
    loop {
        let seen = look().await;
        if matches!(&seen, Seen::Away(error) if error.kind() == Kind::Closed) {
            return health.set_away(part, None);
        }
        tell(part, seen, &health);
        clock.sleep_until(clock.now() + BACKEND_LOOK_PAUSE).await;
    }
}

fn tell(part: &'static str, seen: Seen, health: &Health) {
    let (was_away, was_partly) = (health.is_away(part), health.is_partly_away(part));
    match seen {
        Seen::There => {
            if was_away || was_partly {
                info!(part, "a backend is back");
            }
            health.set_away(part, None);
        }
        Seen::Partly(error) => {
            if !was_partly {
                warn!(%error, part, "some servers of a backend are away");
            }
            health.set_partly_away(part, error.to_string());
        }
        Seen::Away(error) => {
            if !was_away {
                warn!(%error, part, "a backend is away");
            }
            health.set_away(part, Some(error.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::{Context, Waker};
    use std::time::Duration;

    use forebay_core::entry::Version;
    use forebay_core::ports::remote_store::{
        Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, Shared, Sum,
    };
    use forebay_core::time::Instant;

    use super::*;

    /// It never answers, and its time-out is longer than anybody waits.
    struct Silent;

    impl RemoteStore for Silent {
        fn capabilities(&self) -> RemoteCapabilities {
            RemoteCapabilities::NONE
        }

        fn get<'a>(&'a self, _: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
            Box::pin(pending())
        }

        fn get_or_lease<'a>(&'a self, _: &'a [u8], _: Duration) -> BoxFuture<'a, Result<Asked>> {
            Box::pin(pending())
        }

        fn fill<'a>(
            &'a self,
            _: &'a [u8],
            _: &'a [u8],
            _: Fill<'a>,
            _: Grant,
        ) -> BoxFuture<'a, Result<Filled>> {
            Box::pin(pending())
        }

        fn put<'a>(&'a self, _: &'a [u8], _: &'a [u8], _: Put) -> BoxFuture<'a, Result<Changed>> {
            Box::pin(pending())
        }

        fn remove<'a>(
            &'a self,
            _: &'a [u8],
            _: Option<Version>,
            _: Duration,
        ) -> BoxFuture<'a, Result<Changed>> {
            Box::pin(pending())
        }

        fn remove_tag<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
            Box::pin(pending())
        }

        fn add<'a>(&'a self, _: &'a [u8], _: Addition) -> BoxFuture<'a, Result<Sum>> {
            Box::pin(pending())
        }

        fn touch<'a>(&'a self, _: &'a [u8], _: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
            Box::pin(pending())
        }
    }

    /// Every sleep is over.
    struct Late;

    impl Clock for Late {
        fn now(&self) -> Instant {
            Instant::from_ms(1)
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            Box::pin(ready(()))
        }

        fn random(&self) -> u64 {
            4
        }
    }

    #[test]
    fn nobody_waits_longer_for_the_first_contact_because_one_look_takes_longer() {
        let awaited = pin!(await_store(&Silent, &Late)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(awaited.is_ready());
    }

    #[test]
    fn a_store_of_many_nodes_is_looked_at_with_so_many_keys_that_each_has_some() {
        assert_eq!(look_keys(1).len(), 3 * BACKEND_LOOK_KEYS_PER_NODE);
        assert_eq!(look_keys(20).len(), 20 * BACKEND_LOOK_KEYS_PER_NODE);
        assert_eq!(look_keys(usize::MAX >> 8).len(), BACKEND_LOOK_KEYS_MAX);
    }

    #[test]
    fn health_follows_what_is_seen() {
        let health = Health::default();
        let away = || Error::new(Kind::Unavailable, "reach broker", "at h");
        tell(BROKER, Seen::Away(away()), &health);
        assert_eq!(health.away(), ["the broker is away: reach broker at h: unavailable"]);
        tell(BROKER, Seen::Partly(away()), &health);
        assert!(health.away().is_empty());
        assert_eq!(health.partly_away(), ["the broker is partly away: reach broker at h: unavailable"]);
        tell(BROKER, Seen::There, &health);
        assert!(health.away().is_empty() && health.partly_away().is_empty());
    }
}
