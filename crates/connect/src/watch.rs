//! Noticing that a backend is away, and that it is back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

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
    let mut out_of_time = clock.sleep_until(clock.now() + BACKEND_CONTACT_MAX);
    // A look may take as long as the store's own time-out, which may be long.
    let mut contact = pin!(async {
        while look_at(store).await.is_err_and(|error| error.kind() == Kind::Unavailable) {
            clock.sleep_until(clock.now() + BACKEND_CONTACT_PAUSE).await;
        }
    });
    poll_fn(|cx| match contact.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => out_of_time.as_mut().poll(cx),
    })
    .await;
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
    fn health_follows_what_is_seen() {
        let health = Health::default();
        tell(BROKER, Some(Error::new(Kind::Unavailable, "reach broker", "at h")), &health);
        assert_eq!(health.away(), ["the broker is away: reach broker at h: unavailable"]);
        tell(BROKER, None, &health);
        assert!(health.away().is_empty());
    }
}
