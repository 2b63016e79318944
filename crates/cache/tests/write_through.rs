//! Writing through, in every order in which two writers and a load can meet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use std::time::Duration;

use forebay_core::error::{Error, Kind};
use scene::{Gate, Scene, Source};

#[test]
fn what_the_source_has_taken_is_in_the_cache() {
    let scene = Scene::new();
    let life = Duration::from_secs(1);
    let source = Source::default();
    let write = async {
        source.put("new");
        Ok(())
    };
    scene.runner.block_on(scene.cache.write_through(b"key", b"new", Some(life), write)).unwrap();
    assert_eq!(scene.cache.get(b"key").as_deref(), Some(&b"new"[..]));
    assert_eq!(source.value.lock().as_deref(), Some(&b"new"[..]));
    scene.clock.advance(life);
    assert!(scene.cache.get(b"key").is_none());
}

#[test]
fn a_write_that_failed_or_was_given_up_leaves_the_cache_without_the_key() {
    let scene = Scene::new();
    scene.cache.set(b"key", b"old", None).unwrap();
    let fail = async { Err(Error::new(Kind::Unavailable, "write product", "7")) };
    let failed = scene.runner.block_on(scene.cache.write_through(b"key", b"new", None, fail)).unwrap_err();
    assert_eq!(failed.kind(), Kind::Unavailable);
    assert!(scene.cache.get(b"key").is_none());

    scene.cache.set(b"key", b"old", None).unwrap();
    let mut given_up = Box::pin(scene.cache.write_through(b"key", b"new", None, std::future::pending()));
    assert!(scene.poll(&mut given_up).is_none());
    assert_eq!(scene.cache.get(b"key").as_deref(), Some(&b"old"[..]), "it is not written yet");
    drop(given_up);
    assert!(scene.cache.get(b"key").is_none());
}

#[test]
fn a_key_that_is_none_is_refused_before_the_source_is_written() {
    let scene = Scene::new();
    let write = async { unreachable!("the source was asked") };
    let refused = scene.runner.block_on(scene.cache.write_through(b"", b"new", None, write)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
}

/// The steps of a writer: it begins, the source takes its value, it returns.
struct Writer {
    value: &'static str,
    begin: Gate,
    end: Gate,
}

#[test]
fn in_every_order_of_two_writers_and_a_load_the_cache_holds_what_the_source_has_or_nothing() {
    let mut hits = 0;
    for order in orders(&[0, 0, 0, 1, 1, 1, 2, 2]) {
        let (scene, source) = (Scene::new(), Source::with("first"));
        let writers = ["a", "b"].map(|value| Writer { value, begin: Gate::default(), end: Gate::default() });
        let [mut a, mut b] = writers.each_ref().map(|writer| {
            let (cache, source) = (&scene.cache, &source);
            Box::pin(async move {
                let write = async {
                    writer.begin.wait().await;
                    source.put(writer.value);
                    writer.end.wait().await;
                    Ok(())
                };
                cache.write_through(b"key", writer.value.as_bytes(), None, write).await.unwrap();
            })
        });
        let gate = source.close();
        let mut load = Box::pin(scene.cache.get_or_load(b"key", None, &source));
        let mut done = [false; 3];
        let mut steps = [0; 3];
        for who in order.iter().copied() {
            match (who, steps[who]) {
                (2, 0) => {}
                (2, _) => gate.open(),
                (_, 0) => {}
                (_, 1) => writers[who].begin.open(),
                _ => writers[who].end.open(),
            }
            steps[who] += 1;
            if !done[who] {
                done[who] = match who {
                    0 => scene.poll(&mut a).is_some(),
                    1 => scene.poll(&mut b).is_some(),
                    _ => scene.poll(&mut load).is_some(),
                };
            }
        }
        assert_eq!(done, [true; 3]);
        if let Some(cached) = scene.cache.get(b"key") {
            assert_eq!(Some(cached), source.value.lock().clone(), "{order:?}");
            hits += 1;
        }
    }
    assert!(hits > 0, "some order must leave a value");
}

/// Every order of these.
fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    let mut firsts = of.to_vec();
    firsts.dedup();
    for first in firsts {
        let mut rest = of.to_vec();
        rest.remove(rest.iter().position(|one| *one == first).unwrap());
        all.extend(orders(&rest).into_iter().map(|order| [vec![first], order].concat()));
    }
    all
}
