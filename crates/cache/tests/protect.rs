//! What spares the source: the budget, the breaker, the guard.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use forebay_cache::{BreakerOptions, BreakerState, Guard, GuardOptions, Policy, ReadThroughOptions};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::{KeySource, Loader};
use support::tasks::{SECOND, Scene, text};
use support::{Call, Gate, Source, block_on, cache};

const BREAKER: BreakerOptions = BreakerOptions {
    failure_share: 0.5,
    loads_min: 4,
    window: Duration::from_secs(10),
    open_for: Duration::from_secs(5),
    probes: 1,
};

fn options() -> ReadThroughOptions {
    ReadThroughOptions { breaker: None, ..ReadThroughOptions::new(Policy::default()) }
}

/// A source that can be switched off.
#[derive(Default)]
struct Switched {
    off: AtomicBool,
    source: Source,
}

impl Switched {
    fn loads(&self) -> usize {
        self.source.loads.load(SeqCst)
    }
}

impl Loader for Switched {
    fn load<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, support::Loaded> {
        let loaded = self.source.load(key);
        Box::pin(async move {
            if self.off.load(SeqCst) {
                return Err(Error::new(Kind::Unavailable, "query", "products"));
            }
            loaded.await
        })
    }
}

fn switched() -> Arc<Switched> {
    let source = Arc::new(Switched::default());
    source.source.put("value");
    source
}

#[test]
fn no_more_loads_run_at_one_time_than_the_budget_and_the_line_is_bounded() {
    let scene = Scene::new(Policy::default());
    let gate = Arc::new(Gate::default());
    let through =
        scene.through(gate.clone(), ReadThroughOptions { loads_max: 1, loads_waiting_max: 2, ..options() });
    let keys = [b"1", b"2", b"3", b"4"];
    let mut calls: Vec<_> = keys.iter().map(|key| Call::new(through.get(key))).collect();
    assert!(calls.iter_mut().all(|call| call.poll().is_none()));
    scene.tasks.run();
    assert_eq!(gate.loads.load(SeqCst), 1);
    assert_eq!((through.stats().loads_running, through.stats().loads_waiting), (1, 2));
    let refused = calls.pop().unwrap().finish().unwrap_err();
    assert_eq!(refused.kind(), Kind::Full);
    assert_eq!(scene.cache.stats().reads.refused_by_budget, 1);
    for (begun, call) in calls.into_iter().enumerate() {
        assert_eq!(gate.loads.load(SeqCst), begun + 1);
        gate.open(Ok(Some("value".into())));
        scene.tasks.run();
        scene.tasks.run();
        assert_eq!(text(call.finish()).as_deref(), Some("value"));
    }
    assert_eq!((through.stats().loads_running, through.stats().loads_waiting), (0, 0));
}

#[test]
fn a_load_that_waits_for_its_turn_too_long_is_given_up() {
    let scene = Scene::new(Policy::default());
    let gate = Arc::new(Gate::default());
    let through = scene.through(gate.clone(), ReadThroughOptions { loads_max: 1, ..options() });
    let patient = Policy::default().hard_timeout(600 * SECOND);
    let mut first = Call::new(through.get_with(b"1", &patient));
    let mut second = Call::new(through.get(b"2"));
    assert!(first.poll().is_none() && second.poll().is_none());
    scene.tasks.run();
    scene.clock.advance(30_000);
    scene.tasks.run();
    assert_eq!(second.finish().unwrap_err().kind(), Kind::Unavailable);
    assert_eq!((gate.loads.load(SeqCst), through.stats().loads_waiting), (1, 0));
}

#[test]
fn a_source_that_fails_is_left_alone_and_tried_again() {
    let scene = Scene::new(Policy::default());
    let source = switched();
    let through = scene.through(source.clone(), ReadThroughOptions { breaker: Some(BREAKER), ..options() });
    let get = |key: u8| scene.finish(through.get([key]));
    source.off.store(true, SeqCst);
    for key in 0..4 {
        get(key).unwrap_err();
    }
    assert_eq!(through.stats().breaker, Some(BreakerState::Open));
    let error = get(4).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("while its circuit breaker is open"), "{error}");
    assert_eq!((source.loads(), scene.cache.stats().reads.refused_by_breaker), (4, 1));

    scene.clock.advance(5_000);
    get(5).unwrap_err();
    assert_eq!(source.loads(), 5, "one probe");
    get(6).unwrap_err();
    assert_eq!(source.loads(), 5, "it failed");

    source.off.store(false, SeqCst);
    scene.clock.advance(5_000);
    assert_eq!(text(get(7)).as_deref(), Some("value"));
    assert_eq!(through.stats().breaker, Some(BreakerState::Closed));
}

#[test]
fn while_the_breaker_is_open_older_values_are_served() {
    let scene = Scene::new(Policy::default());
    let source = switched();
    let policy = Policy::fresh_for(10 * SECOND).jitter(0.0).stale_on_error(60 * SECOND);
    let options = ReadThroughOptions { breaker: Some(BREAKER), policy, ..options() };
    let through = scene.through(source.clone(), options);
    let get = |key: u8| scene.finish(through.get([key]));
    get(9).unwrap();
    source.off.store(true, SeqCst);
    scene.clock.advance(20_000);
    for key in 0..4 {
        get(key).unwrap_err();
    }
    let loads = source.loads();
    assert_eq!(get(9).unwrap().unwrap().stale(), Some(10 * SECOND));
    assert_eq!(source.loads(), loads);
}

#[test]
fn a_request_that_is_wrong_in_itself_does_not_open_the_breaker() {
    let scene = Scene::new(Policy::default());
    let wrong: Arc<dyn Loader> = Arc::new(|_| async { Err(Error::new(Kind::Invalid, "read id", "x")) });
    let through = scene.through(wrong, ReadThroughOptions { breaker: Some(BREAKER), ..options() });
    for key in 0..20_u8 {
        assert_eq!(scene.finish(through.get([key])).unwrap_err().kind(), Kind::Invalid);
    }
    assert_eq!(through.stats().breaker, Some(BreakerState::Closed));
}

#[test]
fn a_probe_that_is_cut_off_leaves_its_place_to_another() {
    let scene = Scene::new(Policy::default());
    let gate = Arc::new(Gate::default());
    let through = scene.through(gate.clone(), ReadThroughOptions { breaker: Some(BREAKER), ..options() });
    for key in 0..4_u8 {
        gate.open(Err(Error::new(Kind::Unavailable, "query", "products")));
        scene.finish(through.get([key])).unwrap_err();
    }
    scene.clock.advance(5_000);
    let mut call = Call::new(through.get(b"key"));
    assert!(call.poll().is_none());
    scene.tasks.run();
    assert_eq!(gate.loads.load(SeqCst), 5, "the probe has begun");
    scene.tasks.cut_off();
    drop(call);
    gate.open(Ok(Some("value".into())));
    assert_eq!(text(scene.finish(through.get(b"other"))).as_deref(), Some("value"));
    assert_eq!(through.stats().breaker, Some(BreakerState::Closed));
}

fn guard(keys: usize) -> Guard {
    cache().guard(GuardOptions::new(keys)).unwrap()
}

#[test]
fn a_key_that_the_guard_rules_out_never_reaches_the_source() {
    let scene = Scene::new(Policy::default());
    let guard = Arc::new(guard(1_000));
    let options = ReadThroughOptions { guard: Some(guard.clone()), ..options() };
    let through = scene.through(scene.source.clone(), options);
    assert!(scene.finish(through.get(b"before")).unwrap().is_some(), "before it is fed it lets all through");
    block_on(guard.rebuild(&|| [b"there"])).unwrap();
    assert!(scene.finish(through.get(b"there")).unwrap().is_some());
    let loads = scene.source.loads.load(SeqCst);
    assert_eq!(scene.finish(through.get(b"made up")).unwrap(), None);
    assert_eq!(scene.source.loads.load(SeqCst), loads);
    assert_eq!(scene.cache.stats().reads.refused_by_guard, 1);

    through.invalidate(b"made up").unwrap();
    assert!(scene.finish(through.get(b"made up")).unwrap().is_some(), "it was written");
    through.set(b"set", b"value").unwrap();
    scene.cache.invalidate(b"set").unwrap();
    assert!(scene.finish(through.get(b"set")).unwrap().is_some());
}

#[test]
fn a_guard_lets_all_its_keys_through_and_few_others() {
    let guard = guard(10_000);
    let keys = || (0..10_000_u32).map(u32::to_be_bytes);
    assert_eq!(block_on(guard.rebuild(&keys)).unwrap(), 10_000);
    assert!(keys().all(|key| !guard.rules_out(key)));
    let absent = (10_000..110_000_u32).filter(|key| !guard.rules_out(key.to_be_bytes())).count();
    assert!(absent < 2_000, "{absent} of 100,000 were let through");
    let stats = guard.stats();
    assert!(stats.ready && stats.keys == 10_000 && (10_000..16_000).contains(&stats.bytes), "{stats:?}");
    assert_eq!(block_on(guard.rebuild(&|| [b"only"])).unwrap(), 1);
    assert!(guard.rules_out(0_u32.to_be_bytes()), "removed keys are gone with a rebuild");
}

/// Shows one key, then does something, then ends.
struct Interrupted<'a>(&'a (dyn Fn() + Sync), Result<()>);

impl KeySource for Interrupted<'_> {
    fn keys<'a>(&'a self, show: &'a mut (dyn FnMut(&[u8]) + Send)) -> BoxFuture<'a, Result<()>> {
        show(b"shown");
        (self.0)();
        let end = self.1.as_ref().map_err(|error| Error::new(error.kind(), "list keys of", "products"));
        Box::pin(async { end.copied() })
    }
}

#[test]
fn a_key_inserted_during_a_rebuild_is_let_through_before_and_after_it() {
    let guard = guard(1_000);
    block_on(guard.rebuild(&|| [b"first"])).unwrap();
    let inserts = || {
        guard.insert(b"new");
        assert!(!guard.rules_out(b"new") && guard.rules_out(b"shown"));
    };
    block_on(guard.rebuild(&Interrupted(&inserts, Ok(())))).unwrap();
    assert!(!guard.rules_out(b"new") && !guard.rules_out(b"shown") && guard.rules_out(b"first"));
}

#[test]
fn a_rebuild_that_fails_or_comes_twice_changes_nothing() {
    let guard = guard(1_000);
    block_on(guard.rebuild(&|| [b"first"])).unwrap();
    let twice = || {
        let second = block_on(guard.rebuild(&|| [b"second"])).unwrap_err();
        assert_eq!(second.kind(), Kind::Conflict);
    };
    let failure = Err(Error::new(Kind::Unavailable, "list", "keys"));
    assert!(block_on(guard.rebuild(&Interrupted(&twice, failure))).is_err());
    assert!(!guard.rules_out(b"first") && guard.rules_out(b"shown"));
    block_on(guard.rebuild(&|| [b"second"])).unwrap();
    assert!(guard.rules_out(b"first"));
}

#[test]
fn options_out_of_range_are_refused() {
    let cache = cache();
    for options in [
        GuardOptions { keys: 0, let_through: 0.01 },
        GuardOptions { keys: usize::MAX, let_through: 0.01 },
        GuardOptions { keys: 1, let_through: 0.0 },
        GuardOptions { keys: 1, let_through: f64::NAN },
    ] {
        assert_eq!(cache.guard(options).err().unwrap().kind(), Kind::Invalid);
    }
    let scene = Scene::new(Policy::default());
    for options in [
        ReadThroughOptions { loads_max: 0, ..options() },
        ReadThroughOptions { loads_waiting_max: usize::MAX, ..options() },
        ReadThroughOptions { breaker: Some(BreakerOptions { probes: 0, ..BREAKER }), ..options() },
        ReadThroughOptions { policy: Policy::default().jitter(f64::NAN), ..options() },
        ReadThroughOptions { policy: Policy::default().hard_timeout(Duration::ZERO), ..options() },
    ] {
        let refused = scene.try_through(options).err().unwrap();
        assert_eq!(refused.kind(), Kind::Invalid);
    }
}
