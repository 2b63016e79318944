//! Tagged entries in front of a source with a policy.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use forebay_cache::tags::{Tagged, TaggedReadThrough};
use forebay_cache::{GuardOptions, Policy, ReadThroughOptions, Served};
use forebay_core::error::{Error, Kind};
use forebay_core::limits::cache::ENTRY_TAGS_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;
use parking_lot::Mutex;

use crate::support::tasks::{SECOND, Scene, text};
use crate::support::{Call, Gate, Source, block_on};

/// Every word of a value is a tag of it.
fn words(_: &[u8], value: &[u8]) -> Vec<String> {
    String::from_utf8(value.to_vec()).unwrap().split(' ').map(str::to_owned).collect()
}

fn over(scene: &Scene, loader: Arc<dyn Loader>, options: ReadThroughOptions) -> TaggedReadThrough {
    let tagged = Tagged::new(scene.cache.clone());
    TaggedReadThrough::new(tagged, scene.tasks.clone(), loader, Arc::new(words), options).unwrap()
}

fn options(policy: Policy) -> ReadThroughOptions {
    ReadThroughOptions { breaker: None, ..ReadThroughOptions::new(policy.jitter(0.0)) }
}

fn value(served: Option<Served>) -> Option<String> {
    text(Ok(served))
}

#[test]
fn a_value_is_loaded_again_once_a_tag_that_it_carries_is_made_invalid() {
    let scene = Scene::new(Policy::default());
    let pages = over(&scene, scene.source.clone(), options(Policy::endless()));
    let get = |key| value(scene.finish(pages.get(key)).unwrap());
    scene.source.put("tea cups");
    assert_eq!((get("a"), get("b")), (Some("tea cups".into()), Some("tea cups".into())));
    scene.source.put("cups");
    pages.invalidate_tag("beer");
    assert_eq!(get("a").as_deref(), Some("tea cups"), "no tag of it");
    pages.invalidate_tag("tea");
    assert_eq!((get("a"), get("b")), (Some("cups".into()), Some("cups".into())));
    pages.invalidate_tag("tea");
    assert_eq!(scene.source.loads.load(SeqCst), 4, "what was loaded since does not carry it");
    Tagged::new(scene.cache.clone()).invalidate_tag("cups");
    get("a");
    pages.invalidate("b").unwrap();
    get("b");
    assert_eq!(scene.source.loads.load(SeqCst), 6);
    assert!(scene.source.keys.lock().iter().all(|key| key.len() == 1), "the source is asked by its own keys");
}

#[test]
fn a_value_that_a_tag_made_invalid_is_not_a_stale_one() {
    let scene = Scene::new(Policy::default());
    let answer = Arc::new(Mutex::new(Some("tea")));
    let source = answer.clone();
    let load = move |_| {
        let answer = source.lock().map(Payload::from);
        async move { answer.map(Some).ok_or_else(|| Error::new(Kind::Unavailable, "query", "pages")) }
    };
    let policy = Policy::fresh_for(SECOND).stale_for(60 * SECOND).stale_on_error(3600 * SECOND);
    let pages = over(&scene, Arc::new(load), options(policy));
    let get = || scene.finish(pages.get("a")).map_err(|error| error.kind());
    get().unwrap();
    *answer.lock() = None;
    scene.clock.advance(3_000);
    let served = get().unwrap().unwrap();
    assert_eq!((&*served, served.stale()), (&b"tea"[..], Some(2 * SECOND)), "the policy holds");
    scene.tasks.run();
    pages.invalidate_tag("tea");
    assert_eq!(get(), Err(Kind::Unavailable));
    *answer.lock() = Some("beer");
    assert_eq!(value(get().unwrap()).as_deref(), Some("beer"));
}

#[test]
fn who_asks_after_an_invalidation_is_not_given_what_was_begun_before_it() {
    let scene = Scene::new(Policy::default());
    let gate = Arc::new(Gate::default());
    let pages = over(&scene, gate.clone(), options(Policy::endless()));
    let mut early = Call::new(pages.get("a"));
    assert!(early.poll().is_none());
    scene.tasks.run();
    pages.invalidate_tag("tea");
    let mut late = Call::new(pages.get("a"));
    assert!(late.poll().is_none());
    gate.open(Ok(Some("tea old".into())));
    scene.tasks.run();
    assert!(early.poll().is_none() && late.poll().is_none(), "both ask again");
    gate.open(Ok(Some("tea new".into())));
    scene.tasks.run();
    for call in [&mut early, &mut late] {
        assert_eq!(text(call.poll().unwrap()).as_deref(), Some("tea new"));
    }
    assert_eq!(gate.loads.load(SeqCst), 2, "of those who ask again one loads");
    assert_eq!(text(scene.finish(pages.get("a"))).as_deref(), Some("tea new"), "and that was kept");
}

#[test]
fn a_reader_is_served_though_its_tag_is_made_invalid_all_the_time() {
    let scene = Scene::new(Policy::default());
    let tagged = Tagged::new(scene.cache.clone());
    let load = move |_| {
        let tagged = tagged.clone();
        async move {
            tagged.invalidate_tag("tea");
            Ok(Some("tea".into()))
        }
    };
    let pages = over(&scene, Arc::new(load), options(Policy::endless()));
    let mut call = Call::new(pages.get("a"));
    let got = (0..5).find_map(|_| {
        let got = call.poll();
        scene.tasks.run();
        got
    });
    assert_eq!(text(got.unwrap()).as_deref(), Some("tea"));
}

#[test]
fn a_guard_knows_the_keys_of_the_source() {
    let scene = Scene::new(Policy::default());
    let guard = Arc::new(scene.cache.guard(GuardOptions::new(100)).unwrap());
    block_on(guard.rebuild(&|| ["a"])).unwrap();
    let guarded = ReadThroughOptions { guard: Some(guard.clone()), ..options(Policy::endless()) };
    let pages = over(&scene, scene.source.clone(), guarded);
    assert!(scene.finish(pages.get("a")).unwrap().is_some());
    assert!(scene.finish(pages.get("made-up")).unwrap().is_none());
    pages.invalidate("new").unwrap();
    assert!(!guard.rules_out("new"), "who invalidates a key says that it is there");
}

#[test]
fn as_many_tags_as_may_be_are_carried_and_one_more_is_refused() {
    let scene = Scene::new(Policy::default());
    let named = |count: usize| (0..count).map(|tag| tag.to_string()).collect::<Vec<_>>().join(" ");
    let source = Arc::new(Source::default());
    let pages = over(&scene, source.clone(), options(Policy::endless()));
    source.put(&named(ENTRY_TAGS_MAX));
    assert!(scene.finish(pages.get("a")).unwrap().is_some());
    source.put(&named(ENTRY_TAGS_MAX + 1));
    assert_eq!(scene.finish(pages.get("b")).unwrap_err().kind(), Kind::Invalid);
}
