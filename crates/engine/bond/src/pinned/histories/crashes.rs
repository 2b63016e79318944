//! Random histories with crashes against a model of what was told.

use std::collections::{BTreeMap, HashMap};
use std::task::Poll;
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_contract::random::Random;
use forebay_contract::torture::rounds;
use forebay_core::entry::{Arithmetic, Delete, Expiry, Mode, Read, State, Step, Version, Write, Written};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::pledges::{Pledge, Pledges};
use forebay_memory::Memory;

use super::scene::{BUDGET, VALUE_BYTES_MAX, open, options, over, settle};
use crate::pinned::progress::poll_now;
use crate::pinned::{Pinned, Results};

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
                let up =
                    Arithmetic { now, delta: 3, step: Step::Up, version: None, create, touch, named: None };
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
