//! What many callers see: one load, its result for all, and nobody left waiting.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::Loader;
use support::{Call, Gate, Source, block_on, cache};

fn some(text: &str) -> Result<Option<Payload>> {
    Ok(Some(Payload::from(text)))
}

#[test]
fn of_all_who_miss_at_one_time_one_loads() {
    let (cache, gate) = (cache(), Gate::default());
    let calls: Vec<Call<'_>> = (0..100).map(|_| Call::parked(&cache, &gate)).collect();
    let mut calls = calls.into_iter();
    let leader = calls.next().unwrap();
    gate.open(some("value"));
    assert_eq!(&*leader.finish().unwrap().unwrap(), b"value");
    for call in calls {
        assert_eq!(&*call.finish().unwrap().unwrap(), b"value");
    }
    assert_eq!(gate.loads.load(SeqCst), 1);
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"value"[..]));
}

#[test]
fn an_error_reaches_everybody_and_is_not_kept() {
    let (cache, gate) = (cache(), Gate::default());
    let calls: Vec<Call<'_>> = (0..3).map(|_| Call::parked(&cache, &gate)).collect();
    gate.open(Err(Error::new(Kind::Unavailable, "query product", "1")));
    for call in calls {
        let error = call.finish().unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("query product 1"), "{error}");
    }
    let source = Source::default();
    source.put("value");
    assert!(block_on(cache.get_or_load(b"key", None, &source)).unwrap().is_some());
}

#[test]
fn a_dropped_leader_hands_over() {
    let (cache, gate) = (cache(), Gate::default());
    let leader = Call::parked(&cache, &gate);
    let mut first = Call::parked(&cache, &gate);
    let mut second = Call::parked(&cache, &gate);
    assert!(!first.woken() && !second.woken());
    drop(leader);
    assert!(first.woken() && second.woken());
    assert!(first.poll().is_none(), "the first to look leads, and loads");
    assert!(second.poll().is_none());
    assert_eq!(gate.loads.load(SeqCst), 2);
    gate.open(some("value"));
    assert_eq!(&*first.finish().unwrap().unwrap(), b"value");
    assert_eq!(&*second.finish().unwrap().unwrap(), b"value");
    assert_eq!(gate.loads.load(SeqCst), 2);
}

#[test]
fn a_lead_that_nobody_took_is_taken_by_who_comes() {
    let (cache, gate) = (cache(), Gate::default());
    let leader = Call::parked(&cache, &gate);
    let waiter = Call::parked(&cache, &gate);
    drop(leader);
    drop(waiter);
    let comer = Call::parked(&cache, &gate);
    assert_eq!(gate.loads.load(SeqCst), 2);
    gate.open(some("value"));
    assert!(comer.finish().unwrap().is_some());
}

#[test]
fn a_dropped_waiter_harms_nobody() {
    let (cache, gate) = (cache(), Gate::default());
    let leader = Call::parked(&cache, &gate);
    let waiter = Call::parked(&cache, &gate);
    let other = Call::parked(&cache, &gate);
    drop(waiter);
    gate.open(some("value"));
    assert!(leader.finish().unwrap().is_some());
    assert!(other.finish().unwrap().is_some());
}

#[test]
fn a_loader_that_panics_leaves_nobody_waiting() {
    struct Panics;
    impl Loader for Panics {
        fn load<'a>(&'a self, _key: &'a [u8]) -> BoxFuture<'a, Result<Option<Payload>>> {
            Box::pin(async { panic!("a broken loader") })
        }
    }
    let cache = cache();
    let broken = catch_unwind(AssertUnwindSafe(|| block_on(cache.get_or_load(b"key", None, &Panics))));
    assert!(broken.is_err());
    let source = Source::default();
    source.put("value");
    assert!(block_on(cache.get_or_load(b"key", None, &source)).unwrap().is_some());
}

#[test]
fn a_flight_overtaken_by_an_invalidation_serves_its_waiters_and_stores_nothing() {
    let (cache, gate) = (cache(), Gate::default());
    let leader = Call::parked(&cache, &gate);
    let waiter = Call::parked(&cache, &gate);
    cache.invalidate(b"key").unwrap();
    gate.open(some("older"));
    assert_eq!(&*leader.finish().unwrap().unwrap(), b"older");
    assert_eq!(&*waiter.finish().unwrap().unwrap(), b"older");
    assert_eq!(cache.get(b"key"), None);
}

#[test]
fn who_comes_after_an_invalidation_does_not_join_the_load_before_it() {
    let (cache, before, after) = (cache(), Gate::default(), Gate::default());
    let older = Call::parked(&cache, &before);
    cache.invalidate(b"key").unwrap();
    let newer = Call::parked(&cache, &after);
    assert_eq!(after.loads.load(SeqCst), 1);
    after.open(some("newer"));
    assert_eq!(&*newer.finish().unwrap().unwrap(), b"newer");
    before.open(some("older"));
    assert_eq!(&*older.finish().unwrap().unwrap(), b"older");
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"newer"[..]));
}

#[test]
fn a_value_set_during_a_load_stays() {
    let (cache, gate) = (cache(), Gate::default());
    let call = Call::parked(&cache, &gate);
    cache.set(b"key", b"set", None).unwrap();
    gate.open(some("loaded"));
    assert!(call.finish().unwrap().is_some());
    assert_eq!(cache.get(b"key").as_deref(), Some(&b"set"[..]));
}

/// A source that many threads read and one changes. Whoever starts to read after an invalidation has returned is never shown
/// what the source held before the change, be it from the store, from a flight or from a load.
#[test]
fn nobody_is_shown_what_was_invalidated_before_they_asked() {
    const CHANGES: u64 = 3_000;
    let cache = cache();
    let (source, invalidated, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let load = |_| {
        let value = source.load(SeqCst);
        async move {
            thread::yield_now();
            Ok(Some(Payload::from(value.to_be_bytes().as_slice())))
        }
    };
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let floor = invalidated.load(SeqCst);
                    let value = block_on(cache.get_or_load(b"key", None, &load)).unwrap().unwrap();
                    let shown = u64::from_be_bytes(value.as_ref().try_into().unwrap());
                    if shown < floor {
                        over.store(true, SeqCst);
                        panic!("{shown} was shown after the invalidation for {floor}");
                    }
                    reads.fetch_add(1, SeqCst);
                }
            });
        }
        for change in 1..=CHANGES {
            source.store(change, SeqCst);
            cache.invalidate(b"key").unwrap();
            invalidated.store(change, SeqCst);
            let seen = reads.load(SeqCst);
            while reads.load(SeqCst) == seen && !over.load(SeqCst) {
                thread::yield_now();
            }
        }
        over.store(true, SeqCst);
    });
    assert!(reads.into_inner() >= CHANGES);
}
