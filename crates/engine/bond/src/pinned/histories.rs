//! Random histories with crashes against a model of what was told; and the ends of room and disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::{Operation, Saboteur};
use forebay_contract::random::Random;
use forebay_contract::torture::rounds;
use forebay_core::entry::{
    Arithmetic, Delete, Deleted, Expiry, Mode, Read, State, Step, Version, Write, Written,
};
use forebay_core::error::{Kind, Result};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::pledges::{Pledge, Pledges};
use forebay_memory::{Memory, MemoryOptions};

use super::progress::poll_now;
use super::{Pinned, Prefixes, Results, ResultsOptions};

const VALUE_BYTES_MAX: usize = 2_000;
const BUDGET: u64 = 16 * 1024;
const KEYS: u64 = 14;

/// A key as a reader sees it: value, flags, end of life, stale. Versions apart, which may be others after a crash.
type Seen = Option<(Vec<u8>, u32, Expiry, bool)>;

/// What may be found of one key after a crash.
#[derive(Default)]
struct Candidates {
    /// The last state that anybody may have been told of.
    told: Seen,
    /// What it became since then, with what had to be durable before that was told.
    since: Vec<(Pledge, Seen)>,
}

struct World {
    random: Random,
    clock: SimClock,
    disk: Saboteur,
    store: Pinned<Memory>,
    results: Results,
    keys: BTreeMap<Vec<u8>, Candidates>,
    /// What had which version, ever.
    versions: HashMap<Version, (Vec<u8>, Seen)>,
    refused: u64,
}

fn options() -> ResultsOptions {
    ResultsOptions {
        bytes_max: BUDGET,
        value_bytes_max: VALUE_BYTES_MAX,
        ..ResultsOptions::new(Prefixes::new(["task:"]).unwrap())
    }
}

fn open(disk: &Saboteur, options: ResultsOptions, clock: &SimClock) -> Result<Results> {
    let opened = Results::open_with(Arc::new(disk.clone()), options, 0, Arc::new(clock.clone()))?;
    Ok(opened.results)
}

fn over(results: &Results) -> Pinned<Memory> {
    let memory =
        MemoryOptions { bytes_max: 1 << 20, value_bytes_max: VALUE_BYTES_MAX, first_version: Version(1) };
    Pinned::new(Arc::new(Memory::new(memory)), Some(results.clone()))
}

fn settle(results: &Results) {
    while results.step() {}
}

impl World {
    fn new(seed: u64) -> Self {
        let (disk, clock) = (Saboteur::new(), SimClock::new(seed));
        let results = open(&disk, options(), &clock).unwrap();
        let keys = (0..KEYS).map(|number| (format!("task:{number}").into_bytes(), Candidates::default()));
        Self {
            random: Random::new(seed),
            clock,
            disk,
            store: over(&results),
            results,
            keys: keys.collect(),
            versions: HashMap::new(),
            refused: 0,
        }
    }

    fn look(&mut self, key: &[u8]) -> Seen {
        let mut seen = None;
        self.store.read(key, Read { counts: false, ..Read::at(self.clock.now()) }, &mut |view| {
            if view.state != State::Leased {
                let stale = view.state == State::Stale;
                seen = Some((view.version, (view.value.to_vec(), view.flags, view.expires_at, stale)));
            }
        });
        let (version, seen) = seen?;
        let first = self.versions.entry(version).or_insert_with(|| (key.to_vec(), Some(seen.clone())));
        let (of, was) = (&first.0, first.1.as_ref());
        // A touch gives another end of life, and no other version.
        let same = was.is_some_and(|was| (&was.0, was.1, was.3) == (&seen.0, seen.1, seen.3));
        assert!(of == key && same, "{version:?} was another value");
        Some(seen)
    }

    fn act(&mut self) {
        let now = self.clock.now();
        let random = &mut self.random;
        let key = format!("task:{}", random.below(KEYS)).into_bytes();
        let end = random.one_in(3).then(|| now + Duration::from_millis(random.below(3_000)));
        let length_max = if random.one_in(4) { VALUE_BYTES_MAX as u64 } else { 60 };
        let length = random.below(length_max) as usize;
        let value = if random.one_in(3) { b"41".to_vec() } else { random.bytes(length) };
        let write = Write { flags: random.below(9) as u32, expires_at: end, ..Write::at(now) };
        match random.below(12) {
            0..=4 => {
                let written = self.store.write(&key, &value, write);
                self.refused += u64::from(written == Written::NoRoom);
            }
            5 => drop(self.store.write(&key, &value, Write { mode: Mode::Add, ..write })),
            6 => drop(self.store.write(&key, b"7", Write { mode: Mode::Append, ..write })),
            7 => {
                let (create, touch) = (Some((5, end)), random.one_in(3).then_some(end));
                let up = Arithmetic { now, delta: 3, step: Step::Up, version: None, create, touch };
                self.store.count(&key, up);
            }
            8 => drop(self.store.read(&key, Read { touch: Some(end), ..Read::at(now) }, &mut |_| ())),
            9 => drop(self.store.read(&key, Read { lease: Some(end), ..Read::at(now) }, &mut |_| ())),
            10 => drop(self.store.delete(&key, Delete { keep_stale: Some(None), ..Delete::at(now) })),
            _ => drop(self.store.delete(&key, Delete::at(now))),
        }
        let seen = self.look(&key);
        let pledge = self.store.pledge(&key);
        let Some(candidates) = self.keys.get_mut(&key) else { return };
        match pledge {
            Some(pledge) => candidates.since.push((pledge, seen)),
            None => *candidates = Candidates { told: seen, since: Vec::new() },
        }
    }

    /// Whose answer may be told by now.
    fn tell(&mut self) {
        for candidates in self.keys.values_mut() {
            let kept = |pledge: Pledge| matches!(poll_now(self.store.kept(pledge)), Poll::Ready(Ok(())));
            while candidates.since.first().is_some_and(|(pledge, _)| kept(*pledge)) {
                candidates.told = candidates.since.remove(0).1;
            }
        }
    }

    fn crash(&mut self) {
        let seed = self.random.draw();
        match self.random.below(3) {
            0 => {
                // In good order: all that was changed is kept.
                settle(&self.results);
                self.tell();
                let all = self.keys.values().all(|key| key.since.is_empty());
                assert!(self.disk.is_off() || all, "{:?}", self.results.stats());
                self.disk = self.disk.crash(seed);
            }
            1 => self.disk = self.disk.restart(),
            _ => self.disk = self.disk.crash(seed),
        }
        self.clock.set(self.clock.now() + Duration::from_millis(1 + seed % 700));
        self.results = open(&self.disk, options(), &self.clock).unwrap();
        self.store = over(&self.results);
        let now = self.clock.now();
        let keys: Vec<_> = self.keys.keys().cloned().collect();
        for key in keys {
            let seen = self.look(&key);
            let Some(candidates) = self.keys.get_mut(&key) else { continue };
            let alive = |seen: &Seen| seen.clone().filter(|(_, _, end, _)| end.is_none_or(|end| end > now));
            let right = alive(&candidates.told) == seen
                || candidates.since.iter().any(|(_, since)| alive(since) == seen);
            let name = String::from_utf8_lossy(&key).into_owned();
            assert!(right, "{name}: {seen:?}\nwas told {:?}\nsince {:?}", candidates.told, candidates.since);
            *candidates = Candidates { told: seen, since: Vec::new() };
        }
    }
}

/// The log holds no more than what compaction leaves of it.
fn assert_short(results: &Results) {
    let (first, last) = results.shared.log.segments().into_inner();
    let bytes = (last - first + 1) * results.shared.segment_bytes;
    assert!(bytes <= 2 * BUDGET + 8 * results.shared.segment_bytes, "{bytes} bytes of log");
}

#[test]
fn nothing_that_was_told_is_lost_and_nothing_that_was_removed_or_is_over_comes_back() {
    let (mut refused, mut released) = (0, 0);
    for seed in 0..rounds(20) {
        let mut world = World::new(seed);
        for _ in 0..1_500 {
            world.act();
            for _ in 0..world.random.below(4) {
                world.results.step();
            }
            world.tell();
            world.results.shared.table.lock().check();
            if world.random.one_in(40) {
                world.clock.set(world.clock.now() + Duration::from_millis(world.random.below(1_000)));
            }
            if !world.disk.is_off() && world.random.one_in(200) {
                world.disk.power_off_after(world.random.below(12));
            }
            if world.random.one_in(60) {
                world.crash();
            }
        }
        settle(&world.results);
        assert_short(&world.results);
        refused += world.refused;
        released += u64::from(*world.results.shared.log.segments().start() > 1);
    }
    assert!(refused > 100, "the budget was never full: {refused}");
    assert!(released > 5, "the log was never shortened: {released}");
}

fn set(store: &Pinned<Memory>, clock: &SimClock, key: &str, value: &[u8]) -> Written {
    store.write(key.as_bytes(), value, Write::at(clock.now()))
}

fn there(store: &Pinned<Memory>, clock: &SimClock, key: &str) -> bool {
    store.read(key.as_bytes(), Read::at(clock.now()), &mut |_| ())
}

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
        let file = forebay_core::ports::files::Files::open(&disk, &name).unwrap();
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
    forebay_core::ports::files::Files::list(disk).unwrap().remove(0)
}
