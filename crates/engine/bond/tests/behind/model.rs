//! Any order of writes, deletions, reads, slow loads, evictions, crashes, failures of the writer and of the broker: no read
//! sees anything older than what was accepted before it began, and the source ends with the last write of every key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay_contract::random::Random;
use forebay_contract::torture::rounds;
use forebay_core::error::Result;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use tokio::sync::Semaphore;

use crate::scene::{Deed, Scene};

const STEPS: usize = 60;
const KEYS: u64 = 3;

/// What one key has gone through.
#[derive(Default)]
struct History {
    /// The values that were written, by number; nobody knows whether those that were not accepted are there.
    writes: Vec<(Option<String>, bool)>,
}

impl History {
    /// The first write that a read which begins now may see, 0 for none at all.
    fn floor(&self) -> usize {
        self.writes.iter().rposition(|(_, accepted)| *accepted).map_or(0, |last| last + 1)
    }

    fn allows(&self, floor: usize, value: Option<&str>) -> bool {
        let initial = floor == 0 && value.is_none();
        let from = floor.saturating_sub(1);
        initial || self.writes.iter().skip(from).any(|(written, _)| written.as_deref() == value)
    }
}

/// A read under way.
struct Reading {
    key: String,
    floor: usize,
    gate: Arc<Semaphore>,
    read: BoxFuture<'static, Result<Option<Payload>>>,
}

struct World {
    scene: Scene,
    random: Random,
    histories: BTreeMap<String, History>,
    readings: Vec<Reading>,
    seed: u64,
}

impl World {
    fn key(&mut self) -> String {
        format!("key {}", self.random.below(KEYS))
    }

    fn write(&mut self) {
        let key = self.key();
        let number = self.histories.values().map(|history| history.writes.len()).sum::<usize>();
        let value = (!self.random.one_in(4)).then(|| number.to_string());
        let written = match &value {
            Some(value) => self.scene.put(&key, value),
            None => self.scene.delete(&key),
        };
        self.histories.entry(key).or_default().writes.push((value, written.is_ok()));
    }

    /// Begins a read whose load takes what the source has now or, `late`, when it ends.
    fn begin_read(&mut self) {
        let (key, late) = (self.key(), self.random.one_in(2));
        let floor = self.histories.get(&key).map_or(0, History::floor);
        let (gate, source) = (Arc::new(Semaphore::new(0)), self.scene.source.clone());
        let (opened, behind, name) = (gate.clone(), self.scene.behind().clone(), key.clone());
        let load = move |_key| {
            let (source, opened, name) = (source.clone(), opened.clone(), name.clone());
            async move {
                let early = source.row(&name);
                drop(opened.acquire().await);
                Ok(if late { source.row(&name) } else { early })
            }
        };
        let name = key.clone();
        let mut read: BoxFuture<'static, _> = Box::pin(async move { behind.get(&name, &load).await });
        match self.scene.runner.poll_once(&mut read) {
            std::task::Poll::Ready(value) => self.judge(&key, floor, value),
            std::task::Poll::Pending => self.readings.push(Reading { key, floor, gate, read }),
        }
    }

    /// All loads come to their end, since one may wait for another.
    fn end_reads(&mut self) {
        let readings = std::mem::take(&mut self.readings);
        readings.iter().for_each(|reading| reading.gate.add_permits(1_000));
        for Reading { key, floor, read, .. } in readings {
            let value = self.scene.finish(read);
            self.judge(&key, floor, value);
        }
    }

    fn judge(&self, key: &str, floor: usize, value: Result<Option<Payload>>) {
        let value = value.unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap());
        let none = History::default();
        let history = self.histories.get(key).unwrap_or(&none);
        assert!(
            history.allows(floor, value.as_deref()),
            "seed {}: {key} is {value:?} though write {floor} was accepted",
            self.seed
        );
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..=3 => self.write(),
            4..=6 => self.begin_read(),
            7 => self.end_reads(),
            8 => self.scene.forget(),
            9 => self.scene.source.stall(self.random.one_in(2)),
            10 => {
                let deed = [Deed::Fail, Deed::FailAfter, Deed::Panic][self.random.below(3) as usize];
                self.scene.source.next(&[deed]);
            }
            _ => {
                let time = Duration::from_millis(self.random.below(20_000));
                self.scene.runner.pass(&self.scene.clock, time);
            }
        }
    }

    /// The next process, after a loss of power.
    fn crash(self) -> Self {
        let Self { scene, mut random, histories, readings, seed } = self;
        drop(readings);
        let mut scene = scene.crash(random.draw());
        scene.open();
        Self { scene, random, histories, readings: Vec::new(), seed }
    }

    /// Without harm everything comes to its end, unknown writes too.
    fn end(mut self) {
        self.end_reads();
        self.scene.source.stall(false);
        if let Some(saboteur) = &self.scene.saboteur {
            saboteur.calm();
        }
        let queue = self.scene.behind().queue().clone();
        self.scene.drain();
        for _ in 0..1_000_000 {
            if self.scene.depth(&queue) == 0 {
                break;
            }
            self.scene.runner.pass(&self.scene.clock, Duration::from_millis(10));
        }
        assert_eq!(self.scene.depth(&queue), 0, "seed {}", self.seed);
        assert_eq!(self.scene.depth(&self.scene.behind().dead_letters().clone()), 0);
        for (key, history) in &self.histories {
            let row = self.scene.source.row(key).map(|row| String::from_utf8(row.to_vec()).unwrap());
            assert!(history.allows(history.floor(), row.as_deref()), "seed {}: {key} is {row:?}", self.seed);
            assert_eq!(self.scene.get(key), row, "seed {}: {key}", self.seed);
        }
        assert!(!self.scene.source.clashed(), "seed {}", self.seed);
        let stats = self.scene.behind().stats();
        assert_eq!((stats.keys, stats.bytes, stats.given_up), (0, 0, 0));
    }
}

fn explore(seed: u64, sabotage: bool) {
    let mut scene = Scene::closed(seed, sabotage);
    scene.options.retry.attempt_max = 10_000;
    scene.open();
    let random = Random::new(seed ^ 0xbeef);
    let mut world = World { scene, random, histories: BTreeMap::new(), readings: Vec::new(), seed };
    for _ in 0..STEPS {
        world.step();
        if !sabotage && world.random.one_in(20) {
            world = world.crash();
        }
    }
    world.end();
}

#[test]
fn no_read_is_older_than_what_was_accepted_and_the_source_ends_with_the_last_write() {
    (0..rounds(100)).for_each(|seed| explore(seed, false));
}

#[test]
fn the_same_holds_over_a_broker_that_fails_is_slow_and_loses_holds() {
    (0..rounds(100)).for_each(|seed| explore(seed, true));
}
