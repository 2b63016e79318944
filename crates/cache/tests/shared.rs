//! A shared cache over a model of the store and over the memory of the process, in simulated time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use forebay_cache::SharedCache;
use forebay_cache::near::alone::Alone;
use forebay_contract::clock::SimClock;
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_core::entry::Step;
use forebay_core::error::{Error, Kind};
use forebay_core::limits::elsewhere::{SHARED_BUSY_WAIT_MAX, SHARED_LEASE, SHARED_NEGATIVE_LIFE};
use forebay_core::ports::remote_store::{Asked, Fill, Filled, RemoteStore};

use crate::support::{Call, Gate, Source, block_on, store};

struct Scene {
    clock: SimClock,
    servers: Arc<ModelServers>,
    shared: Arc<ModelStore>,
    cache: SharedCache,
    source: Source,
}

fn scene() -> Scene {
    let clock = SimClock::new(1);
    let servers = ModelServers::new(clock.clone(), 1);
    let shared = Arc::new(ModelStore::new(servers.clone(), Duration::from_millis(500)));
    let cache = SharedCache::new(shared.clone(), Arc::new(clock.clone()));
    let source = Source::default();
    source.put("value");
    Scene { clock, servers, shared, cache, source }
}

impl Scene {
    fn load(&self) -> Option<String> {
        let loaded = block_on(self.cache.get_or_load(b"key", None, &self.source)).unwrap();
        loaded.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    fn loads(&self) -> usize {
        self.source.loads.load(SeqCst)
    }

    fn get(&self) -> Option<String> {
        let got = block_on(self.cache.get(b"key")).unwrap();
        got.map(|value| String::from_utf8(value.to_vec()).unwrap())
    }
}

#[test]
fn what_was_loaded_once_is_there_for_all_processes() {
    let scene = scene();
    assert_eq!(scene.load().as_deref(), Some("value"));
    let other = SharedCache::new(scene.shared.clone(), Arc::new(scene.clock.clone()));
    let loaded = block_on(other.get_or_load(b"key", None, &scene.source)).unwrap();
    assert_eq!((loaded.as_deref(), scene.loads()), (Some(&b"value"[..]), 1));
}

#[test]
fn a_change_during_a_load_is_not_overwritten_by_it() {
    let scene = scene();
    let writer = scene.cache.clone();
    let loader = move |_key: Vec<u8>| {
        let writer = writer.clone();
        async move {
            writer.set(b"key", b"newer", None).await?;
            Ok(Some("older".into()))
        }
    };
    let loaded = block_on(scene.cache.get_or_load(b"key", None, &loader)).unwrap();
    assert_eq!(
        loaded.as_deref(),
        Some(&b"older"[..]),
        "who began before the change may see what was before it"
    );
    assert_eq!(scene.get().as_deref(), Some("newer"));
}

#[test]
fn who_finds_another_process_loading_waits_for_it_and_not_for_ever() {
    let scene = scene();
    let Asked::Granted(_) = block_on(scene.shared.get_or_lease(b"key", SHARED_LEASE)).unwrap() else {
        panic!()
    };
    let mut call = Call::new(scene.cache.get_or_load(b"key", None, &scene.source));
    assert!(call.poll().is_none() && scene.loads() == 0);
    block_on(scene.cache.set(b"key", b"theirs", None)).unwrap();
    scene.clock.advance(SHARED_BUSY_WAIT_MAX);
    assert_eq!(call.poll().unwrap().unwrap().as_deref(), Some(&b"theirs"[..]));

    block_on(scene.cache.delete(b"key")).unwrap();
    let Asked::Granted(_) = block_on(scene.shared.get_or_lease(b"key", SHARED_LEASE)).unwrap() else {
        panic!()
    };
    let mut call = Call::new(scene.cache.get_or_load(b"key", None, &scene.source));
    assert!(call.poll().is_none());
    scene.clock.advance(SHARED_BUSY_WAIT_MAX);
    assert_eq!(call.poll().unwrap().unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!((scene.loads(), scene.get()), (1, None), "it is not stored: the lease is another's");
}

#[test]
fn who_comes_after_a_change_of_another_process_is_not_told_what_was_read_before_it() {
    let scene = scene();
    let other = SharedCache::new(scene.shared.clone(), Arc::new(scene.clock.clone()));
    let slow = Gate::default();
    let mut before = Call::new(scene.cache.get_or_load(b"key", None, &slow));
    assert!(before.poll().is_none() && slow.loads.load(SeqCst) == 1);
    let mut joined = Call::new(scene.cache.get_or_load(b"key", None, &scene.source));
    assert!(joined.poll().is_none(), "the lease of the load holds");
    block_on(other.delete(b"key")).unwrap();
    scene.source.put("newer");
    assert_eq!(scene.load().as_deref(), Some("newer"), "it waits for nobody");
    slow.open(Ok(Some("older".into())));
    assert_eq!(before.poll().unwrap().unwrap().as_deref(), Some(&b"older"[..]));
    assert_eq!(joined.poll().unwrap().unwrap().as_deref(), Some(&b"newer"[..]), "it is there by now");
    assert_eq!((scene.get().as_deref(), scene.loads()), (Some("newer"), 1));
}

#[test]
fn nor_is_who_comes_when_yet_another_process_loads_what_was_changed() {
    let scene = scene();
    let slow = Gate::default();
    let mut before = Call::new(scene.cache.get_or_load(b"key", None, &slow));
    assert!(before.poll().is_none());
    block_on(scene.shared.remove(b"key", None, Duration::ZERO)).unwrap();
    let Asked::Granted(grant) = block_on(scene.shared.get_or_lease(b"key", SHARED_LEASE)).unwrap() else {
        panic!("the load's lease is void")
    };
    let mut after = Call::new(scene.cache.get_or_load(b"key", None, &scene.source));
    assert!(after.poll().is_none());
    slow.open(Ok(Some("older".into())));
    assert_eq!(before.poll().unwrap().unwrap().as_deref(), Some(&b"older"[..]));
    assert!(after.poll().is_none(), "somebody else loads");
    let fill = Fill { flags: 0, life: None, tags: &[] };
    block_on(scene.shared.fill(b"key", b"newer", fill, grant)).unwrap();
    scene.clock.advance(SHARED_BUSY_WAIT_MAX);
    assert_eq!(after.poll().unwrap().unwrap().as_deref(), Some(&b"newer"[..]));
    assert_eq!(scene.loads(), 0);
}

#[test]
fn who_waits_for_a_load_is_told_what_it_brings_however_little_the_store_keeps() {
    let scene = scene();
    let (first, second) = (Gate::default(), Gate::default());
    let mut leads = Call::new(scene.cache.get_or_load(b"key", None, &first));
    assert!(leads.poll().is_none());
    let mut waits = Call::new(scene.cache.get_or_load(b"key", None, &second));
    assert!(waits.poll().is_none() && second.loads.load(SeqCst) == 0);
    scene.servers.stop(0);
    first.open(Ok(Some("value".into())));
    assert_eq!(leads.poll().unwrap().unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(waits.poll().unwrap().unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(second.loads.load(SeqCst), 0);
}

#[test]
fn that_there_is_none_is_remembered_for_a_while_and_is_no_value() {
    let scene = scene();
    scene.source.clear();
    assert_eq!((scene.load(), scene.load(), scene.loads()), (None, None, 1));
    assert_eq!(scene.get(), None);
    assert!(!block_on(scene.cache.replace(b"key", b"x", None)).unwrap());
    assert!(!block_on(scene.cache.touch(b"key", None)).unwrap());
    assert_eq!(block_on(scene.cache.count(b"key", Step::Up, 1, None)).unwrap(), None);
    scene.source.put("now there");
    scene.clock.advance(SHARED_NEGATIVE_LIFE);
    assert_eq!((scene.load().as_deref(), scene.loads()), (Some("now there"), 2));
}

#[test]
fn over_an_absence_a_value_is_added_and_a_number_begun() {
    let scene = scene();
    scene.source.clear();
    assert_eq!(scene.load(), None);
    assert!(block_on(scene.cache.add(b"key", b"x", None)).unwrap());
    assert!(!block_on(scene.cache.add(b"key", b"y", None)).unwrap());
    assert_eq!(scene.get().as_deref(), Some("x"));
    block_on(scene.cache.delete(b"key")).unwrap();
    assert_eq!(scene.load(), None);
    let counted = block_on(scene.cache.count(b"key", Step::Up, 1, Some((7, None)))).unwrap();
    assert_eq!(counted, Some(7));
    assert_eq!(block_on(scene.cache.count(b"key", Step::Down, 2, None)).unwrap(), Some(5));
}

#[test]
fn while_the_store_is_away_values_are_loaded_and_changes_fail() {
    let scene = scene();
    scene.servers.stop(0);
    assert_eq!(scene.load().as_deref(), Some("value"));
    assert_eq!(block_on(scene.cache.get(b"key")).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(block_on(scene.cache.set(b"key", b"x", None)).unwrap_err().kind(), Kind::Unavailable);
    scene.servers.bring_back(0);
    assert_eq!(scene.get(), None);
}

#[test]
fn the_loaders_error_is_the_callers() {
    let scene = scene();
    let broken = |_key: Vec<u8>| async { Err(Error::new(Kind::Io, "ask source", "database")) };
    let error = block_on(scene.cache.get_or_load(b"key", None, &broken)).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
}

#[test]
fn a_version_is_replaced_once() {
    let scene = scene();
    block_on(scene.cache.set(b"key", b"one", None)).unwrap();
    let (_, version) = block_on(scene.cache.get_versioned(b"key")).unwrap().unwrap();
    assert!(block_on(scene.cache.replace_version(b"key", b"two", version, None)).unwrap());
    assert!(!block_on(scene.cache.replace_version(b"key", b"three", version, None)).unwrap());
    let many = block_on(scene.cache.get_many(&[b"key", b"none"])).unwrap();
    assert_eq!((many[0].as_deref(), many[1].as_deref()), (Some(&b"two"[..]), None));
}

#[test]
fn the_memory_of_the_process_answers_alike() {
    let clock = Arc::new(SimClock::new(1));
    let cache = SharedCache::new(Arc::new(Alone::new(store(), clock.clone())), clock);
    let source = Source::default();
    let load = || block_on(cache.get_or_load(b"key", None, &source)).unwrap();
    assert_eq!((load(), load(), source.loads.load(SeqCst)), (None, None, 1));
    assert!(block_on(cache.add(b"key", b"7", None)).unwrap());
    assert_eq!(block_on(cache.count(b"key", Step::Up, 1, None)).unwrap(), Some(8));
    assert_eq!(load().as_deref(), Some(&b"8"[..]));
    block_on(cache.set(b"key", b"text", None)).unwrap();
    assert_eq!(block_on(cache.count(b"key", Step::Up, 1, None)).unwrap_err().kind(), Kind::Conflict);
}

#[test]
fn what_was_loaded_with_a_tag_is_removed_with_it_and_loads_on_their_way_store_nothing() {
    let scene = scene();
    let load = |key: &[u8], tags: &[&[u8]]| {
        block_on(scene.cache.get_or_load_tagged(key, None, tags, &scene.source)).unwrap().unwrap()
    };
    assert_eq!(&*load(b"key", &[b"all", b"one"]), b"value");
    load(b"other", &[b"all"]);
    scene.source.put("newer");
    assert_eq!(block_on(scene.cache.delete_tag(b"one")).unwrap(), 1);
    assert_eq!(&*load(b"key", &[b"all"]), b"newer");
    assert_eq!(&*load(b"other", &[]), b"value");
    // A load that began before is not stored behind the removal.
    block_on(scene.cache.delete(b"key")).unwrap();
    let Asked::Granted(grant) = block_on(scene.shared.get_or_lease(b"key", SHARED_LEASE)).unwrap() else {
        panic!("nobody else has it");
    };
    block_on(scene.cache.delete_tag(b"all")).unwrap();
    let fill = Fill { flags: 0, life: None, tags: &[b"all"] };
    assert_eq!(block_on(scene.shared.fill(b"key", b"old", fill, grant)).unwrap(), Filled::Refused);
    let many: Vec<&[u8]> = vec![b"tag"; 17];
    let refused = block_on(scene.cache.get_or_load_tagged(b"key", None, &many, &scene.source)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
}

#[test]
fn a_tagged_load_takes_the_place_of_what_is_over() {
    let scene = scene();
    scene.source.clear();
    let load = || block_on(scene.cache.get_or_load_tagged(b"key", None, &[b"tag"], &scene.source)).unwrap();
    assert_eq!(load(), None);
    scene.clock.advance(SHARED_NEGATIVE_LIFE);
    scene.source.put("value");
    assert_eq!(load().as_deref(), Some(&b"value"[..]));
    assert_eq!(block_on(scene.cache.delete_tag(b"tag")).unwrap(), 1);
    assert_eq!(scene.get(), None);
}

#[test]
fn a_shared_lock_is_granted_once_with_growing_tokens_and_given_back_by_its_holder_alone() {
    let scene = scene();
    let lease = Duration::from_secs(5);
    let take = || block_on(scene.cache.try_lock(b"stock", lease)).unwrap();
    let first = take().unwrap();
    assert_eq!(take(), None);
    scene.clock.advance(lease + Duration::from_secs(1));
    let second = take().unwrap();
    assert!(second > first);
    assert!(!block_on(scene.cache.unlock(b"stock", first)).unwrap(), "it is somebody else's by now");
    assert_eq!(take(), None);
    assert!(block_on(scene.cache.unlock(b"stock", second)).unwrap());
    assert!(take().unwrap() > second);
    let refused = block_on(scene.cache.try_lock(b"stock", Duration::ZERO)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
}

#[test]
fn a_store_without_tags_and_locks_refuses_them_by_name_and_one_that_is_away_says_so() {
    let clock = SimClock::new(1);
    let alone = Alone::new(store(), Arc::new(clock.clone()));
    let cache = SharedCache::new(Arc::new(alone), Arc::new(clock));
    let source = Source::default();
    for (refused, named) in [
        (block_on(cache.get_or_load_tagged(b"key", None, &[b"tag"], &source)).err(), "tag key"),
        (block_on(cache.delete_tag(b"tag")).err(), "delete tag"),
        (block_on(cache.try_lock(b"stock", Duration::from_secs(1))).err(), "take lock"),
    ] {
        let refused = refused.unwrap();
        assert_eq!((refused.kind(), refused.operation()), (Kind::Unsupported, named));
    }
    assert_eq!(source.loads.load(SeqCst), 0);
    let scene = scene();
    scene.servers.stop(0);
    let loaded = block_on(scene.cache.get_or_load_tagged(b"key", None, &[b"tag"], &scene.source)).unwrap();
    assert_eq!(loaded.as_deref(), Some(&b"value"[..]));
    let refused = block_on(scene.cache.try_lock(b"stock", Duration::from_secs(1))).unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
}
