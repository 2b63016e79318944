//! Random histories of all verbs, answered by the store and by a model that is too simple to be wrong.

use std::collections::HashMap;
use std::time::Duration;

use forebay_core::entry::{Arithmetic, Condition, Delete, Expiry, Lease, Mode, Read, Step, Version, Write};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::ask::{Make, ROOMY, START};
use super::linear::record::answer;
use super::linear::sequential::{Answer, Asked, Key};

const KEYS: [&[u8]; 4] = [b"a", b"b", b"ab", b"a rather longer key than the others"];
const VALUES: [&[u8]; 9] =
    [b"", b"0", b"9", b"10", b"5  ", b"18446744073709551615", b"x", b"7x", b"not a number"];
const HISTORIES: u32 = 400;
const STEPS_MAX: usize = 150;

/// Ends of life, in milliseconds from the present: gone, soon, later, never.
type Life = Option<i64>;

/// Which version a condition names.
#[derive(Clone, Copy, Debug)]
enum Names {
    Present,
    Older,
    Newer,
}

#[derive(Clone, Copy, Debug)]
enum Fence {
    None,
    Version(Names),
    /// The lease taken so many steps of its kind ago.
    Lease(usize),
}

#[derive(Clone, Debug)]
enum Act {
    Read { touch: Option<Life>, lease: Option<Life>, refresh_below_ms: Option<u64>, counts: bool },
    Write { value: &'static [u8], flags: u32, life: Life, mode: Mode, fence: Fence, stale_if_older: bool },
    Delete { version: Option<Names>, keep_stale: Option<Option<Life>> },
    Count { delta: u64, step: Step, version: Option<Names>, create: Option<(u64, Life)>, touch: Option<Life> },
    Lease,
    Flush { after_ms: u64 },
    Sweep,
    Wait { ms: u64 },
}

fn life() -> impl Strategy<Value = Life> {
    select(vec![None, None, Some(-5), Some(0), Some(1), Some(40), Some(2_000)])
}

fn names() -> impl Strategy<Value = Names> {
    select(vec![Names::Present, Names::Present, Names::Older, Names::Newer])
}

fn maybe<T: Clone + std::fmt::Debug + 'static>(
    of: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    prop_oneof![2 => Just(None), 1 => of.prop_map(Some)]
}

fn act() -> impl Strategy<Value = Act> {
    let modes = select(vec![Mode::Set, Mode::Set, Mode::Add, Mode::Replace, Mode::Append, Mode::Prepend]);
    let fence = prop_oneof![
        2 => Just(Fence::None),
        1 => names().prop_map(Fence::Version),
        1 => (0..4usize).prop_map(Fence::Lease),
    ];
    prop_oneof![
        6 => (maybe(life()), maybe(life()), maybe(select(vec![0, 30, 1_000])), any::<bool>()).prop_map(
            |(touch, lease, refresh_below_ms, counts)| Act::Read { touch, lease, refresh_below_ms, counts }
        ),
        6 => (select(VALUES.to_vec()), any::<u32>(), life(), modes, fence, any::<bool>()).prop_map(
            |(value, flags, life, mode, fence, stale_if_older)| {
                Act::Write { value, flags, life, mode, fence, stale_if_older }
            }
        ),
        3 => (maybe(names()), maybe(maybe(life())))
            .prop_map(|(version, keep_stale)| Act::Delete { version, keep_stale }),
        3 => (
            select(vec![0, 1, 9, 95, u64::MAX]),
            select(vec![Step::Up, Step::Down]),
            maybe(names()),
            maybe((select(vec![0, 7, u64::MAX]), life())),
            maybe(life()),
        )
            .prop_map(|(delta, step, version, create, touch)| Act::Count { delta, step, version, create, touch }),
        2 => Just(Act::Lease),
        1 => select(vec![0, 0, 20, 100]).prop_map(|after_ms| Act::Flush { after_ms }),
        1 => Just(Act::Sweep),
        3 => select(vec![1, 10, 40, 1_500]).prop_map(|ms| Act::Wait { ms }),
    ]
}

/// Every answer and every entry shown is what the model says. Only fills may be refused without need, because keys share
/// stripes; never the other way round.
pub fn any_history_is_answered_as_the_model_answers(make: Make<'_>) {
    let history = vec((select(KEYS.to_vec()), act()), 1..STEPS_MAX);
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&history, |history| {
        let store = make(ROOMY);
        let mut model = Model::new(&*store);
        for (key, act) in history {
            model.step(key, act);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

struct Model<'a> {
    store: &'a dyn LocalStore,
    now: Instant,
    keys: HashMap<&'static [u8], Key>,
    /// Leases as they were taken; the place of each is its number.
    leases: Vec<(&'static [u8], Lease)>,
    flush_at: Option<Instant>,
}

impl<'a> Model<'a> {
    fn new(store: &'a dyn LocalStore) -> Self {
        let keys = KEYS.iter().map(|key| (*key, Key::default())).collect();
        Self { store, now: START, keys, leases: Vec::new(), flush_at: None }
    }

    fn step(&mut self, key: &'static [u8], act: Act) {
        if self.flush_at.is_some_and(|at| at <= self.now) {
            self.flush_at = None;
            self.keys.values_mut().for_each(|key| *key = key.flushed());
        }
        let now = self.now;
        match act {
            Act::Read { touch, lease, refresh_below_ms, counts } => {
                let (touch, lease) = (touch.map(|life| self.end(life)), lease.map(|life| self.end(life)));
                self.ask(key, Asked::Read(Read { touch, lease, refresh_below_ms, counts, ..Read::at(now) }));
            }
            Act::Write { value, flags, life, mode, fence, stale_if_older } => {
                let (condition, lease) = self.condition(key, fence);
                let expires_at = self.end(life);
                let write = Write { flags, expires_at, mode, condition, stale_if_older, ..Write::at(now) };
                self.ask(key, Asked::Write { value: value.to_vec(), write, lease });
            }
            Act::Delete { version, keep_stale } => {
                let version = version.map(|names| self.version(key, names));
                let keep_stale = keep_stale.map(|life| life.map(|life| self.end(life)));
                self.ask(key, Asked::Delete(Delete { version, keep_stale, ..Delete::at(now) }));
                // The answer to a deletion does not tell the new version; a look without a trace does.
                self.ask(key, Asked::Read(Read { counts: false, ..Read::at(now) }));
            }
            Act::Count { delta, step, version, create, touch } => {
                let version = version.map(|names| self.version(key, names));
                let create = create.map(|(number, life)| (number, self.end(life)));
                let touch = touch.map(|life| self.end(life));
                self.ask(
                    key,
                    Asked::Count(Arithmetic { now, delta, step, version, create, touch, named: None }),
                );
            }
            Act::Lease => {
                if let Answer::Lease(lease) = self.ask(key, Asked::Lease(self.leases.len())) {
                    self.leases.push((key, lease));
                }
            }
            Act::Flush { after_ms } => {
                self.flush_at = Some(now + Duration::from_millis(after_ms));
                self.store.flush(now + Duration::from_millis(after_ms), now);
            }
            Act::Sweep => {
                self.store.sweep(now);
            }
            Act::Wait { ms } => self.now = now + Duration::from_millis(ms),
        }
    }

    fn ask(&mut self, key: &'static [u8], asked: Asked) -> Answer {
        let answer = answer(self.store, key, &asked);
        let model = self.keys.entry(key).or_default();
        match model.after(&asked, &answer) {
            Some(after) => *model = after,
            None => panic!("{asked:?} was answered {answer:?} over {model:?}"),
        }
        answer
    }

    fn end(&self, life: Life) -> Expiry {
        life.map(|ms| Instant::from_ms(self.now.as_ms().saturating_add_signed(ms)))
    }

    fn version(&self, key: &[u8], names: Names) -> Version {
        let present = self.keys.get(key).and_then(|key| key.version(self.now)).unwrap_or(Version(1_000));
        match names {
            Names::Present => present,
            Names::Older => Version(present.0 - 1),
            Names::Newer => Version(present.0 + 1),
        }
    }

    /// The condition, and for a lease its number.
    fn condition(&self, key: &[u8], fence: Fence) -> (Condition, Option<usize>) {
        match fence {
            Fence::None => (Condition::None, None),
            Fence::Version(names) => (Condition::Version(self.version(key, names)), None),
            Fence::Lease(back) => {
                let taken = self.leases.iter().enumerate().rev().filter(|(_, (of, _))| *of == key).nth(back);
                taken.map_or((Condition::None, None), |(number, (_, lease))| {
                    (Condition::Lease(*lease), Some(number))
                })
            }
        }
    }
}
