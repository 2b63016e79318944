//! Tags and namespaces, and loads that a tag's invalidation overtakes.

use std::time::Duration;

use forebay_cache::tags::{Namespace, Tagged};
use forebay_core::error::Kind;
use forebay_core::limits;

use crate::scene::{Scene, Source};

fn tagged(scene: &Scene) -> Tagged {
    Tagged::new(scene.cache.clone())
}

fn namespace(scene: &Scene, name: &str) -> Namespace {
    Namespace::new(scene.cache.clone(), name.as_bytes()).unwrap()
}

#[test]
fn an_invalidated_tag_takes_all_that_carry_it_and_nothing_else() {
    let scene = Scene::new();
    let tagged = tagged(&scene);
    tagged.set("a", "A", &["tea", "cups"], None).unwrap();
    tagged.set("b", "B", &["tea"], None).unwrap();
    tagged.set("c", "C", &["cups"], None).unwrap();
    tagged.set("d", "D", &[], None).unwrap();
    let seen = || ["a", "b", "c", "d"].map(|key| tagged.get(key).is_some());
    assert_eq!(seen(), [true; 4]);
    assert_eq!(tagged.get("a").as_deref(), Some(&b"A"[..]));
    tagged.invalidate_tag("tea");
    assert_eq!(seen(), [false, false, true, true]);
    tagged.set("a", "A2", &["tea"], None).unwrap();
    assert_eq!(tagged.get("a").as_deref(), Some(&b"A2"[..]), "what comes after is good");
    tagged.invalidate("d").unwrap();
    assert_eq!(seen(), [true, false, true, false]);
}

#[test]
fn a_load_that_began_before_its_tag_was_made_invalid_fills_nothing() {
    let scene = Scene::new();
    let (tagged, source) = (tagged(&scene), Source::with("old"));
    let gate = source.close();
    let mut slow = Box::pin(tagged.get_or_load("a", &["tea"], None, &source));
    assert!(scene.poll(&mut slow).is_none());
    source.put("new");
    tagged.invalidate_tag("tea");
    // Who asks from now on waits for the load under way, and loads again when that has brought what is old.
    let mut later = Box::pin(tagged.get_or_load("a", &["tea"], None, &source));
    let mut latest = Box::pin(tagged.get_or_load("a", &["tea"], None, &source));
    assert!(scene.poll(&mut later).is_none() && scene.poll(&mut latest).is_none());
    gate.open();
    let next = source.close();
    assert!(scene.poll(&mut slow).is_none(), "it too asks again");
    assert!(tagged.get("a").is_none());
    assert!(scene.poll(&mut later).is_none() && scene.poll(&mut latest).is_none());
    assert_eq!(source.loads(), 2, "all of them together ask once more");
    next.open();
    for call in [&mut slow, &mut later, &mut latest] {
        assert_eq!(scene.poll(call).unwrap().unwrap().as_deref(), Some(&b"new"[..]));
    }
    assert_eq!(tagged.get("a").as_deref(), Some(&b"new"[..]));
    assert_eq!(source.loads(), 2);
}

#[test]
fn an_entry_whose_tag_was_made_invalid_is_loaded_once_more_and_kept() {
    let scene = Scene::new();
    let (tagged, source) = (tagged(&scene), Source::with("old"));
    let get = || {
        let value = scene.runner.block_on(tagged.get_or_load("a", &["tea"], None, &source)).unwrap();
        String::from_utf8(value.unwrap().to_vec()).unwrap()
    };
    assert_eq!([get(), get()], ["old", "old"]);
    source.put("new");
    tagged.invalidate_tag("tea");
    assert_eq!([get(), get()], ["new", "new"]);
    assert_eq!(source.loads(), 2);
    assert_eq!(*source.keys.lock(), [b"a", b"a"], "the loader is given the caller's key");
}

#[test]
fn a_caller_whose_tag_is_made_invalid_again_and_again_is_answered_all_the_same() {
    let scene = Scene::new();
    let (tagged, source) = (tagged(&scene), Source::with("value"));
    let mut call = None;
    let mut loads = 0;
    let answer = loop {
        let gate = source.close();
        let call = call.get_or_insert_with(|| Box::pin(tagged.get_or_load("a", &["tea"], None, &source)));
        if let Some(answer) = scene.poll(call) {
            break answer;
        }
        loads += 1;
        assert!(loads < 10, "it never ends");
        tagged.invalidate_tag("tea");
        gate.open();
    };
    assert_eq!(answer.unwrap().as_deref(), Some(&b"value"[..]));
    assert!(tagged.get("a").is_none(), "what it got is not kept");
}

#[test]
fn an_entry_has_as_many_tags_as_the_limit_and_its_life() {
    let scene = Scene::new();
    let tagged = tagged(&scene);
    let names: Vec<String> = (0..=limits::cache::ENTRY_TAGS_MAX).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused = tagged.set("a", "A", &names, None).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    let life = Duration::from_secs(1);
    tagged.set("a", "A", &names[1..], Some(life)).unwrap();
    assert_eq!(tagged.get("a").as_deref(), Some(&b"A"[..]));
    scene.clock.advance(life);
    assert!(tagged.get("a").is_none());
    assert_eq!(tagged.set("k".repeat(250), "A", &[], None).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(tagged.set("", "A", &[], None).unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn a_namespace_is_made_invalid_whole_and_alone() {
    let scene = Scene::new();
    let (users, again) = (namespace(&scene, "user"), namespace(&scene, "user"));
    let (orders, tagged) = (namespace(&scene, "order"), tagged(&scene));
    users.set("7", "Ada", None).unwrap();
    users.set("8", "Bob", None).unwrap();
    orders.set("7", "teapot", None).unwrap();
    tagged.set("7", "tagged", &["user"], None).unwrap();
    assert_eq!(again.get("7").as_deref(), Some(&b"Ada"[..]), "all of one name are one");
    users.invalidate("8").unwrap();
    assert!(users.get("8").is_none() && users.get("7").is_some());
    again.invalidate_all();
    assert!(users.get("7").is_none());
    assert!(orders.get("7").is_some() && tagged.get("7").is_some(), "others stay");
    assert!(scene.cache.get(b"7").is_none());
    users.set("7", "Eve", None).unwrap();
    assert_eq!(users.get("7").as_deref(), Some(&b"Eve"[..]));
}

#[test]
fn a_load_that_began_before_its_namespace_was_made_invalid_fills_nothing() {
    let scene = Scene::new();
    let (users, source) = (namespace(&scene, "user"), Source::with("old"));
    let gate = source.close();
    let mut slow = Box::pin(users.get_or_load("7", None, &source));
    assert!(scene.poll(&mut slow).is_none());
    source.put("new");
    users.invalidate_all();
    let mut later = Box::pin(users.get_or_load("7", None, &source));
    assert!(scene.poll(&mut later).is_none());
    gate.open();
    assert_eq!(scene.poll(&mut slow).unwrap().unwrap().as_deref(), Some(&b"old"[..]), "it asked before");
    assert_eq!(scene.poll(&mut later).unwrap().unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(users.get("7").as_deref(), Some(&b"new"[..]));
    assert_eq!(*source.keys.lock(), [b"7", b"7"], "the loader is given the caller's key");
}

#[test]
fn names_and_keys_of_namespaces_have_their_limits() {
    let scene = Scene::new();
    let new = |name: &[u8]| Namespace::new(scene.cache.clone(), name);
    let longest = new(&[b'n'; limits::cache::NAMESPACE_BYTES_MAX]).unwrap_or_else(|error| panic!("{error}"));
    for wrong in [&b""[..], b"a\0b", &[b'n'; limits::cache::NAMESPACE_BYTES_MAX + 1]] {
        assert!(new(wrong).is_err_and(|error| error.kind() == Kind::Invalid));
    }
    let key = "k".repeat(limits::KEY_BYTES_MAX - limits::cache::NAMESPACE_BYTES_MAX - 24);
    longest.set(&key, "value", None).unwrap();
    assert!(longest.get(&key).is_some());
    assert_eq!(longest.set("k".repeat(250), "value", None).unwrap_err().kind(), Kind::TooLarge);
    assert!(longest.get("").is_none());
}
