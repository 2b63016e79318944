//! What becomes of writes that the source does not take.

use std::time::Duration;

use forebay_core::delivery::Reason;
use forebay_core::limits::cache::WRITE_BEHIND_CHECK_PAUSE;
use forebay_core::ports::broker::BrokerAdmin;

use crate::scene::{Deed, Scene};

fn dead_letter(scene: &Scene) -> (String, Option<String>, Reason) {
    let dead = scene.behind().dead_letters().clone();
    scene.until(|| scene.depth(&dead) > 0);
    let letter = scene.runner.block_on(scene.broker.peek(&dead, 10)).unwrap().pop().unwrap().delivery;
    let value = String::from_utf8(letter.message.payload.to_vec()).unwrap();
    (value, letter.message.key.clone(), letter.history[0].reason)
}

#[test]
fn a_write_that_fails_is_tried_again_and_seen_all_the_while() {
    for deed in [Deed::Fail, Deed::FailAfter, Deed::Panic] {
        let scene = Scene::new();
        scene.source.next(&[deed]);
        scene.put("a", "new").unwrap();
        scene.finish(scene.source.called(1));
        assert_eq!(scene.get("a").as_deref(), Some("new"));
        scene.drain();
        assert_eq!(scene.source.row("a").as_deref(), Some(&b"new"[..]), "{deed:?}");
        let calls = scene.source.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0], calls[1], "the same number, so that the source can tell");
        let stats = scene.behind().stats();
        assert_eq!((stats.written, stats.failed, stats.given_up), (1, 1, 0));
    }
}

#[test]
fn a_write_whose_attempts_are_spent_is_a_dead_letter_and_readers_see_the_source() {
    for (deeds, reason) in
        [(&[Deed::Fail, Deed::Panic][..], Reason::AttemptsSpent), (&[Deed::Reject], Reason::Rejected)]
    {
        let scene = Scene::new();
        scene.source.set("a", "old");
        assert_eq!(scene.get("a").as_deref(), Some("old"));
        scene.source.next(deeds);
        scene.put("a", "new").unwrap();
        scene.drain();
        scene.source.set("a", "as it is");
        assert_eq!(scene.get("a").as_deref(), Some("as it is"), "the cache has forgotten the older value");
        assert_eq!(dead_letter(&scene), ("new".into(), Some("a".into()), reason));
        assert_eq!(scene.behind().stats().given_up, 1);
    }
}

#[test]
fn a_writer_that_runs_out_of_time_at_its_last_attempt_gives_the_write_up() {
    let mut scene = Scene::closed(1, false);
    scene.options.retry.attempt_max = 1;
    scene.options.time_limit = Some(Duration::from_secs(5));
    scene.open();
    scene.source.stall(true);
    scene.put("a", "new").unwrap();
    scene.drain();
    assert_eq!(scene.get("a"), None);
    assert_eq!(dead_letter(&scene), ("new".into(), Some("a".into()), Reason::AttemptsSpent));
}

#[test]
fn a_newer_write_outlives_the_one_that_is_given_up_before_it() {
    let scene = Scene::new();
    scene.source.stall(true);
    scene.put("a", "bad").unwrap();
    scene.runner.block_on(scene.source.called(1));
    scene.put("a", "good").unwrap();
    scene.source.next(&[Deed::Reject]);
    scene.source.stall(false);
    scene.finish(scene.source.called(2));
    scene.drain();
    assert_eq!(scene.get("a").as_deref(), Some("good"));
    assert_eq!(scene.source.row("a").as_deref(), Some(&b"good"[..]));
    assert_eq!(scene.behind().stats().given_up, 1);
}

#[test]
fn a_dead_letter_that_is_redriven_is_written() {
    let scene = Scene::new();
    scene.source.next(&[Deed::Reject]);
    scene.put("a", "new").unwrap();
    scene.drain();
    assert_eq!(scene.get("a"), None);
    dead_letter(&scene);
    let dead = scene.behind().dead_letters().clone();
    assert_eq!(scene.finish(scene.broker.redrive(&dead, 10)).unwrap(), 1);
    scene.until(|| scene.behind().stats().written > 0);
    assert_eq!(scene.get("a").as_deref(), Some("new"));
}

#[test]
fn a_dead_letter_that_is_redriven_too_late_is_not_seen_where_the_source_passes_over_it() {
    let scene = Scene::new();
    scene.source.compare();
    scene.source.next(&[Deed::Reject]);
    scene.put("a", "old").unwrap();
    scene.drain();
    dead_letter(&scene);
    scene.put("a", "new").unwrap();
    scene.drain();
    let dead = scene.behind().dead_letters().clone();
    assert_eq!(scene.finish(scene.broker.redrive(&dead, 10)).unwrap(), 1);
    scene.until(|| scene.behind().stats().written == 2);
    assert_eq!(scene.get("a").as_deref(), Some("new"));
}

#[test]
fn writes_that_an_operator_purged_are_seen_until_that_is_found_out() {
    let scene = Scene::new();
    let queue = scene.behind().queue().clone();
    scene.source.set("purged", "old");
    scene.finish(scene.broker.pause(&queue, true)).unwrap();
    scene.put("purged", "new").unwrap();
    scene.finish(scene.broker.purge(&queue)).unwrap();
    scene.put("waits", "new").unwrap();
    scene.runner.pass(&scene.clock, 3 * WRITE_BEHIND_CHECK_PAUSE);
    assert_eq!(scene.get("purged").as_deref(), Some("old"));
    assert_eq!(scene.get("waits").as_deref(), Some("new"));
    let stats = scene.behind().stats();
    assert_eq!((stats.keys, stats.gone), (1, 1));
    scene.finish(scene.broker.pause(&queue, false)).unwrap();
    scene.drain();
    assert_eq!(scene.source.row("waits").as_deref(), Some(&b"new"[..]));
}
