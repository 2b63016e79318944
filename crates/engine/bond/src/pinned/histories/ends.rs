//! The ends of room, of disk, of a prefix, and damage.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::{Operation, Saboteur};
use forebay_core::entry::{Delete, Deleted, Read, Write, Written};
use forebay_core::error::Kind;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::files::Files;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::pledges::Pledges;

use super::scene::{VALUE_BYTES_MAX, open, options, over, set, settle, there};
use crate::pinned::progress::poll_now;
use crate::pinned::{Prefixes, Results, ResultsOptions};

#[test]
fn a_full_budget_refuses_what_is_new_and_makes_room_only_of_what_is_over_or_removed() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let results = open(&disk, options(), &clock).unwrap();
    let store = over(&results);
    let short = Write { expires_at: Some(clock.now() + Duration::from_secs(1)), ..Write::at(clock.now()) };
    assert!(matches!(store.write(b"task:short", &[0; 1_000], short), Written::Stored(_)));
    let stored = (0..)
        .take_while(|number| set(&store, &clock, &format!("task:{number}"), &[0; 1_000]) != Written::NoRoom);
    let stored = stored.count();
    assert!((8..11).contains(&stored), "{stored}");
    assert_eq!(set(&store, &clock, "task:new", &[0; 1_000]), Written::NoRoom);
    let stats = results.stats();
    assert!(stats.bytes <= stats.bytes_max && stats.refused == 2, "{stats:?}");
    assert!((0..stored).all(|number| there(&store, &clock, &format!("task:{number}"))), "none made way");
    assert!(matches!(set(&store, &clock, "task:0", &[1; 1_000]), Written::Stored(_)), "the same size fits");
    assert!(matches!(set(&store, &clock, "other", b"x"), Written::Stored(_)), "the cache is another budget");
    clock.set(clock.now() + Duration::from_secs(1));
    assert!(matches!(set(&store, &clock, "task:new", &[0; 1_000]), Written::Stored(_)));
    assert_eq!(set(&store, &clock, "task:newer", &[0; 1_000]), Written::NoRoom);
    assert_eq!(store.delete(b"task:1", Delete::at(clock.now())), Deleted::Done);
    settle(&results);
    assert!(matches!(set(&store, &clock, "task:newer", &[0; 1_000]), Written::Stored(_)));
}

#[test]
fn neither_a_flush_nor_a_smaller_cache_takes_a_result() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let results = open(&disk, options(), &clock).unwrap();
    let store = over(&results);
    for key in ["task:1", "other"] {
        set(&store, &clock, key, b"value");
    }
    store.flush(clock.now(), clock.now());
    assert!(there(&store, &clock, "task:1") && !there(&store, &clock, "other"));
}

#[test]
fn a_full_disk_refuses_writes_fails_those_that_wait_and_is_over_when_there_is_room() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let roomy = ResultsOptions { bytes_max: 1 << 20, ..options() };
    let results = open(&disk, roomy.clone(), &clock).unwrap();
    let store = over(&results);
    settle(&results);
    disk.limit_bytes(Some(disk.used_bytes()));
    let mut told = 0;
    let failed = loop {
        let key = format!("task:{told}");
        set(&store, &clock, &key, &[0; 2_000]);
        let pledge = store.pledge(key.as_bytes()).unwrap();
        settle(&results);
        match poll_now(store.kept(pledge)) {
            Poll::Ready(Ok(())) => told += 1,
            Poll::Ready(Err(error)) => break error,
            Poll::Pending => panic!("it waits for a disk that has no room"),
        }
        assert!(told < 100);
    };
    assert_eq!(failed.kind(), Kind::Full);
    assert!(told > 0);
    assert_eq!(set(&store, &clock, "task:new", b"x"), Written::NoRoom);
    disk.limit_bytes(None);
    settle(&results);
    assert_eq!(store.pledge(format!("task:{told}").as_bytes()), None, "what failed was tried again");
    assert!(matches!(set(&store, &clock, "task:new", b"x"), Written::Stored(_)));
    settle(&results);
    let after = over(&open(&disk.crash(1), roomy, &clock).unwrap());
    assert!((0..told).all(|number| there(&after, &clock, &format!("task:{number}"))));
    assert!(there(&after, &clock, "task:new"));
}

#[test]
fn after_a_sync_that_failed_nothing_more_is_told() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let results = open(&disk, options(), &clock).unwrap();
    let store = over(&results);
    settle(&results);
    disk.fail(Operation::Sync, 1, Kind::Io);
    set(&store, &clock, "task:1", b"value");
    let pledge = store.pledge(b"task:1").unwrap();
    settle(&results);
    let told = poll_now(store.kept(pledge));
    assert!(matches!(told, Poll::Ready(Err(error)) if error.kind() == Kind::Poisoned));
    assert_eq!(set(&store, &clock, "task:2", b"value"), Written::NoRoom);
}

#[test]
fn a_result_whose_prefix_is_gone_is_given_up_for_good() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let results = open(&disk, options(), &clock).unwrap();
    set(&over(&results), &clock, "task:1", b"value");
    settle(&results);
    drop(results);
    let disk = disk.restart();
    let without = ResultsOptions { prefixes: Prefixes::new(["job:"]).unwrap(), ..options() };
    let opened = Results::open_with(Arc::new(disk.clone()), without, 0, Arc::new(clock.clone())).unwrap();
    assert_eq!((opened.recovered, opened.unpinned), (0, 1));
    settle(&opened.results);
    let after = over(&open(&disk.restart(), options(), &clock).unwrap());
    assert!(!there(&after, &clock, "task:1"));
}

#[test]
fn a_smaller_budget_and_smaller_values_take_nothing_that_is_there() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let results = open(&disk, options(), &clock).unwrap();
    set(&over(&results), &clock, "task:1", &[1; VALUE_BYTES_MAX]);
    settle(&results);
    let (disk, small) = (disk.restart(), ResultsOptions { bytes_max: 1, value_bytes_max: 1, ..options() });
    let results = open(&disk, small, &clock).unwrap();
    let store = over(&results);
    assert!(there(&store, &clock, "task:1"));
    assert_eq!(set(&store, &clock, "task:2", b""), Written::NoRoom);
    // Written again and again, until the file in which it lay is gone.
    for number in 0..200 {
        let end = Some(clock.now() + Duration::from_secs(60 + number));
        store.read(b"task:1", Read { touch: Some(end), ..Read::at(clock.now()) }, &mut |_| ());
        settle(&results);
        assert_eq!(store.pledge(b"task:1"), None);
    }
    assert!(*results.shared.log.segments().start() > 1);
    assert!(there(&over(&open(&disk.crash(1), options(), &clock).unwrap()), &clock, "task:1"));
}

#[test]
fn a_damaged_record_is_refused_by_its_place() {
    let (disk, clock) = (Saboteur::new(), SimClock::new(1));
    let results = open(&disk, options(), &clock).unwrap();
    for key in ["task:1", "task:2", "task:3"] {
        set(&over(&results), &clock, key, b"some value");
        settle(&results);
    }
    let disk = disk.restart();
    let name = disk_file(&disk);
    let position = {
        let file = disk.open(&name).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes.windows(6).position(|window| window == b"task:1").unwrap()
    };
    assert!(disk.flip_bit(&name, position as u64, 1));
    let refused = open(&disk, options(), &clock).err().unwrap();
    assert_eq!(refused.kind(), Kind::Damaged, "{refused}");
}

/// The first file that has records.
fn disk_file(disk: &Saboteur) -> String {
    disk.list().unwrap().remove(0)
}
