//! A source behind a policy: absence, stale values, refreshing, time-outs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use forebay_cache::{Policy, ReadThroughOptions};
use forebay_core::error::{Error, Kind};
use forebay_core::ports::loader::Loader;
use support::tasks::{SECOND, Scene, text};
use support::{Call, Gate, Source};

fn fails() -> Arc<dyn Loader> {
    Arc::new(|_| async { Err(Error::new(Kind::Unavailable, "query product", "1")) })
}

fn options(policy: Policy) -> ReadThroughOptions {
    ReadThroughOptions { breaker: None, ..ReadThroughOptions::new(policy.jitter(0.0)) }
}

fn loads(source: &Source) -> usize {
    source.loads.load(SeqCst)
}

#[test]
fn a_value_is_loaded_once_and_served_until_its_fresh_time_is_over() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND));
    assert_eq!(text(scene.get()).as_deref(), Some("value"));
    scene.clock.advance(9_999);
    assert_eq!(scene.at_once(), Some(("value".into(), None)));
    scene.source.put("newer");
    scene.clock.advance(1);
    assert_eq!(text(scene.get()).as_deref(), Some("newer"));
    let reads = scene.cache.stats().reads;
    assert_eq!((reads.hits, reads.misses, reads.loads, reads.load_failures), (1, 2, 2, 0));
}

#[test]
fn absence_is_remembered_for_its_own_time() {
    let scene = Scene::new(Policy::fresh_for(60 * SECOND).negative_for(2 * SECOND));
    scene.source.clear();
    assert_eq!(scene.get().unwrap(), None);
    scene.clock.advance(1_999);
    assert_eq!(scene.at_once(), None);
    assert_eq!(scene.cache.get(b"key"), None);
    assert_eq!((loads(&scene.source), scene.cache.stats().reads.negative_hits), (1, 2));
    scene.source.put("value");
    scene.clock.advance(1);
    assert_eq!(text(scene.get()).as_deref(), Some("value"));
}

#[test]
fn a_write_ends_a_remembered_absence() {
    let scene = Scene::new(Policy::default());
    scene.source.clear();
    assert_eq!(scene.get().unwrap(), None);
    scene.through.set(b"key", b"set").unwrap();
    assert_eq!(scene.at_once(), Some(("set".into(), None)));
    scene.cache.invalidate(b"key").unwrap();
    assert_eq!(scene.get().unwrap(), None);
    scene.source.put("value");
    scene.through.invalidate(b"key").unwrap();
    assert_eq!(text(scene.get()).as_deref(), Some("value"));
}

#[test]
fn no_more_absent_keys_are_remembered_than_the_bound() {
    let scene = Scene::with(ReadThroughOptions { negatives_max: 3, ..options(Policy::default()) });
    scene.source.clear();
    for round in 0..2 {
        for key in 0..10_u8 {
            scene.finish(scene.through.get(&[key])).unwrap();
        }
        assert_eq!(loads(&scene.source), 10 + 7 * round);
    }
    assert_eq!(scene.cache.stats().reads.negatives_dropped, 14);
}

#[test]
fn without_negatives_the_source_is_asked_every_time() {
    let scene = Scene::new(Policy::default().without_negatives());
    scene.source.clear();
    for times in 1..4 {
        assert_eq!(scene.get().unwrap(), None);
        assert_eq!(loads(&scene.source), times);
    }
}

#[test]
fn a_stale_value_is_served_at_once_and_flagged_while_one_load_refreshes_it() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_for(5 * SECOND));
    scene.get().unwrap();
    scene.source.put("newer");
    scene.clock.advance(11_000);
    for _ in 0..10 {
        assert_eq!(scene.at_once(), Some(("value".into(), Some(SECOND))));
    }
    assert_eq!((scene.tasks.count(), loads(&scene.source)), (1, 1));
    scene.tasks.run();
    assert_eq!(scene.at_once(), Some(("newer".into(), None)));
    assert_eq!(loads(&scene.source), 2);
    let reads = scene.cache.stats().reads;
    assert_eq!((reads.stale_served, reads.refreshes), (10, 1));
}

#[test]
fn a_plain_get_is_never_served_a_stale_value() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_for(5 * SECOND));
    scene.get().unwrap();
    assert_eq!(scene.cache.get(b"key").as_deref(), Some(&b"value"[..]));
    scene.clock.advance(10_000);
    assert_eq!(scene.cache.get(b"key"), None);
    assert!(scene.at_once().is_some());
}

#[test]
fn beyond_its_stale_time_a_value_is_loaded_before_it_is_served() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_for(5 * SECOND));
    scene.get().unwrap();
    scene.source.put("newer");
    scene.clock.advance(15_000);
    assert_eq!(text(scene.get()).as_deref(), Some("newer"));
}

#[test]
fn an_invalidated_value_is_not_served_as_stale() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_for(5 * SECOND).stale_on_error(60 * SECOND));
    scene.get().unwrap();
    scene.clock.advance(11_000);
    scene.through.invalidate(b"key").unwrap();
    let failing = scene.through(fails(), options(Policy::default().stale_on_error(60 * SECOND)));
    assert_eq!(scene.finish(failing.get(b"key")).unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn a_value_that_the_source_no_longer_has_is_not_served_as_stale() {
    for policy in [Policy::fresh_for(10 * SECOND), Policy::fresh_for(10 * SECOND).without_negatives()] {
        let scene = Scene::new(policy.stale_for(SECOND).stale_on_error(60 * SECOND));
        scene.get().unwrap();
        scene.source.clear();
        scene.clock.advance(20_000);
        assert_eq!(scene.get().unwrap(), None);
        let failing = scene.through(fails(), options(policy.stale_on_error(60 * SECOND)));
        scene.clock.advance(6_000);
        assert!(scene.finish(failing.get(b"key")).is_err());
    }
}

#[test]
fn where_the_load_fails_an_older_value_is_served_up_to_its_age_limit() {
    let policy = Policy::fresh_for(10 * SECOND).stale_on_error(60 * SECOND).retry_after(3 * SECOND);
    let scene = Scene::new(policy);
    scene.get().unwrap();
    let failing = scene.through(fails(), options(policy));
    scene.clock.advance(20_000);
    let served = scene.finish(failing.get(b"key")).unwrap().unwrap();
    assert_eq!((&*served, served.stale()), (&b"value"[..], Some(10 * SECOND)));
    scene.clock.advance(49_999);
    assert!(scene.finish(failing.get(b"key")).unwrap().is_some());
    scene.clock.advance(1);
    let error = scene.finish(failing.get(b"key")).unwrap_err();
    assert_eq!(error.to_string(), "load key key: unavailable (query product 1: unavailable)");
}

#[test]
fn after_a_failed_load_the_older_value_is_served_at_once_for_a_while() {
    let policy = Policy::fresh_for(10 * SECOND).stale_on_error(60 * SECOND).retry_after(3 * SECOND);
    let scene = Scene::new(policy);
    scene.get().unwrap();
    let failing = scene.through(fails(), options(policy));
    scene.clock.advance(20_000);
    scene.finish(failing.get(b"key")).unwrap();
    scene.clock.advance(2_999);
    assert_eq!(scene.at_once(), Some(("value".into(), Some(Duration::from_millis(12_999)))));
    assert_eq!(scene.tasks.count(), 0);
    scene.clock.advance(1);
    scene.source.put("newer");
    assert_eq!(text(scene.get()).as_deref(), Some("newer"));
}

#[test]
fn in_the_last_share_of_the_fresh_time_one_reader_refreshes_ahead() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).refresh_ahead(0.2));
    scene.get().unwrap();
    scene.clock.advance(7_999);
    assert!(scene.at_once().is_some());
    assert_eq!(scene.tasks.count(), 0);
    scene.source.put("newer");
    scene.clock.advance(1);
    for _ in 0..5 {
        assert_eq!(scene.at_once(), Some(("value".into(), None)));
    }
    assert_eq!(scene.tasks.count(), 1);
    scene.tasks.run();
    scene.clock.advance(7_000);
    assert_eq!(scene.at_once(), Some(("newer".into(), None)));
    assert_eq!(loads(&scene.source), 2);
}

#[test]
fn a_refresh_ahead_that_fails_leaves_the_value_and_rests() {
    let policy = Policy::fresh_for(10 * SECOND).refresh_ahead(0.5).retry_after(SECOND);
    let scene = Scene::new(policy);
    scene.get().unwrap();
    let failing = scene.through(fails(), options(policy));
    scene.clock.advance(6_000);
    let read = || scene.finish(failing.get(b"key")).unwrap().unwrap();
    assert_eq!(read().stale(), None);
    scene.tasks.run();
    (0..5).for_each(|_| assert_eq!(read().stale(), None));
    assert_eq!(scene.cache.stats().reads.refreshes, 1);
    scene.clock.advance(1_000);
    read();
    assert_eq!(scene.cache.stats().reads.refreshes, 2);
}

#[test]
fn after_the_soft_time_out_an_older_value_is_served_and_the_load_goes_on() {
    let policy = Policy::fresh_for(10 * SECOND).stale_on_error(60 * SECOND).soft_timeout(SECOND);
    let scene = Scene::new(policy);
    scene.get().unwrap();
    scene.clock.advance(20_000);
    let gate = Arc::new(Gate::default());
    let slow = scene.through(gate.clone(), options(policy));
    let mut call = Call::new(slow.get(b"key"));
    assert!(call.poll().is_none());
    scene.tasks.run();
    scene.clock.advance(999);
    assert!(!call.woken() && call.poll().is_none());
    scene.clock.advance(1);
    let served = call.finish().unwrap().unwrap();
    assert_eq!((&*served, served.stale()), (&b"value"[..], Some(10 * SECOND)));
    gate.open(Ok(Some("newer".into())));
    scene.tasks.run();
    assert_eq!(scene.at_once(), Some(("newer".into(), None)));
}

#[test]
fn without_an_older_value_the_soft_time_out_does_nothing_and_the_hard_one_ends_the_load() {
    let policy = Policy::fresh_for(10 * SECOND).soft_timeout(SECOND).hard_timeout(5 * SECOND);
    let scene = Scene::new(policy);
    let gate = Arc::new(Gate::default());
    let slow = scene.through(gate.clone(), options(policy));
    let mut call = Call::new(slow.get(b"key"));
    assert!(call.poll().is_none());
    scene.tasks.run();
    scene.clock.advance(4_999);
    assert!(call.poll().is_none());
    assert_eq!(scene.cache.stats().reads.waiting, 1);
    scene.clock.advance(1);
    assert_eq!(call.finish().unwrap_err().kind(), Kind::Unavailable);
    scene.tasks.run();
    assert_eq!(scene.tasks.count(), 0, "the load was given up");
    let reads = scene.cache.stats().reads;
    assert_eq!((reads.load_timeouts, reads.load_failures, reads.load_ms), (1, 1, 5_000));
    assert_eq!(reads.waiting, 0);
    assert_eq!(text(scene.get()).as_deref(), Some("value"), "the next read loads anew");
}

#[test]
fn a_reader_that_gives_up_does_not_end_the_load() {
    let scene = Scene::new(Policy::default());
    let gate = Arc::new(Gate::default());
    let slow = scene.through(gate.clone(), options(Policy::default()));
    let mut call = Call::new(slow.get(b"key"));
    assert!(call.poll().is_none());
    drop(call);
    scene.tasks.run();
    gate.open(Ok(Some("value".into())));
    scene.tasks.run();
    assert!(scene.at_once().is_some());
}

#[test]
fn a_load_that_is_cut_off_is_begun_again_a_few_times_and_then_an_error() {
    let scene = Scene::new(Policy::default());
    let mut call = Call::new(scene.through.get(b"key"));
    let error = loop {
        match call.poll() {
            Some(result) => break result.unwrap_err(),
            None => scene.tasks.cut_off(),
        }
        assert!(call.woken());
    };
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(text(scene.get()).as_deref(), Some("value"));
}

#[test]
fn a_loader_that_panics_is_an_error_for_all_who_wait() {
    let scene = Scene::new(Policy::default());
    let panics: Arc<dyn Loader> = Arc::new(|_| async { panic!("a broken loader") });
    let broken = scene.through(panics, options(Policy::default()));
    let mut calls: Vec<_> = (0..3).map(|_| Call::new(broken.get(b"key"))).collect();
    assert!(calls.iter_mut().all(|call| call.poll().is_none()));
    scene.tasks.run();
    for call in calls {
        assert!(call.finish().unwrap_err().to_string().contains("because its loader panicked"));
    }
}

#[test]
fn of_all_who_miss_at_one_time_one_loads_whichever_way_they_ask() {
    let scene = Scene::new(Policy::default());
    let source = Source::default();
    let mut through: Vec<_> = (0..10).map(|_| Call::new(scene.through.get(b"key"))).collect();
    assert!(through.iter_mut().all(|call| call.poll().is_none()));
    let plain = Call::parked(&scene.cache, &source);
    scene.tasks.run();
    for call in through {
        assert_eq!(text(call.finish()).as_deref(), Some("value"));
    }
    assert_eq!(plain.finish().unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!((loads(&scene.source), loads(&source)), (1, 0));
}

#[test]
fn one_call_may_bring_its_own_policy() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_on_error(60 * SECOND));
    scene.get().unwrap();
    scene.source.put("newer");
    scene.clock.advance(11_000);
    let lenient = Policy::fresh_for(10 * SECOND).stale_for(5 * SECOND);
    let served = scene.finish(scene.through.get_with(b"key", &lenient)).unwrap().unwrap();
    assert_eq!(served.stale(), Some(SECOND));
    let impossible = Policy::default().refresh_ahead(2.0);
    assert_eq!(scene.finish(scene.through.get_with(b"key", &impossible)).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn values_of_other_programs_are_read_as_they_are() {
    let scene = Scene::new(Policy::fresh_for(10 * SECOND).stale_for(60 * SECOND));
    scene.cache.set(b"key", b"foreign", Some(SECOND)).unwrap();
    assert_eq!(scene.at_once(), Some(("foreign".into(), None)));
    scene.clock.advance(1_000);
    assert_eq!(text(scene.get()).as_deref(), Some("value"), "it has no stale time");
}
