//! Random calls of two processes, their steps in random order and time: how old is what they read?

use std::sync::Arc;
use std::time::Duration;

use forebay_cache::NearCache;
use forebay_contract::clock::SimClock;
use forebay_contract::random::Random;
use forebay_contract::remote::model::{ModelServers, ModelStore};
use forebay_core::entry::{Mode, Version};
use forebay_core::error::Result;
use forebay_core::limits::near::NEAR_LIFE_MAX;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use forebay_core::time::Instant;
use parking_lot::Mutex;

use crate::step::step;
use crate::support::{Call, store};

const KEYS: usize = 3;

/// What a key was one after the other, and since when.
type History = Vec<(Instant, Option<u64>)>;

/// A shared store that remembers what it was, as one process is connected to it.
struct Remembering {
    clock: SimClock,
    model: ModelStore,
    histories: Arc<Mutex<[History; KEYS]>>,
    /// The place in its key's history of the change that was answered last.
    answered: Mutex<usize>,
}

impl Remembering {
    async fn change(
        &self,
        key: &[u8],
        value: Option<u64>,
        act: BoxFuture<'_, Result<Changed>>,
    ) -> Result<Changed> {
        step().await;
        let changed = act.await;
        let place = {
            let mut histories = self.histories.lock();
            let history = &mut histories[number_of(key)];
            history.push((self.clock.now(), value));
            history.len() - 1
        };
        step().await;
        *self.answered.lock() = place;
        changed
    }
}

fn number_of(key: &[u8]) -> usize {
    number(key) as usize
}

fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

impl RemoteStore for Remembering {
    fn capabilities(&self) -> RemoteCapabilities {
        self.model.capabilities()
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(async move {
            step().await;
            let answers = self.model.get(keys).await;
            step().await;
            answers
        })
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(self.change(key, Some(number(value)), self.model.put(key, value, put)))
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(self.change(key, None, self.model.remove(key, version, hold)))
    }

    fn get_or_lease<'a>(&'a self, _: &'a [u8], _: Duration) -> BoxFuture<'a, Result<Asked>> {
        unreachable!("nobody loads")
    }

    fn fill<'a>(&'a self, _: &'a [u8], _: &'a [u8], _: Fill<'a>, _: Grant) -> BoxFuture<'a, Result<Filled>> {
        unreachable!("nobody loads")
    }

    fn remove_tag<'a>(&'a self, _: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        unreachable!("nothing has a tag")
    }

    fn add<'a>(&'a self, _: &'a [u8], _: Addition) -> BoxFuture<'a, Result<Sum>> {
        unreachable!("nobody counts")
    }

    fn touch<'a>(&'a self, _: &'a [u8], _: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        unreachable!("nobody touches")
    }
}

/// One process.
struct Process {
    shared: Arc<Remembering>,
    near: NearCache,
    /// Of each key the place in its history of the newest change that this process was told to be done.
    own: Mutex<[usize; KEYS]>,
}

struct World {
    clock: SimClock,
    histories: Arc<Mutex<[History; KEYS]>>,
    /// Reads that were answered by something that was no more, to be sure that there are some.
    aged: Mutex<u64>,
}

impl World {
    async fn read(&self, process: &Process, key: usize) {
        let (begun, own) = (self.clock.now(), process.own.lock()[key]);
        let name = key.to_string();
        let answer = process.near.get(&[name.as_bytes()]).await.pop().unwrap().unwrap();
        let read = answer.map(|shared| number(&shared.value));
        let histories = self.histories.lock();
        let history = &histories[key];
        let until = |place: usize| history.get(place + 1).map(|(since, _)| *since);
        let good = |place: &usize| {
            history[*place].1 == read && until(*place).is_none_or(|until| until + NEAR_LIFE_MAX >= begun)
        };
        let shown = (own..history.len()).rev().find(good);
        let shown = shown.unwrap_or_else(|| panic!("{read:?} read at {begun:?} of {history:?}, own {own}"));
        *self.aged.lock() += u64::from(until(shown).is_some_and(|until| until < begun));
    }

    async fn change(&self, process: &Process, key: usize, value: Option<u64>) {
        let name = key.to_string();
        let put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
        let changed = match value {
            Some(value) => process.near.put(name.as_bytes(), value.to_string().as_bytes(), put).await,
            None => process.near.remove(name.as_bytes(), None, Duration::ZERO).await,
        };
        changed.unwrap();
        let place = *process.shared.answered.lock();
        let mut own = process.own.lock();
        own[key] = own[key].max(place);
    }
}

fn play(seed: u64) -> u64 {
    let (mut random, clock) = (Random::new(seed), SimClock::new(seed));
    let servers = ModelServers::new(clock.clone(), 1);
    let none: History = vec![(Instant::from_ms(0), None)];
    let histories = Arc::new(Mutex::new([none.clone(), none.clone(), none]));
    let processes = [(), ()].map(|()| {
        let model = ModelStore::new(servers.clone(), Duration::from_secs(1));
        let (clock, histories, answered) = (clock.clone(), histories.clone(), Mutex::default());
        let shared = Arc::new(Remembering { clock: clock.clone(), model, histories, answered });
        let near = NearCache::new(store(), shared.clone(), Arc::new(clock));
        Process { shared, near, own: Mutex::default() }
    });
    let world = World { clock: clock.clone(), histories, aged: Mutex::default() };
    let mut calls: Vec<Call<'_, ()>> = Vec::new();
    for round in 0..600 {
        if calls.len() < 6 {
            let (process, key) = (&processes[random.below(2) as usize], random.below(KEYS as u64) as usize);
            calls.push(match random.below(12) {
                0 => Call::new(world.change(process, key, None)),
                1 | 2 => Call::new(world.change(process, key, Some(round))),
                _ => Call::new(world.read(process, key)),
            });
        }
        for _ in 0..random.below(5) {
            let next = random.below(calls.len() as u64) as usize;
            if calls.get_mut(next).is_some_and(|call| call.poll().is_some()) {
                drop(calls.swap_remove(next));
            }
        }
        let pause_max = if random.one_in(8) { 700 } else { 60 };
        clock.advance(Duration::from_millis(random.below(pause_max)));
    }
    drop(calls);
    *world.aged.lock()
}

#[test]
fn no_read_is_older_than_the_bound_or_than_a_change_of_its_own_process() {
    let aged: u64 = (0..300).map(play).sum();
    assert!(aged > 1_000, "only {aged} reads were answered by a copy of what was no more");
}
