//! What there is a copy of, and when there is none.

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::NearCache;
use forebay_contract::clock::SimClock;
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::Kind;
use forebay_core::limits::near::NEAR_LIFE_MAX;
use forebay_core::ports::remote_store::{Addition, Asked, Changed, Fill, Filled, Put, RemoteStore};

use crate::step::Steps;
use crate::support::{Call, block_on, store};

const SET: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };

struct Scene {
    clock: SimClock,
    servers: Arc<ModelServers>,
    shared: Arc<ModelStore>,
    near: NearCache,
}

fn scene() -> Scene {
    let clock = SimClock::new(1);
    let servers = ModelServers::new(clock.clone(), 1);
    let shared = Arc::new(ModelStore::new(servers.clone(), Duration::from_millis(500)));
    let near = NearCache::new(store(), shared.clone(), Arc::new(clock.clone()));
    Scene { clock, servers, shared, near }
}

impl Scene {
    /// Another process writes.
    fn elsewhere(&self, value: &str) -> Version {
        match block_on(self.shared.put(b"key", value.as_bytes(), SET)).unwrap() {
            Changed::Done(version) => version,
            other => panic!("{other:?}"),
        }
    }

    fn get(&self) -> Option<String> {
        read(&self.near)
    }

    fn put(&self, value: &str) {
        assert!(matches!(block_on(self.near.put(b"key", value.as_bytes(), SET)), Ok(Changed::Done(_))));
    }

    fn has_copy(&self) -> bool {
        local(&self.near).is_some()
    }
}

fn read(store: &dyn RemoteStore) -> Option<String> {
    let answer = block_on(store.get(&[b"key"])).pop().unwrap().unwrap();
    answer.map(|shared| String::from_utf8(shared.value.to_vec()).unwrap())
}

fn local(near: &NearCache) -> Option<String> {
    near.local(b"key", |near| String::from_utf8(near.value.to_vec()).unwrap())
}

#[test]
fn what_was_read_is_there_at_once_until_its_time_is_over() {
    let scene = scene();
    let version = scene.elsewhere("first");
    assert!(!scene.has_copy());
    assert_eq!(scene.get().as_deref(), Some("first"));
    assert_eq!(scene.near.local(b"key", |near| (near.version, near.flags)), Some((version, 0)));
    scene.elsewhere("second");
    scene.clock.advance(NEAR_LIFE_MAX - Duration::from_millis(11));
    assert_eq!(scene.get().as_deref(), Some("first"));
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(scene.get().as_deref(), Some("second"));
    let stats = scene.near.stats();
    assert_eq!((stats.hits, stats.misses), (2, 3));
}

#[test]
fn what_was_written_here_is_there_at_once() {
    let scene = scene();
    scene.put("first");
    assert_eq!(local(&scene.near).as_deref(), Some("first"));
    scene.put("second");
    assert_eq!(local(&scene.near).as_deref(), Some("second"));
    assert_eq!(read(&*scene.shared).as_deref(), Some("second"));
}

#[test]
fn a_copy_does_not_outlive_the_life_it_was_written_with() {
    let scene = scene();
    let life = Some(Duration::from_millis(300));
    block_on(scene.near.put(b"key", b"value", Put { life, ..SET })).unwrap();
    assert!(scene.has_copy());
    scene.clock.advance(Duration::from_millis(300));
    assert!(!scene.has_copy());
    block_on(scene.near.put(b"key", b"value", Put { life: Some(Duration::ZERO), ..SET })).unwrap();
    assert_eq!(scene.get(), None);
}

#[test]
fn every_change_but_a_write_leaves_no_copy() {
    let scene = scene();
    let changes: [fn(&NearCache); 4] = [
        |near| _ = block_on(near.remove(b"key", None, Duration::ZERO)).unwrap(),
        |near| _ = block_on(near.add(b"key", Addition { delta: 1, step: Step::Up, create: None })).unwrap(),
        |near| _ = block_on(near.touch(b"key", None)).unwrap(),
        |near| _ = block_on(near.remove_tag(b"tag")).unwrap(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        scene.put("5");
        assert!(scene.has_copy());
        change(&scene.near);
        assert!(!scene.has_copy(), "change {number}");
    }
}

/// Who compares with a version that is none any more must not be shown it again.
#[test]
fn a_change_that_was_not_done_leaves_no_copy() {
    let scene = scene();
    scene.elsewhere("first");
    scene.get();
    let seen = scene.near.local(b"key", |near| near.version);
    scene.elsewhere("second");
    let over = Put { version: seen, ..SET };
    assert_eq!(block_on(scene.near.put(b"key", b"third", over)).unwrap(), Changed::Exists);
    assert_eq!(scene.get().as_deref(), Some("second"));
    let add = Put { mode: Mode::Add, ..SET };
    assert_eq!(block_on(scene.near.put(b"key", b"third", add)).unwrap(), Changed::NotStored);
    assert!(!scene.has_copy());
}

#[test]
fn a_change_that_failed_or_that_nobody_waits_for_leaves_no_copy() {
    let scene = scene();
    scene.put("first");
    scene.servers.stop(0);
    let failed = block_on(scene.near.put(b"key", b"second", SET)).unwrap_err();
    assert_eq!(failed.kind(), Kind::Unavailable);
    assert!(!scene.has_copy());
    scene.servers.bring_back(0);
    scene.put("third");
    let steps = NearCache::new(store(), Arc::new(Steps(scene.shared.clone())), Arc::new(scene.clock.clone()));
    let mut get = Call::new(async { read_of(&steps).await });
    while get.poll().is_none() {}
    assert_eq!(local(&steps).as_deref(), Some("third"));
    let mut put = Call::new(steps.put(b"key", b"fourth", SET));
    assert!(put.poll().is_none());
    drop(put);
    assert_eq!(local(&steps), None);
    let mut get = Call::new(async { read_of(&steps).await });
    while get.poll().is_none() {}
    assert!(local(&steps).is_some());
    let mut remove_tag = Call::new(steps.remove_tag(b"tag"));
    assert!(remove_tag.poll().is_none());
    drop(remove_tag);
    assert_eq!(local(&steps), None);
}

async fn read_of(near: &NearCache) -> Option<Vec<u8>> {
    let answer = near.get(&[b"key"]).await.pop().unwrap().unwrap();
    answer.map(|shared| shared.value.to_vec())
}

#[test]
fn while_the_shared_store_is_away_copies_are_served_until_their_time_is_over() {
    let scene = scene();
    scene.put("value");
    scene.servers.stop(0);
    assert_eq!(scene.get().as_deref(), Some("value"));
    assert!(matches!(block_on(scene.near.get_or_lease(b"key", NEAR_LIFE_MAX)), Ok(Asked::Hit(_))));
    let both = block_on(scene.near.get(&[b"other", b"key"]));
    assert!(both[0].is_err() && both[1].is_ok());
    scene.clock.advance(NEAR_LIFE_MAX);
    assert_eq!(block_on(scene.near.get(&[b"key"])).pop().unwrap().unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn what_was_loaded_under_a_lease_is_there_at_once() {
    let scene = scene();
    let Asked::Granted(grant) = block_on(scene.near.get_or_lease(b"key", NEAR_LIFE_MAX)).unwrap() else {
        panic!("nobody else has it");
    };
    let fill = Fill { flags: 7, life: None, tags: &[] };
    assert!(matches!(block_on(scene.near.fill(b"key", b"value", fill, grant)), Ok(Filled::Stored(_))));
    assert_eq!(scene.near.local(b"key", |near| near.flags), Some(7));
    assert_eq!(block_on(scene.near.fill(b"key", b"other", fill, grant)).unwrap(), Filled::Refused);
    assert!(!scene.has_copy());
}

/// A read that was asked before a write must not be kept after it, in whatever order their steps fall.
#[test]
fn a_read_on_its_way_during_a_change_leaves_nothing_older_behind() {
    for order in 0u32..1 << 8 {
        for removes in [false, true] {
            let scene = scene();
            scene.elsewhere("old");
            let steps =
                NearCache::new(store(), Arc::new(Steps(scene.shared.clone())), Arc::new(scene.clock.clone()));
            let mut get = Call::new(read_of(&steps));
            let mut change = Call::new(async {
                match removes {
                    true => steps.remove(b"key", None, Duration::ZERO).await.unwrap(),
                    false => steps.put(b"key", b"new", SET).await.unwrap(),
                }
            });
            let (mut got, mut changed) = (false, false);
            for step in 0..8 {
                if order >> step & 1 == 0 {
                    got |= !got && get.poll().is_some();
                } else {
                    changed |= !changed && change.poll().is_some();
                }
                let copy = local(&steps);
                assert!(!changed || copy.as_deref() != Some("old"), "order {order:08b}: {copy:?}");
            }
        }
    }
}

#[test]
fn of_two_writes_at_one_time_the_shared_stores_last_is_read_afterwards() {
    for order in 0u32..1 << 6 {
        let scene = scene();
        let steps =
            NearCache::new(store(), Arc::new(Steps(scene.shared.clone())), Arc::new(scene.clock.clone()));
        let mut writes =
            ["one", "two"].map(|value| Some(Call::new(steps.put(b"key", value.as_bytes(), SET))));
        let picks = (0..6).map(|step| (order >> step & 1) as usize).chain([0, 0, 0, 1, 1, 1]);
        for write in picks {
            if writes[write].as_mut().is_some_and(|call| call.poll().is_some()) {
                writes[write] = None;
            }
        }
        assert!(writes.iter().all(Option::is_none));
        let there = read(&*scene.shared);
        assert!(local(&steps).is_none_or(|copy| Some(copy) == there), "order {order:06b}");
    }
}
