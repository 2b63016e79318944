//! Batches: one load for all that miss, and nobody loads what another is loading.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use forebay_cache::Policy;
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::BATCH_KEYS_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::loader::{BatchLoader, Loader};
use parking_lot::Mutex;
use support::tasks::{SECOND, Scene};
use support::{Call, Gate, block_on, cache};

/// Has every key but "absent"; the value is the key.
#[derive(Default)]
struct Batches(Mutex<Vec<Vec<String>>>);

impl Batches {
    fn seen(&self) -> Vec<Vec<String>> {
        self.0.lock().clone()
    }
}

impl BatchLoader for Batches {
    fn load_many<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Result<Vec<Option<Payload>>>> {
        let text = |key: &&[u8]| String::from_utf8(key.to_vec()).unwrap();
        self.0.lock().push(keys.iter().map(text).collect());
        let values = keys.iter().map(|key| (*key != b"absent").then(|| Payload::from(*key)));
        Box::pin(std::future::ready(Ok(values.collect())))
    }
}

/// A batch that waits for its gate, and then has the gate's value for all.
struct GatedBatch(Gate);

impl BatchLoader for GatedBatch {
    fn load_many<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Result<Vec<Option<Payload>>>> {
        Box::pin(async move { Ok(vec![self.0.load(b"").await?; keys.len()]) })
    }
}

fn texts(values: &[Option<impl AsRef<[u8]>>]) -> Vec<Option<&str>> {
    values
        .iter()
        .map(|value| value.as_ref().map(|value| std::str::from_utf8(value.as_ref()).unwrap()))
        .collect()
}

fn plain(values: &[Option<Payload>]) -> Vec<Option<&str>> {
    values.iter().map(|value| value.as_ref().map(|value| std::str::from_utf8(value).unwrap())).collect()
}

#[test]
fn what_misses_is_loaded_in_one_batch_and_stored() {
    let (cache, batches) = (cache(), Batches::default());
    cache.set(b"there", b"set", None).unwrap();
    let keys = ["a", "there", "absent", "b", "a"];
    let values = block_on(cache.get_many_or_load(&keys, None, &batches)).unwrap();
    assert_eq!(plain(&values), [Some("a"), Some("set"), None, Some("b"), Some("a")]);
    assert_eq!(batches.seen(), [["a", "absent", "b"]]);
    block_on(cache.get_many_or_load(&["a", "b"], None, &batches)).unwrap();
    assert_eq!(batches.seen().len(), 1);
    assert_eq!(cache.stats().reads.loads, 1);
    assert!(block_on(cache.get_many_or_load::<&str>(&[], None, &batches)).unwrap().is_empty());
}

#[test]
fn what_another_is_loading_is_waited_for() {
    let (cache, gate, batches) = (cache(), Gate::default(), Batches::default());
    let single = Call::parked(&cache, &gate);
    let mut batch = Call::new(cache.get_many_or_load(&["other", "key"], None, &batches));
    assert!(batch.poll().is_none());
    assert_eq!(batches.seen(), [["other"]]);
    gate.open(Ok(Some("from the single load".into())));
    single.finish().unwrap();
    assert_eq!(plain(&batch.finish().unwrap()), [Some("other"), Some("from the single load")]);
}

#[test]
fn two_batches_that_wait_for_each_other_both_end() {
    let (cache, one, two) = (cache(), GatedBatch(Gate::default()), GatedBatch(Gate::default()));
    let mut first = Call::new(cache.get_many_or_load(&["a", "b"], None, &one));
    assert!(first.poll().is_none());
    let mut second = Call::new(cache.get_many_or_load(&["c", "b", "a"], None, &two));
    assert!(second.poll().is_none());
    two.0.open(Ok(Some("two".into())));
    assert!(second.poll().is_none(), "it waits for the first");
    one.0.open(Ok(Some("one".into())));
    assert_eq!(plain(&first.finish().unwrap()), [Some("one"), Some("one")]);
    assert_eq!(plain(&second.finish().unwrap()), [Some("two"), Some("one"), Some("one")]);
}

#[test]
fn a_dropped_batch_hands_its_keys_over() {
    let (cache, gated, batches) = (cache(), GatedBatch(Gate::default()), Batches::default());
    let mut dropped = Call::new(cache.get_many_or_load(&["a", "b"], None, &gated));
    assert!(dropped.poll().is_none());
    let mut heir = Call::new(cache.get_many_or_load(&["b", "a"], None, &batches));
    assert!(heir.poll().is_none());
    drop(dropped);
    assert_eq!(plain(&heir.finish().unwrap()), [Some("b"), Some("a")]);
}

#[test]
fn a_key_invalidated_during_a_batch_is_not_stored_and_the_others_are() {
    let (cache, gated) = (cache(), GatedBatch(Gate::default()));
    let mut batch = Call::new(cache.get_many_or_load(&["a", "b"], None, &gated));
    assert!(batch.poll().is_none());
    cache.invalidate(b"a").unwrap();
    gated.0.open(Ok(Some("older".into())));
    assert_eq!(plain(&batch.finish().unwrap()), [Some("older"), Some("older")]);
    assert_eq!((cache.get(b"a"), cache.get(b"b").as_deref()), (None, Some(&b"older"[..])));
}

#[test]
fn a_batch_that_fails_or_answers_short_is_an_error_and_stores_nothing() {
    let cache = cache();
    let fails = |_: Vec<Vec<u8>>| async { Err(Error::new(Kind::Unavailable, "query", "products")) };
    let error = block_on(cache.get_many_or_load(&["a", "b"], None, &fails)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let short = |_: Vec<Vec<u8>>| async { Ok(vec![Some("for which?".into())]) };
    let error = block_on(cache.get_many_or_load(&["a", "b"], None, &short)).unwrap_err();
    assert_eq!(error.to_string(), "load key a: invalid (load a batch of 2 keys, answered for 1: invalid)");
    assert_eq!((cache.get(b"a"), cache.get(b"b")), (None, None));
}

#[test]
fn batches_and_their_keys_have_their_limits() {
    let (cache, batches) = (cache(), Batches::default());
    let keys = vec!["key"; BATCH_KEYS_MAX + 1];
    let refused = block_on(cache.get_many_or_load(&keys, None, &batches)).unwrap_err();
    assert_eq!(refused.kind(), Kind::TooLarge);
    assert!(block_on(cache.get_many_or_load(&keys[1..], None, &batches)).is_ok());
    let refused = block_on(cache.get_many_or_load(&["a", ""], None, &batches)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert_eq!(batches.seen(), [["key"]]);
}

#[test]
fn through_a_source_a_batch_is_one_load_and_absence_is_remembered() {
    let scene = Scene::new(Policy::default());
    let batches = Arc::new(Batches::default());
    let through = scene.batched(batches.clone(), Policy::default());
    for _ in 0..2 {
        let values = scene.finish(through.get_many(&["a", "absent", "b", "b"])).unwrap();
        let values: Vec<_> = values.into_iter().map(|value| value.map(|value| value.to_vec())).collect();
        assert_eq!(texts(&values), [Some("a"), None, Some("b"), Some("b")]);
    }
    assert_eq!(batches.seen(), [["a", "absent", "b"]]);
    assert!(scene.finish(through.get("c")).unwrap().is_some());
    assert_eq!(batches.seen()[1], ["c"]);
}

#[test]
fn through_a_source_stale_keys_are_served_and_refreshed_in_one_batch() {
    let scene = Scene::new(Policy::default());
    let batches = Arc::new(Batches::default());
    let through = scene.batched(batches.clone(), Policy::fresh_for(10 * SECOND).stale_for(10 * SECOND));
    scene.finish(through.get_many(&["a", "b"])).unwrap();
    scene.clock.advance(11_000);
    let values = Call::new(through.get_many(&["a", "b"])).poll().expect("served at once").unwrap();
    assert!(values.iter().all(|value| value.as_ref().unwrap().stale() == Some(SECOND)));
    scene.tasks.run();
    assert_eq!(batches.seen(), [["a", "b"], ["a", "b"]]);
}

#[test]
fn a_source_of_single_loads_is_asked_for_each_key_at_the_same_time() {
    let scene = Scene::new(Policy::default());
    let mut call = Call::new(scene.through.get_many(&["a", "b", "c"]));
    assert!(call.poll().is_none());
    assert_eq!(scene.tasks.count(), 3);
    scene.tasks.run();
    assert_eq!(call.finish().unwrap().len(), 3);
    assert_eq!(scene.source.loads.load(SeqCst), 3);
}
