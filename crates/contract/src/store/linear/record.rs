//! Threads that make random calls on a store, and what each of them saw.

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;

use forebay_core::entry::{Arithmetic, Condition, Delete, Lease, Mode, Read, Step, Version, Write, Written};
use forebay_core::ports::local_store::LocalStore;

use super::search::Call;
use super::sequential::{Answer, Asked};
use crate::random::Random;
use crate::store::ask::{at, read};

/// How a history is made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// All random choices follow from it; how the threads meet does not.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// Calls of each.
    pub calls: usize,
    /// Keys on which they meet.
    pub keys: usize,
    /// Values of other keys that every thread writes between two calls, so that a small store must forget.
    pub crowd: usize,
}

/// What happened to each key: the calls of every thread, in its order.
pub type History = Vec<Vec<Vec<Call>>>;

const VALUES: [&[u8]; 7] = [b"", b"0", b"9", b"10  ", b"x", b"7x", b"18446744073709551615"];
const CROWD_VALUE_BYTES: usize = 16 * 1024;

/// Lets the threads loose on the store and writes down what they saw. Time stands still.
pub fn record(store: &dyn LocalStore, plan: Plan) -> History {
    let (ticks, leases) = (AtomicU64::new(0), AtomicUsize::new(0));
    let start = Barrier::new(plan.threads);
    let by_thread: Vec<Vec<Vec<Call>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads as u64)
            .map(|number| {
                let random = Random::new(plan.seed.wrapping_mul(31).wrapping_add(number));
                let (ticks, leases, start) = (&ticks, &leases, &start);
                scope.spawn(move || {
                    start.wait();
                    Caller { store, ticks, leases, random, known: HashMap::new() }.run(number, plan)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a caller does not panic")).collect()
    });
    let of_key = |key: usize| by_thread.iter().filter_map(|keys| keys.get(key).cloned()).collect();
    (0..plan.keys).map(of_key).collect()
}

struct Caller<'a> {
    store: &'a dyn LocalStore,
    ticks: &'a AtomicU64,
    leases: &'a AtomicUsize,
    random: Random,
    known: HashMap<usize, Known>,
}

/// What one thread remembers of a key: what it needs to write conditionally.
#[derive(Clone, Copy, Default)]
struct Known {
    version: Version,
    lease: Option<(usize, Lease)>,
}

impl Caller<'_> {
    fn run(mut self, thread: u64, plan: Plan) -> Vec<Vec<Call>> {
        let mut calls = vec![Vec::new(); plan.keys];
        for number in 0..plan.calls {
            let key = self.random.below(plan.keys as u64) as usize;
            let asked = self.choose(key);
            let call = self.call(key, asked);
            if let Some(of_key) = calls.get_mut(key) {
                of_key.push(call);
            }
            for other in 0..plan.crowd {
                let name = format!("crowd {thread} {number} {other}");
                self.store.write(name.as_bytes(), &[b'x'; CROWD_VALUE_BYTES], Write::at(at(0)));
            }
            if self.random.one_in(4) {
                thread::yield_now();
            }
        }
        calls
    }

    fn choose(&mut self, key: usize) -> Asked {
        let known = self.known.get(&key).copied().unwrap_or_default();
        let end = match self.random.below(4) {
            0 => Some(at(3_000)),
            // Over at once.
            1 => Some(at(0)),
            _ => None,
        };
        let chance = self.random.below(8) as usize;
        let value = VALUES.get(chance).copied().unwrap_or(b"5").to_vec();
        let write = Write { flags: self.random.below(3) as u32, expires_at: end, ..Write::at(at(0)) };
        let plain = |mode| Asked::Write { value: value.clone(), write: Write { mode, ..write }, lease: None };
        let plain_read = Read { counts: self.random.one_in(2), ..Read::at(at(0)) };
        let count = Arithmetic {
            now: at(0),
            delta: self.random.below(12),
            step: if self.random.one_in(3) { Step::Down } else { Step::Up },
            version: self.random.one_in(4).then_some(known.version),
            create: self.random.one_in(2).then_some((3, None)),
            touch: self.random.one_in(4).then_some(end),
            named: None,
        };
        match self.random.below(24) {
            0..=5 => Asked::Read(plain_read),
            6 => Asked::Read(Read { touch: Some(end), ..plain_read }),
            7 => Asked::Read(Read { lease: Some(end), refresh_below_ms: Some(0), ..plain_read }),
            8 => Asked::Read(Read { refresh_below_ms: Some(5_000), ..plain_read }),
            9..=10 => plain(Mode::Set),
            11 => plain(Mode::Add),
            12 => plain(Mode::Replace),
            13 => plain(Mode::Append),
            14 => plain(Mode::Prepend),
            15..=16 => {
                let condition = Condition::Version(known.version);
                let stale_if_older = self.random.one_in(3);
                Asked::Write { value, write: Write { condition, stale_if_older, ..write }, lease: None }
            }
            17..=18 => Asked::Count(count),
            19 => Asked::Delete(Delete::at(at(0))),
            20 => match self.random.below(2) {
                0 => Asked::Delete(Delete { version: Some(known.version), ..Delete::at(at(0)) }),
                _ => Asked::Delete(Delete { keep_stale: Some(None), ..Delete::at(at(0)) }),
            },
            _ => match known.lease {
                None => Asked::Lease(self.leases.fetch_add(1, SeqCst)),
                Some((number, lease)) => {
                    let condition = Condition::Lease(lease);
                    Asked::Write { value, write: Write { condition, ..write }, lease: Some(number) }
                }
            },
        }
    }

    fn call(&mut self, key: usize, asked: Asked) -> Call {
        let name = format!("key {key}");
        let began = self.ticks.fetch_add(1, SeqCst);
        let answer = answer(self.store, name.as_bytes(), &asked);
        let ended = self.ticks.fetch_add(1, SeqCst);
        let known = self.known.entry(key).or_default();
        match (&asked, &answer) {
            (_, Answer::Read(Some(seen))) => known.version = seen.version,
            (_, Answer::Write(Written::Stored(version))) => known.version = *version,
            (Asked::Lease(number), Answer::Lease(lease)) => known.lease = Some((*number, *lease)),
            _ => {}
        }
        if matches!(asked, Asked::Write { lease: Some(_), .. }) {
            known.lease = None;
        }
        Call { asked, answer, began, ended }
    }
}

/// Puts the call to the store.
pub fn answer(store: &dyn LocalStore, key: &[u8], asked: &Asked) -> Answer {
    match asked {
        Asked::Read(asked) => Answer::Read(read(store, key, *asked)),
        Asked::Write { value, write, .. } => Answer::Write(store.write(key, value, *write)),
        Asked::Delete(asked) => Answer::Delete(store.delete(key, *asked)),
        Asked::Count(asked) => Answer::Count(store.count(key, *asked)),
        Asked::Lease(_) => Answer::Lease(store.lease(key)),
    }
}
