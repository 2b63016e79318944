//! A hit allocates nothing but the copy of the value, and awaits nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use forebay_cache::{NearCache, Policy};
use forebay_contract::clock::SimClock;
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_core::entry::Mode;
use forebay_core::ports::remote_store::{Put, RemoteStore};
use support::tasks::{SECOND, Scene};
use support::{Source, cache};

/// The output of a future that is ready when first polled.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a hit waits for nothing"),
    }
}

/// Allocations of the second call; the first may set up what a thread keeps.
fn allocations(mut call: impl FnMut()) -> u64 {
    call();
    measure(call).count_total
}

#[test]
fn a_hit_allocates_the_copy_of_the_value_and_nothing_else() {
    let (cache, source) = (cache(), Source::default());
    cache.set(b"key", &[7; 1_000], Some(Duration::from_secs(60))).unwrap();
    let loading =
        || assert_eq!(at_once(cache.get_or_load(b"key", None, &source)).unwrap().unwrap().len(), 1_000);
    assert_eq!(allocations(loading), 1);
    assert_eq!(allocations(|| assert!(cache.get(b"key").is_some())), 1);
    assert_eq!(allocations(|| assert_eq!(cache.get_with(b"key", <[u8]>::len), Some(1_000))), 0);
    assert_eq!(allocations(|| assert!(cache.get(b"absent").is_none())), 0);
}

#[test]
fn a_hit_through_a_source_allocates_the_copy_of_the_value_and_nothing_else() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_for(SECOND).refresh_ahead(0.1));
    scene.get().unwrap();
    let hit = || assert!(at_once(scene.through.get(b"key")).unwrap().is_some());
    assert_eq!(allocations(hit), 1);
    scene.source.clear();
    scene.cache.invalidate(b"key").unwrap();
    scene.get().unwrap();
    let absent = || assert!(at_once(scene.through.get(b"key")).unwrap().is_none());
    assert_eq!(allocations(absent), 0);
}

#[test]
fn a_look_at_a_copy_of_a_shared_entry_allocates_nothing() {
    let clock = SimClock::new(1);
    let servers = ModelServers::new(clock.clone(), 1);
    let shared = Arc::new(ModelStore::new(servers, Duration::from_secs(1)));
    let near = NearCache::new(support::store(), shared, Arc::new(clock));
    let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
    at_once(near.put(b"key", &[7; 1_000], put)).unwrap();
    assert_eq!(allocations(|| assert_eq!(near.local(b"key", |near| near.value.len()), Some(1_000))), 0);
    assert_eq!(allocations(|| assert!(near.local(b"absent", |_| ()).is_none())), 0);
    assert_eq!(allocations(|| assert!(near.copy(b"key").is_some())), 1);
}
