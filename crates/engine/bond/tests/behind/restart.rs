//! Writes that wait when a process ends, in whatever way.

use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_core::limits::REPLAY_MESSAGES_MAX;
use forebay_core::limits::cache::{WRITE_BEHIND_CHECK_PAUSE, WRITE_BEHIND_RETAIN};
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};

use crate::scene::Scene;

const KEYS: usize = 20;

#[test]
fn every_accepted_write_is_seen_after_a_crash_and_reaches_the_source() {
    for seed in 0..10 {
        let mut scene = Scene::closed(seed, false);
        // A hold that runs out costs an attempt.
        scene.options.retry.attempt_max = 100;
        scene.open();
        scene.source.stall(true);
        for number in 0..KEYS {
            let key = format!("key {number}");
            scene.source.set(&key, "old");
            scene.put(&key, "newer").unwrap();
            scene.put(&key, "newest").unwrap();
        }
        scene.source.set("deleted", "old");
        scene.delete("deleted").unwrap();
        // Some are in the writer's hands, the others wait.
        scene.runner.block_on(scene.source.called(1));
        let before = scene.source.calls().iter().map(|call| call.sequence).max().unwrap();

        let mut scene = scene.crash(seed);
        scene.open();
        for number in 0..KEYS {
            assert_eq!(scene.get(&format!("key {number}")).as_deref(), Some("newest"), "seed {seed}");
        }
        assert_eq!(scene.get("deleted"), None);
        scene.put("after", "1").unwrap();
        for pause in [3 * WRITE_BEHIND_RETAIN, 3 * WRITE_BEHIND_CHECK_PAUSE] {
            scene.runner.pass(&scene.clock, pause);
            let stats = scene.behind().stats();
            assert_eq!((stats.keys, stats.gone), (KEYS + 2, 0), "seed {seed}");
        }
        scene.source.stall(false);
        scene.drain();
        for number in 0..KEYS {
            let row = scene.source.row(&format!("key {number}"));
            assert_eq!(row.as_deref(), Some(&b"newest"[..]), "seed {seed}");
        }
        assert_eq!(scene.source.row("deleted"), None);
        let after = scene.source.calls().into_iter().find(|call| call.key == "after").unwrap();
        assert!(after.sequence > before, "the numbers go on");
    }
}

#[test]
fn what_was_written_just_before_a_restart_is_soon_pending_no_longer() {
    let scene = Scene::new();
    scene.put("a", "new").unwrap();
    scene.drain();
    let queue = scene.behind().queue().clone();
    scene.until(|| scene.depth(&queue) == 0);
    let mut scene = scene.crash(1);
    scene.open();
    assert_eq!(scene.get("a").as_deref(), Some("new"));
    let opened_at = scene.clock.now();
    scene.until(|| scene.behind().stats().keys == 0);
    assert!(scene.clock.now().since(opened_at) < WRITE_BEHIND_CHECK_PAUSE);
    assert_eq!(scene.get("a").as_deref(), Some("new"));
}

#[test]
fn numbers_go_on_over_a_restart_that_finds_an_empty_queue() {
    let scene = Scene::new();
    for number in 0..5 {
        scene.put("a", &number.to_string()).unwrap();
        scene.drain();
    }
    let queue = scene.behind().queue().clone();
    scene.until(|| scene.depth(&queue) == 0);
    scene.runner.pass(&scene.clock, 10 * WRITE_BEHIND_RETAIN);
    // Once this is durable, everything before it is.
    let other = QueueSettings::new(QueueName::new("other").unwrap());
    scene.finish(scene.broker.ensure(&other)).unwrap();
    let mut scene = scene.crash(1);
    let retained = || scene.runner.block_on(scene.broker.queue(&queue)).unwrap().stats.retained;
    scene.until(|| retained() == 0);
    scene.open();
    assert_eq!(scene.behind().stats().keys, 0, "nothing is left to go on from but the time");
    scene.put("a", "next").unwrap();
    scene.drain();
    let calls = scene.source.calls();
    assert!(calls.is_sorted_by(|one, next| one.sequence < next.sequence));
}

#[test]
fn more_writes_than_one_page_and_than_the_bounds_allow_are_seen_after_a_restart() {
    let scene = Scene::new();
    scene.source.stall(true);
    let keys: Vec<_> = (0..=REPLAY_MESSAGES_MAX).map(|number| format!("key {number}")).collect();
    for key in &keys {
        scene.put(key, key).unwrap();
    }
    let mut scene = scene.crash(1);
    scene.options.keys_max = 10;
    scene.open();
    assert!(keys.iter().all(|key| scene.get(key).as_ref() == Some(key)));
    assert!(scene.put("one more", "1").is_err());
    scene.source.stall(false);
    scene.drain();
    assert!(keys.iter().all(|key| scene.source.row(key).as_deref() == Some(key.as_bytes())));
    scene.put("one more", "1").unwrap();
    scene.drain();
}

#[test]
fn a_clock_that_was_set_back_hides_no_write_from_the_next_process() {
    let scene = Scene::new();
    scene.runner.pass(&scene.clock, Duration::from_secs(600));
    scene.source.stall(true);
    let keys: Vec<_> = (0..=REPLAY_MESSAGES_MAX).map(|number| format!("key {number}")).collect();
    for key in &keys {
        scene.source.set(key, "old");
        scene.put(key, key).unwrap();
    }
    let mut scene = scene.crash_and_set_back(SimClock::new(2));
    scene.open();
    assert!(keys.iter().all(|key| scene.get(key).as_ref() == Some(key)));
    scene.runner.pass(&scene.clock, 3 * WRITE_BEHIND_CHECK_PAUSE);
    assert_eq!(scene.behind().stats().gone, 0);
}
