//! The load on a shared store sees what a store does wrong: else it would prove nothing of one that withstands it.

#![cfg(feature = "servers")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::ground::Ground;
use forebay_contract::outage::store::Stores;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_core::entry::{Mode, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use tokio::time::sleep;

/// What it does wrong begins with this removal, when all goes on.
const AT: u64 = 50;
/// No call takes longer, however busy the machine is.
const CALL_MAX: Duration = Duration::from_secs(60);
/// What never comes is waited for so long.
const DEAF_MAX: Duration = Duration::from_secs(3);
const BOUNDS: Bounds =
    Bounds { wait: Duration::ZERO, slack: CALL_MAX, consumers: 1, well: 60, pace: Duration::from_millis(1) };
/// What keys begin with that are of another server than the one that is hurt.
const ELSEWHERE: &str = "elsewhere:";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    RemovesNothing,
    RemovesNothingAndSaysSo,
    FillsWithoutALease,
    GoesDeaf,
    RefusesForGood,
    RefusesElsewhere,
    IsSlow,
}

/// A store that has one fault.
struct Faulty {
    wrong: Wrong,
    inner: ModelStore,
    removals: AtomicU64,
}

impl Faulty {
    fn does(&self, wrong: Wrong) -> bool {
        self.wrong == wrong && self.removals.load(SeqCst) >= AT
    }
}

impl RemoteStore for Faulty {
    fn capabilities(&self) -> RemoteCapabilities {
        self.inner.capabilities()
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        self.inner.get(keys)
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        if self.does(Wrong::GoesDeaf) {
            return Box::pin(async { Ok(Asked::Busy) });
        }
        self.inner.get_or_lease(key, lease)
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        if self.does(Wrong::FillsWithoutALease) {
            let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
            return Box::pin(async move {
                self.inner.put(key, value, put).await?;
                Ok(Filled::Stored(Version(1)))
            });
        }
        self.inner.fill(key, value, fill, grant)
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        self.inner.put(key, value, put)
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        self.removals.fetch_add(1, SeqCst);
        let refuse = |kind| Err(Error::new(kind, "remove key", "a model"));
        Box::pin(async move {
            if self.does(Wrong::RemovesNothing) {
                return Ok(Changed::Done(Version(1)));
            }
            if self.does(Wrong::RemovesNothingAndSaysSo) {
                return refuse(Kind::Unavailable);
            }
            if self.does(Wrong::RefusesForGood) {
                return refuse(Kind::Invalid);
            }
            if self.does(Wrong::RefusesElsewhere) && key.starts_with(ELSEWHERE.as_bytes()) {
                return refuse(Kind::Unavailable);
            }
            if self.does(Wrong::IsSlow) {
                sleep(BOUNDS.pace * 50).await;
            }
            self.inner.remove(key, version, hold).await
        })
    }

    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        self.inner.remove_tag(tag)
    }

    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        self.inner.add(key, addition)
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        self.inner.touch(key, life)
    }
}

/// What the load says of it, if anything.
fn verdict(wrong: Wrong, bounds: Bounds) -> Option<String> {
    let ground = Ground::new(CALL_MAX);
    let servers = ModelServers::new(SimClock::new(1), 1);
    let inner = ModelStore::new(servers, CALL_MAX);
    let store = Arc::new(Faulty { wrong, inner, removals: AtomicU64::new(0) }) as Arc<dyn RemoteStore>;
    let names = |begin: &str| (0..20).map(|number| format!("{begin}{number}")).collect::<Vec<_>>();
    let stores = Stores {
        all: [store.clone(), store],
        keys: names("key:"),
        elsewhere: names(ELSEWHERE),
        makes_up: true,
        deaf_max: if wrong == Wrong::Nothing { CALL_MAX } else { DEAF_MAX },
    };
    let seen = catch_unwind(AssertUnwindSafe(|| {
        let mut load = Outage::begin_on_stores(ground.handle(), &stores, bounds);
        load.goes_on("with nothing done to it");
        load.end("A model", "nothing");
    }));
    let said = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => panic.downcast_ref::<&str>().unwrap().to_string(),
    };
    seen.err().map(said)
}

#[track_caller]
fn is_seen(wrong: Wrong, says: &str) {
    let said = verdict(wrong, BOUNDS).expect("it was not seen");
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_store_that_does_nothing_wrong_withstands_it() {
    assert_eq!(verdict(Wrong::Nothing, BOUNDS), None);
}

#[test]
fn what_is_served_after_it_was_invalidated_is_seen() {
    is_seen(Wrong::RemovesNothing, "has failed");
}

#[test]
fn what_is_served_though_it_could_not_be_invalidated_is_seen() {
    is_seen(Wrong::RemovesNothingAndSaysSo, "has failed");
}

#[test]
fn an_older_value_that_is_filled_in_is_seen() {
    is_seen(Wrong::FillsWithoutALease, "has failed");
}

#[test]
fn a_store_that_goes_deaf_is_seen() {
    is_seen(Wrong::GoesDeaf, "somebody is deaf");
}

#[test]
fn a_refusal_for_another_reason_than_the_servers_absence_is_seen() {
    is_seen(Wrong::RefusesForGood, "has failed");
}

#[test]
fn a_refusal_for_a_key_of_another_server_is_seen() {
    is_seen(Wrong::RefusesElsewhere, "has failed");
}

#[test]
fn a_call_that_takes_longer_than_was_stated_is_seen() {
    let stated = Bounds { slack: BOUNDS.pace, ..BOUNDS };
    let said = verdict(Wrong::IsSlow, stated).expect("it was not seen");
    assert!(said.contains("a call took"), "{said}");
}
