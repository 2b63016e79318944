//! Random histories of all verbs, answered by the store and by a model that is too simple to be wrong.

use std::collections::HashMap;
use std::time::Duration;

use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Expiry, Lease, Mode, Read, State, Step, Version,
    Write, Written,
};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::time::Instant;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::ask::{Make, ROOMY, START, Seen, read};

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

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    flags: u32,
    version: Version,
    expires_at: Expiry,
    state: State,
    claimed: bool,
    read: bool,
    accessed_at: Instant,
}

struct Model<'a> {
    store: &'a dyn LocalStore,
    now: Instant,
    entries: HashMap<&'static [u8], Entry>,
    /// The greatest version ever seen of each key.
    newest: HashMap<&'static [u8], Version>,
    /// How often each key was written or invalidated.
    changes: HashMap<&'static [u8], u64>,
    /// Leases, and the changes of their key when they were taken.
    leases: Vec<(&'static [u8], Lease, u64)>,
    flush_at: Option<Instant>,
}

impl<'a> Model<'a> {
    fn new(store: &'a dyn LocalStore) -> Self {
        Self {
            store,
            now: START,
            entries: HashMap::new(),
            newest: HashMap::new(),
            changes: HashMap::new(),
            leases: Vec::new(),
            flush_at: None,
        }
    }

    fn step(&mut self, key: &'static [u8], act: Act) {
        self.settle();
        match act {
            Act::Read { touch, lease, refresh_below_ms, counts } => {
                let (touch, lease) = (touch.map(|life| self.end(life)), lease.map(|life| self.end(life)));
                self.read(key, Read { now: self.now, touch, lease, refresh_below_ms, counts });
            }
            Act::Write { value, flags, life, mode, fence, stale_if_older } => {
                let (condition, good) = self.condition(key, fence);
                let expires_at = self.end(life);
                let write = Write { now: self.now, flags, expires_at, mode, condition, stale_if_older };
                self.write(key, value, write, good);
            }
            Act::Delete { version, keep_stale } => {
                let version = version.map(|names| self.version(key, names));
                let keep_stale = keep_stale.map(|life| life.map(|life| self.end(life)));
                self.delete(key, Delete { now: self.now, version, keep_stale });
            }
            Act::Count { delta, step, version, create, touch } => {
                let version = version.map(|names| self.version(key, names));
                let create = create.map(|(number, life)| (number, self.end(life)));
                let touch = touch.map(|life| self.end(life));
                self.count(key, Arithmetic { now: self.now, delta, step, version, create, touch });
            }
            Act::Lease => {
                self.leases.push((key, self.store.lease(key), self.changes.get(key).copied().unwrap_or(0)));
            }
            Act::Flush { after_ms } => {
                self.flush_at = Some(self.now + Duration::from_millis(after_ms));
                self.store.flush(self.now + Duration::from_millis(after_ms), self.now);
            }
            Act::Sweep => {
                self.store.sweep(self.now);
            }
            Act::Wait { ms } => self.now = self.now + Duration::from_millis(ms),
        }
    }

    /// Drops what is over by now.
    fn settle(&mut self) {
        if self.flush_at.is_some_and(|at| at <= self.now) {
            self.flush_at = None;
            self.entries.clear();
            for key in KEYS {
                self.changed(key);
            }
        }
        let now = self.now;
        self.entries.retain(|_, entry| entry.expires_at.is_none_or(|at| at > now));
    }

    fn end(&self, life: Life) -> Expiry {
        life.map(|ms| Instant::from_ms(self.now.as_ms().saturating_add_signed(ms)))
    }

    fn second(&self) -> Instant {
        Instant::from_ms(self.now.as_ms() / 1000 * 1000)
    }

    fn changed(&mut self, key: &'static [u8]) {
        *self.changes.entry(key).or_default() += 1;
    }

    /// A new version, which must be greater than all before it.
    fn risen(&mut self, key: &'static [u8], version: Version) {
        let newest = self.newest.entry(key).or_default();
        assert!(version > *newest, "{version:?} after {newest:?}");
        *newest = version;
    }

    fn version(&self, key: &[u8], names: Names) -> Version {
        let present = self.entries.get(key).map_or(Version(1_000), |entry| entry.version);
        match names {
            Names::Present => present,
            Names::Older => Version(present.0 - 1),
            Names::Newer => Version(present.0 + 1),
        }
    }

    /// The condition, and for a lease whether nothing has happened to its key since.
    fn condition(&self, key: &[u8], fence: Fence) -> (Condition, bool) {
        match fence {
            Fence::None => (Condition::None, true),
            Fence::Version(names) => (Condition::Version(self.version(key, names)), true),
            Fence::Lease(back) => {
                let taken = self.leases.iter().rev().filter(|(of, ..)| *of == key).nth(back);
                taken.map_or((Condition::None, true), |(_, lease, changes)| {
                    (Condition::Lease(*lease), self.changes.get(key).copied().unwrap_or(0) == *changes)
                })
            }
        }
    }

    fn read(&mut self, key: &'static [u8], asked: Read) {
        let seen = read(self.store, key, asked);
        let second = self.second();
        let Some(entry) = self.entries.get_mut(key) else {
            let Some(expires_at) = asked.lease else { return assert_eq!(seen, None) };
            let seen = seen.expect("a placeholder");
            self.risen(key, seen.version);
            self.changed(key);
            let entry = Entry {
                value: Vec::new(),
                flags: 0,
                version: seen.version,
                expires_at,
                state: State::Leased,
                claimed: true,
                read: false,
                accessed_at: second,
            };
            assert_eq!(seen, shown(&entry, Claim::Won));
            self.entries.insert(key, Entry { read: asked.counts, ..entry });
            return;
        };
        let near = match (entry.expires_at, asked.refresh_below_ms) {
            (Some(at), Some(below)) => at.as_ms() - asked.now.as_ms() < below,
            _ => false,
        };
        let would_load = asked.lease.is_some() || asked.refresh_below_ms.is_some();
        let claim = match (entry.claimed, would_load && (near || entry.state != State::Fresh)) {
            (true, _) => Claim::Lost,
            (false, true) => Claim::Won,
            (false, false) => Claim::None,
        };
        entry.claimed |= claim == Claim::Won;
        if let Some(end) = asked.touch {
            entry.expires_at = end;
        }
        assert_eq!(seen, Some(shown(entry, claim)));
        if asked.counts {
            entry.read = true;
            entry.accessed_at = second;
        }
    }

    fn write(&mut self, key: &'static [u8], value: &[u8], write: Write, good: bool) {
        let answer = self.store.write(key, value, write);
        let found = self.entries.get(key).cloned();
        let present = found.as_ref().map(|entry| entry.version);
        let mut state = State::Fresh;
        match (write.condition, present) {
            (Condition::Version(_), None) => return assert_eq!(answer, Written::NotFound),
            (Condition::Version(version), Some(present)) if version != present => {
                if !write.stale_if_older || write.mode != Mode::Set || version > present {
                    return assert_eq!(answer, Written::Exists);
                }
                state = State::Stale;
            }
            (Condition::Lease(_), _) if !good => return assert_eq!(answer, Written::Exists),
            (Condition::Lease(_), _) if answer == Written::Exists => return,
            _ => {}
        }
        let kept = found.clone().filter(|_| state == State::Stale);
        let mut entry = match (write.mode, found) {
            (Mode::Add, Some(_)) | (Mode::Replace | Mode::Append | Mode::Prepend, None) => {
                return assert_eq!(answer, Written::NotStored);
            }
            (Mode::Append, Some(entry)) => Entry { value: [&entry.value, value].concat(), ..entry },
            (Mode::Prepend, Some(entry)) => Entry { value: [value, &entry.value].concat(), ..entry },
            _ => Entry {
                value: value.to_vec(),
                flags: write.flags,
                version: Version(0),
                expires_at: write.expires_at,
                state,
                claimed: false,
                read: false,
                accessed_at: self.now,
            },
        };
        let Written::Stored(version) = answer else { panic!("{answer:?} for {write:?}") };
        self.risen(key, version);
        self.changed(key);
        entry.version = version;
        entry.state = state;
        entry.expires_at = kept.as_ref().map_or(entry.expires_at, |kept| kept.expires_at);
        entry.claimed = kept.is_some_and(|kept| kept.claimed);
        entry.read = false;
        entry.accessed_at = self.second();
        self.entries.insert(key, entry);
    }

    fn delete(&mut self, key: &'static [u8], delete: Delete) {
        let answer = self.store.delete(key, delete);
        let Some(entry) = self.entries.get_mut(key) else {
            self.changed(key);
            return assert_eq!(answer, Deleted::NotFound);
        };
        if delete.version.is_some_and(|version| version != entry.version) {
            return assert_eq!(answer, Deleted::Exists);
        }
        assert_eq!(answer, Deleted::Done);
        match delete.keep_stale {
            None => _ = self.entries.remove(key),
            Some(end) => {
                entry.state = State::Stale;
                entry.claimed = false;
                entry.expires_at = end.unwrap_or(entry.expires_at);
                // Looked up without a trace: the answer to a deletion does not carry the new version.
                let look = Read { counts: false, ..Read::at(self.now) };
                if let Some(seen) = read(self.store, key, look) {
                    entry.version = seen.version;
                    self.risen(key, seen.version);
                }
            }
        }
        self.changed(key);
    }

    fn count(&mut self, key: &'static [u8], asked: Arithmetic) {
        let answer = self.store.count(key, asked);
        let second = self.second();
        let Some(entry) = self.entries.get_mut(key) else {
            let Some((number, expires_at)) = asked.create else {
                return assert_eq!(answer, Counted::NotFound);
            };
            let Counted::Value { version, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(answer, Counted::Value { number, version, expires_at, created: true });
            self.risen(key, version);
            self.changed(key);
            let value = number.to_string().into_bytes();
            let (state, claimed, read) = (State::Fresh, false, false);
            let entry =
                Entry { value, flags: 0, version, expires_at, state, claimed, read, accessed_at: second };
            self.entries.insert(key, entry);
            return;
        };
        if asked.version.is_some_and(|version| version != entry.version) {
            return assert_eq!(answer, Counted::Exists);
        }
        let text = String::from_utf8(entry.value.clone()).expect("the values are text");
        let Ok(present) = text.split(' ').next().unwrap_or_default().parse::<u64>() else {
            return assert_eq!(answer, Counted::NotNumber, "{text:?}");
        };
        let number = match asked.step {
            Step::Up => present.wrapping_add(asked.delta),
            Step::Down => present.saturating_sub(asked.delta),
        };
        let expires_at = asked.touch.unwrap_or(entry.expires_at);
        let Counted::Value { version, .. } = answer else { panic!("{answer:?} for {text:?}") };
        assert_eq!(answer, Counted::Value { number, version, expires_at, created: false });
        entry.value = format!("{number:<width$}", width = text.len()).into_bytes();
        entry.version = version;
        entry.expires_at = expires_at;
        entry.accessed_at = second;
        self.risen(key, version);
        self.changed(key);
    }
}

fn shown(entry: &Entry, claim: Claim) -> Seen {
    Seen {
        value: entry.value.clone(),
        flags: entry.flags,
        version: entry.version,
        expires_at: entry.expires_at,
        state: entry.state,
        claim,
        read_before: entry.read,
        accessed_at: entry.accessed_at,
    }
}
