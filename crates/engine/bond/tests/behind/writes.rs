//! What a write promises to readers and to the source.

use std::sync::Arc;

use forebay_core::error::Kind;
use forebay_core::limits::KEY_BYTES_MAX;
use forebay_core::ports::broker::Broker;
use forebay_core::ports::clock::{Run, Spawn, Work};
use tokio::sync::Semaphore;

use crate::scene::Scene;

#[test]
fn a_write_is_seen_before_the_source_has_it_whatever_the_cache_forgets() {
    let scene = Scene::new();
    scene.source.set("a", "old");
    scene.source.stall(true);
    assert_eq!(scene.get("a").as_deref(), Some("old"));
    scene.put("a", "new").unwrap();
    for _ in 0..2 {
        assert_eq!(scene.get("a").as_deref(), Some("new"));
        scene.forget();
    }
    scene.delete("a").unwrap();
    scene.forget();
    assert_eq!(scene.get("a"), None);
    assert_eq!(scene.source.row("a").as_deref(), Some(&b"old"[..]));
    scene.source.stall(false);
    scene.drain();
    assert_eq!((scene.source.row("a"), scene.get("a")), (None, None));
}

#[test]
fn what_was_written_is_in_the_cache() {
    let scene = Scene::new();
    scene.put("a", "new").unwrap();
    scene.drain();
    scene.source.set("a", "not asked");
    assert_eq!(scene.get("a").as_deref(), Some("new"));
    assert_eq!(scene.cache.get(b"a").as_deref(), Some(&b"new"[..]));
}

#[test]
fn writes_that_wait_reach_the_source_as_one_behind_the_one_in_its_hands() {
    let scene = Scene::new();
    scene.source.stall(true);
    scene.put("a", "first").unwrap();
    scene.runner.block_on(scene.source.called(1));
    for number in 0..20 {
        scene.put("a", &number.to_string()).unwrap();
    }
    scene.source.stall(false);
    scene.drain();
    let calls = scene.source.calls();
    let values: Vec<_> = calls.iter().map(|call| call.value.as_deref().unwrap()).collect();
    assert_eq!(values, [&b"first"[..], b"19"]);
    assert!(calls[0].sequence < calls[1].sequence);
    assert_eq!(scene.get("a").as_deref(), Some("19"));
}

#[test]
fn a_load_that_began_before_a_write_does_not_stay() {
    // Wherever between the steps of the write it comes to its end, and whether the cache has forgotten the key or not.
    for (ends_pending, forgets) in [(true, false), (true, true), (false, false), (false, true)] {
        let scene = Scene::new();
        scene.source.stall(true);
        let gate = Arc::new(Semaphore::new(0));
        let (opened, behind) = (gate.clone(), scene.behind().clone());
        let slow = move |_key| {
            let opened = opened.clone();
            async move {
                drop(opened.acquire().await);
                Ok(Some("old".into()))
            }
        };
        let mut loading = Box::pin(async move { behind.get("a", &slow).await });
        assert!(scene.runner.poll_once(&mut loading).is_pending());
        scene.put("a", "new").unwrap();
        if !ends_pending {
            scene.source.stall(false);
            scene.drain();
        }
        if forgets {
            scene.forget();
        }
        gate.add_permits(1);
        assert_eq!(scene.runner.block_on(loading).unwrap().as_deref(), Some(&b"old"[..]));
        assert_eq!(scene.get("a").as_deref(), Some("new"));
        scene.source.stall(false);
        scene.drain();
        assert_eq!(scene.get("a").as_deref(), Some("new"), "{ends_pending} {forgets}");
    }
}

#[test]
fn a_write_that_the_queue_refuses_leaves_nothing_behind() {
    let mut scene = Scene::closed(1, true);
    scene.open();
    scene.source.set("a", "old");
    assert_eq!(scene.get("a").as_deref(), Some("old"));
    scene.saboteur.as_ref().unwrap().poison();
    assert_eq!(scene.put("a", "phantom").unwrap_err().kind(), Kind::Poisoned);
    assert_eq!(scene.cache.get(b"a"), None, "nobody knows what the source will have");
    assert_eq!(scene.get("a").as_deref(), Some("old"));
    let stats = scene.behind().stats();
    assert_eq!((stats.keys, stats.bytes), (0, 0));
}

#[test]
fn a_write_that_is_given_up_by_its_caller_is_written_or_not_and_holds_up_nobody() {
    let scene = Scene::new();
    for number in 0..20 {
        let mut put = Box::pin(scene.behind().put("a", "dropped"));
        drop(scene.runner.poll_once(&mut put));
        drop(put);
        scene.put("a", &number.to_string()).unwrap();
    }
    scene.drain();
    assert_eq!(scene.source.row("a").as_deref(), Some(&b"19"[..]));
    assert_eq!(scene.behind().stats().bytes, 0);
}

#[test]
fn writes_of_one_key_at_the_same_time_reach_the_source_as_readers_see_them() {
    for seed in 0..100 {
        let mut scene = Scene::closed(seed, true);
        scene.options.retry.attempt_max = 1_000;
        scene.open();
        let puts = (0..6).map(|number| {
            let behind = scene.behind().clone();
            async move { drop(behind.put("a", number.to_string()).await) }
        });
        for put in puts {
            scene.runner.spawn(Work { name: "writer", run: Run::Task(Box::pin(put)) });
        }
        scene.until(|| Arc::strong_count(scene.behind()) == 1);
        scene.saboteur.as_ref().unwrap().calm();
        scene.drain();
        // The one that readers saw last would otherwise be missed in the queue.
        assert_eq!(scene.behind().stats().gone, 0, "seed {seed}");
    }
}

#[test]
fn a_table_at_its_bounds_refuses_and_has_room_again() {
    let mut scene = Scene::closed(1, false);
    scene.options.keys_max = 2;
    scene.options.bytes_max = 10_000;
    scene.open();
    scene.source.stall(true);
    scene.put("a", "1").unwrap();
    scene.put("b", "1").unwrap();
    assert_eq!(scene.put("c", "1").unwrap_err().kind(), Kind::Full, "a third key");
    scene.put("b", "2").unwrap();
    let most = "x".repeat(10_000 - 257);
    assert_eq!(scene.put("b", &most).unwrap_err().kind(), Kind::Full, "too many bytes");
    assert_eq!(scene.put("b", &format!("{most}x")).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(scene.get("b").as_deref(), Some("2"), "what was refused is not seen");
    scene.source.stall(false);
    scene.drain();
    scene.put("c", &most).unwrap();
    scene.drain();
    assert_eq!((scene.behind().stats().keys, scene.behind().stats().bytes), (0, 0));
}

#[test]
fn keys_at_the_limit_are_taken_and_beyond_it_refused() {
    let scene = Scene::new();
    scene.put(&"k".repeat(KEY_BYTES_MAX), "1").unwrap();
    assert_eq!(scene.put(&"k".repeat(KEY_BYTES_MAX + 1), "1").unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(scene.put("", "1").unwrap_err().kind(), Kind::Invalid);
    scene.drain();
}

#[test]
fn of_one_name_there_is_one_until_its_last_write_has_ended() {
    let mut scene = Scene::new();
    scene.source.stall(true);
    scene.put("a", "1").unwrap();
    scene.runner.block_on(scene.source.called(1));
    assert_eq!(scene.try_open().err().unwrap().kind(), Kind::Conflict);
    scene.let_go();
    scene.runner.run_until_idle();
    assert_eq!(scene.try_open().err().unwrap().kind(), Kind::Conflict, "a write is in the source's hands");
    scene.source.stall(false);
    scene.open();
    assert_eq!(scene.get("a").as_deref(), Some("1"));
}

#[test]
fn a_message_of_somebody_else_is_a_dead_letter_and_harms_nobody() {
    let scene = Scene::new();
    let (queue, dead) = (scene.behind().queue().clone(), scene.behind().dead_letters().clone());
    let id = forebay_core::message::MessageId::given("stray").unwrap();
    let stray = forebay_core::message::Message::new(id, "x".into());
    scene.finish(scene.broker.publish(&queue, vec![stray])).unwrap();
    scene.until(|| scene.depth(&queue) == 0);
    assert_eq!(scene.depth(&dead), 1);
    assert!(scene.source.calls().is_empty());
}
