//! One key as the simplest store keeps it: which answers are right, and what is there afterwards.

use std::collections::BTreeSet;

use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Expiry, Lease, Mode, Read, State, Step, Version,
    Write, Written,
};
use forebay_core::time::Instant;

use crate::store::ask::Seen;

/// One call on a key.
#[derive(Clone, Debug)]
pub enum Asked {
    /// `LocalStore::read`.
    Read(Read),
    /// `LocalStore::write`; with the number of its lease where the condition is one.
    Write {
        /// What is written.
        value: Vec<u8>,
        /// How.
        write: Write,
        /// Which [`Asked::Lease`] it was that brought the lease.
        lease: Option<usize>,
    },
    /// `LocalStore::delete`.
    Delete(Delete),
    /// `LocalStore::count`.
    Count(Arithmetic),
    /// `LocalStore::lease`, under a number of its own.
    Lease(usize),
}

/// What a store answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a read.
    Read(Option<Seen>),
    /// To a write.
    Write(Written),
    /// To a deletion.
    Delete(Deleted),
    /// To arithmetic.
    Count(Counted),
    /// To asking for a lease.
    Lease(Lease),
}

/// All that a store knows of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    entry: Option<Entry>,
    /// The greatest version ever told.
    newest: Version,
    /// The leases taken since the key was last changed.
    good: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    flags: u32,
    /// `None`: a new one that no answer has told yet.
    version: Option<Version>,
    expires_at: Expiry,
    state: State,
    claimed: bool,
    read: bool,
    accessed_at: Instant,
}

impl Key {
    /// What is there after this call, or `None` if the answer is wrong. Only fills may be refused without need, because keys
    /// share stripes; never the other way round.
    pub fn after(&self, asked: &Asked, answer: &Answer) -> Option<Self> {
        let key = self.clone();
        match (asked, answer) {
            (Asked::Read(asked), Answer::Read(seen)) => key.settled(asked.now).read(*asked, seen.as_ref()),
            (Asked::Write { value, write, lease }, Answer::Write(answer)) => {
                key.settled(write.now).write(value, *write, *lease, *answer)
            }
            (Asked::Delete(asked), Answer::Delete(answer)) => key.settled(asked.now).delete(*asked, *answer),
            (Asked::Count(asked), Answer::Count(answer)) => key.settled(asked.now).count(*asked, *answer),
            (Asked::Lease(number), Answer::Lease(_)) => {
                Some(Self { good: self.good.iter().copied().chain([*number]).collect(), ..key })
            }
            _ => None,
        }
    }

    /// The same, of a store that may refuse a write for want of room. What the write would have replaced is gone then.
    pub fn after_refusal(&self, asked: &Asked, answer: &Answer) -> Option<Self> {
        let (Asked::Write { write, lease, .. }, Answer::Write(Written::TooLarge | Written::NoRoom)) =
            (asked, answer)
        else {
            return None;
        };
        let fill_is_void = lease.is_some_and(|lease| !self.good.contains(&lease));
        let replaces =
            write.mode == Mode::Set && !matches!(write.condition, Condition::Version(_)) && !fill_is_void;
        Some(if replaces { self.flushed() } else { self.clone() })
    }

    /// Without its entry: what a store may do at any time.
    pub fn forgotten(&self) -> Self {
        Self { entry: None, ..self.clone() }
    }

    /// Without its entry and its leases.
    pub fn flushed(&self) -> Self {
        Self { entry: None, good: BTreeSet::new(), ..self.clone() }
    }

    /// Whether there is something to forget.
    pub fn is_empty(&self) -> bool {
        self.entry.is_none()
    }

    /// The version of what is there at `now`, if it has been told.
    pub fn version(&self, now: Instant) -> Option<Version> {
        self.clone().settled(now).entry.and_then(|entry| entry.version)
    }

    /// Drops what is over by now.
    fn settled(mut self, now: Instant) -> Self {
        self.entry = self.entry.filter(|entry| entry.expires_at.is_none_or(|at| at > now));
        self
    }

    fn changed(&mut self) {
        self.good.clear();
    }

    /// Takes a version that must be greater than all before it.
    fn rises_to(&mut self, version: Version) -> Option<()> {
        (version > self.newest).then(|| self.newest = version)
    }

    /// If nobody has been told the present version yet, it may be this one.
    fn learn(&mut self, version: Version) {
        if let Some(entry) = self.entry.as_mut().filter(|entry| entry.version.is_none())
            && version > self.newest
        {
            entry.version = Some(version);
            self.newest = version;
        }
    }

    fn read(mut self, asked: Read, seen: Option<&Seen>) -> Option<Self> {
        if self.entry.is_none() {
            let Some(expires_at) = asked.lease else { return seen.is_none().then_some(self) };
            let seen = seen?;
            self.rises_to(seen.version)?;
            self.changed();
            let entry = Entry {
                value: Vec::new(),
                flags: 0,
                version: Some(seen.version),
                expires_at,
                state: State::Leased,
                claimed: true,
                read: false,
                accessed_at: second(asked.now),
            };
            let right = entry.is_shown_as(seen, Claim::Won);
            self.entry = Some(Entry { read: asked.counts, ..entry });
            return right.then_some(self);
        }
        let seen = seen?;
        self.learn(seen.version);
        let entry = self.entry.as_mut()?;
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
        let right = entry.is_shown_as(seen, claim);
        if asked.counts {
            entry.read = true;
            entry.accessed_at = second(asked.now);
        }
        right.then_some(self)
    }

    fn write(mut self, value: &[u8], write: Write, lease: Option<usize>, answer: Written) -> Option<Self> {
        let answered = |right: Written, key: Self| (answer == right).then_some(key);
        let mut state = State::Fresh;
        match (write.condition, &self.entry) {
            (Condition::Version(_), None) => return answered(Written::NotFound, self),
            (Condition::Version(version), Some(_)) => {
                if answer != Written::Exists {
                    self.learn(version);
                }
                let present = self.entry.as_ref().and_then(|entry| entry.version);
                if Some(version) != present {
                    let newer = present.is_some_and(|present| version > present);
                    if !write.stale_if_older || write.mode != Mode::Set || newer {
                        return answered(Written::Exists, self);
                    }
                    state = State::Stale;
                }
            }
            (Condition::Lease(_), _) => {
                let void = lease.is_some_and(|lease| !self.good.contains(&lease));
                if void || answer == Written::Exists {
                    return answered(Written::Exists, self);
                }
            }
            (Condition::None, _) => {}
        }
        let mut entry = match (write.mode, self.entry.take()) {
            (Mode::Add, present @ Some(_))
            | (Mode::Replace | Mode::Append | Mode::Prepend, present @ None) => {
                self.entry = present;
                return answered(Written::NotStored, self);
            }
            (Mode::Append, Some(entry)) => {
                Entry { value: [&entry.value, value].concat(), claimed: false, ..entry }
            }
            (Mode::Prepend, Some(entry)) => {
                Entry { value: [value, &entry.value].concat(), claimed: false, ..entry }
            }
            (_, present) => {
                // An older value is not loaded anew by being stored, so it lives no longer for it.
                let kept = present.filter(|_| state == State::Stale);
                Entry {
                    value: value.to_vec(),
                    flags: write.flags,
                    version: None,
                    expires_at: kept.as_ref().map_or(write.expires_at, |kept| kept.expires_at),
                    state,
                    claimed: kept.is_some_and(|kept| kept.claimed),
                    read: false,
                    accessed_at: second(write.now),
                }
            }
        };
        let Written::Stored(version) = answer else { return None };
        self.rises_to(version)?;
        self.changed();
        entry.version = Some(version);
        entry.state = state;
        entry.read = false;
        entry.accessed_at = second(write.now);
        self.entry = Some(entry);
        Some(self)
    }

    fn delete(mut self, asked: Delete, answer: Deleted) -> Option<Self> {
        if let (Some(version), true) = (asked.version, answer == Deleted::Done) {
            self.learn(version);
        }
        let Some(entry) = &mut self.entry else {
            self.changed();
            return (answer == Deleted::NotFound).then_some(self);
        };
        if asked.version.is_some_and(|version| Some(version) != entry.version) {
            return (answer == Deleted::Exists).then_some(self);
        }
        match asked.keep_stale {
            None => self.entry = None,
            Some(end) => {
                entry.version = None;
                entry.state = State::Stale;
                entry.claimed = false;
                entry.expires_at = end.unwrap_or(entry.expires_at);
            }
        }
        self.changed();
        (answer == Deleted::Done).then_some(self)
    }

    fn count(mut self, asked: Arithmetic, answer: Counted) -> Option<Self> {
        let answered = |right: Counted, key: Self| (answer == right).then_some(key);
        if let (Some(version), true) = (asked.version, answer != Counted::Exists) {
            self.learn(version);
        }
        let Some(mut entry) = self.entry.clone() else {
            let Some((number, expires_at)) = asked.create else {
                return answered(Counted::NotFound, self);
            };
            let Counted::Value { version, .. } = answer else { return None };
            self.rises_to(version)?;
            self.changed();
            self.entry = Some(Entry {
                value: number.to_string().into_bytes(),
                flags: 0,
                version: Some(version),
                expires_at,
                state: State::Fresh,
                claimed: false,
                read: false,
                accessed_at: second(asked.now),
            });
            return answered(Counted::Value { number, version, expires_at, created: true }, self);
        };
        if asked.version.is_some_and(|version| Some(version) != entry.version) {
            return answered(Counted::Exists, self);
        }
        let Some((present, width)) = number(&entry.value) else {
            return answered(Counted::NotNumber, self);
        };
        let number = match asked.step {
            Step::Up => present.wrapping_add(asked.delta),
            Step::Down => present.saturating_sub(asked.delta),
        };
        let Counted::Value { version, .. } = answer else { return None };
        self.rises_to(version)?;
        self.changed();
        entry.expires_at = asked.touch.unwrap_or(entry.expires_at);
        entry.value = format!("{number:<width$}").into_bytes();
        entry.version = Some(version);
        entry.accessed_at = second(asked.now);
        let expires_at = entry.expires_at;
        self.entry = Some(entry);
        answered(Counted::Value { number, version, expires_at, created: false }, self)
    }
}

impl Entry {
    fn is_shown_as(&self, seen: &Seen, claim: Claim) -> bool {
        self.version.is_some_and(|version| {
            *seen
                == Seen {
                    value: self.value.clone(),
                    flags: self.flags,
                    version,
                    expires_at: self.expires_at,
                    state: self.state,
                    claim,
                    read_before: self.read,
                    accessed_at: self.accessed_at,
                }
        })
    }
}

/// The decimal number that the text begins with, and the length of the whole text.
fn number(value: &[u8]) -> Option<(u64, usize)> {
    let text = std::str::from_utf8(value).ok()?;
    Some((text.split(' ').next()?.parse().ok()?, text.len()))
}

fn second(now: Instant) -> Instant {
    Instant::from_ms(now.as_ms() / 1000 * 1000)
}
