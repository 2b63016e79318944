//! The memory of this process as the only store there is: the port `RemoteStore` over a `LocalStore`, for the URL `memory:`.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{
    Arithmetic, Claim, Condition, Counted, Delete, Deleted, Expiry, Mode, Read, State, Version, View, Write,
    Written,
};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::CHANGE_TRIES_MAX;
use forebay_core::limits::near::SHARED_LEASE_MIN;
use forebay_core::payload::Payload;
use forebay_core::ports::BoxFuture;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::remote_store::{
    Addition, Asked, Changed, Fill, Filled, Grant, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};
use forebay_core::time::Instant;

/// A store that nobody outside this process shares: whoever writes against the port runs on it without a server. It waits for
/// nothing itself; a memory that keeps some keys durable may hold up the caller's thread in a change of one, until that is on
/// the disk. It has no tags, and no locks: the memory may forget an entry before its life is over.
#[derive(Clone)]
pub struct Alone {
    memory: Arc<dyn LocalStore>,
    clock: Arc<dyn Clock>,
    /// Tells grants of this store from those of others.
    incarnation: u64,
}

/// What is at a key's place.
#[derive(Clone, Copy)]
enum There {
    Nothing,
    Value(Version),
    /// A place for a value: it is being filled, or held, or was made stale by another way into the memory.
    Placeholder(Version),
}

impl There {
    fn of(view: &View<'_>) -> Self {
        match view.state {
            State::Fresh => Self::Value(view.version),
            State::Leased | State::Stale => Self::Placeholder(view.version),
        }
    }
}

impl Alone {
    /// A store with its entries in `memory`.
    pub fn new(memory: Arc<dyn LocalStore>, clock: Arc<dyn Clock>) -> Self {
        let incarnation = clock.random();
        Self { memory, clock, incarnation }
    }

    fn look(&self, key: &[u8], now: Instant) -> There {
        let mut there = There::Nothing;
        let read = Read { counts: false, ..Read::at(now) };
        self.memory.read(key, read, &mut |view| there = There::of(&view));
        there
    }

    fn read(&self, key: &[u8]) -> Option<Shared> {
        let mut shared = None;
        self.memory.read(key, Read::at(self.clock.now()), &mut |view| {
            shared = (view.state == State::Fresh).then(|| entry(&view));
        });
        shared
    }

    /// Reads, and on a miss leaves a placeholder that lives until `ends`.
    fn ask(&self, key: &[u8], now: Instant, ends: Expiry) -> Asked {
        let mut asked = Asked::Busy;
        let read = Read { lease: Some(ends), ..Read::at(now) };
        self.memory.read(key, read, &mut |view| {
            asked = match (view.state, view.claim) {
                (State::Fresh, _) => Asked::Hit(entry(&view)),
                (_, Claim::Won) => {
                    Asked::Granted(Grant { token: view.version.0, incarnation: self.incarnation })
                }
                (_, Claim::Lost | Claim::None) => Asked::Busy,
            };
        });
        asked
    }

    fn write(&self, key: &[u8], value: &[u8], write: Write) -> Result<Written> {
        let failed = |kind| Err(failed(kind, "write key", key));
        match self.memory.write(key, value, write) {
            Written::TooLarge => failed(Kind::TooLarge),
            Written::NoRoom => failed(Kind::Full),
            written => Ok(written),
        }
    }

    fn filled(&self, key: &[u8], value: &[u8], fill: Fill<'_>, grant: Grant) -> Result<Filled> {
        if !fill.tags.is_empty() {
            return Err(failed(Kind::Unsupported, "fill with tags key", key));
        }
        let now = self.clock.now();
        let condition = Condition::Version(Version(grant.token));
        let write =
            Write { flags: fill.flags, expires_at: ends(now, fill.life), condition, ..Write::at(now) };
        if grant.incarnation != self.incarnation {
            return Ok(Filled::Refused);
        }
        Ok(match self.write(key, value, write)? {
            Written::Stored(version) => Filled::Stored(version),
            _ => Filled::Refused,
        })
    }

    /// The memory takes a placeholder for an entry and the port does not, so what is there is looked at first, and written over
    /// exactly that.
    fn put_over(&self, key: &[u8], value: &[u8], put: Put) -> Result<Changed> {
        let extends = matches!(put.mode, Mode::Append | Mode::Prepend);
        for _ in 0..CHANGE_TRIES_MAX {
            let now = self.clock.now();
            let write = Write { flags: put.flags, expires_at: ends(now, put.life), ..Write::at(now) };
            let write = match (put.version, put.mode) {
                (None, Mode::Set) => write,
                _ => match admits(put, self.look(key, now)) {
                    Ok(None) => Write { mode: Mode::Add, ..write },
                    Ok(Some(there)) => {
                        let mode = if extends { put.mode } else { Mode::Set };
                        Write { mode, condition: Condition::Version(there), ..write }
                    }
                    Err(refused) => return Ok(refused),
                },
            };
            match self.write(key, value, write)? {
                Written::Stored(version) => return Ok(Changed::Done(version)),
                // It would be too large.
                Written::NotStored if extends => return Ok(Changed::NotStored),
                // It has changed since the look.
                _ => {}
            }
        }
        Err(contended(key))
    }

    fn remove_over(&self, key: &[u8], version: Option<Version>) -> Result<Changed> {
        for _ in 0..CHANGE_TRIES_MAX {
            let now = self.clock.now();
            let there = self.look(key, now);
            let expected = match (there, version) {
                (There::Value(there), Some(version)) if there != version => return Ok(Changed::Exists),
                (There::Value(there) | There::Placeholder(there), _) => there,
                // No entry has it: whatever comes in between stays, and leases are void all the same.
                (There::Nothing, _) => Version(0),
            };
            match (self.memory.delete(key, Delete { version: Some(expected), ..Delete::at(now) }), there) {
                (Deleted::Done, There::Value(there)) => return Ok(Changed::Done(there)),
                (Deleted::Done, _) | (Deleted::NotFound, There::Nothing) => return Ok(Changed::NotFound),
                (Deleted::NotFound | Deleted::Exists, _) => {}
            }
        }
        Err(contended(key))
    }

    /// A held key has a placeholder that nobody was granted.
    fn hold(&self, key: &[u8], hold: Duration) -> Result<()> {
        for _ in 0..CHANGE_TRIES_MAX {
            let now = self.clock.now();
            match self.ask(key, now, ends(now, Some(hold.max(SHARED_LEASE_MIN)))) {
                Asked::Granted(_) | Asked::Hit(_) => return Ok(()),
                // Somebody was granted it since it was removed.
                Asked::Busy => {
                    if let There::Placeholder(there) = self.look(key, now) {
                        self.memory.delete(key, Delete { version: Some(there), ..Delete::at(now) });
                    }
                }
            }
        }
        Err(contended(key))
    }

    fn sum(&self, key: &[u8], addition: Addition) -> Result<Sum> {
        for _ in 0..CHANGE_TRIES_MAX {
            let now = self.clock.now();
            let create = addition.create.map(|(number, life)| (number, ends(now, life)));
            let Addition { delta, step, .. } = addition;
            let arithmetic = Arithmetic { now, delta, step, version: None, create, touch: None, named: None };
            match self.memory.count(key, arithmetic) {
                Counted::Value { number, .. } => return Ok(Sum::Number(number)),
                Counted::NotFound => return Ok(Sum::NotFound),
                Counted::NotNumber | Counted::Exists => {}
            }
            match (self.look(key, now), create) {
                (There::Value(_), _) => return Ok(Sum::NotNumber),
                (There::Placeholder(_), None) => return Ok(Sum::NotFound),
                (There::Placeholder(there), Some((number, expires_at))) => {
                    let condition = Condition::Version(there);
                    let write = Write { expires_at, condition, ..Write::at(now) };
                    if let Written::Stored(_) = self.write(key, number.to_string().as_bytes(), write)? {
                        return Ok(Sum::Number(number));
                    }
                }
                (There::Nothing, _) => {}
            }
        }
        Err(contended(key))
    }

    fn touched(&self, key: &[u8], life: Option<Duration>) -> bool {
        let now = self.clock.now();
        if !matches!(self.look(key, now), There::Value(_)) {
            return false;
        }
        let mut there = There::Nothing;
        let read = Read { touch: Some(ends(now, life)), ..Read::at(now) };
        self.memory.read(key, read, &mut |view| there = There::of(&view));
        if let There::Placeholder(there) = there {
            // It has come since the look, and now has a life that is none of its own: the next reader shall have another.
            self.memory.delete(key, Delete { version: Some(there), ..Delete::at(now) });
        }
        matches!(there, There::Value(_))
    }
}

/// Which version is to be written over, if there is anything; or why nothing is written.
fn admits(put: Put, there: There) -> std::result::Result<Option<Version>, Changed> {
    match (there, put.version, put.mode) {
        (There::Value(there), Some(version), _) if there != version => Err(Changed::Exists),
        (There::Value(_), _, Mode::Add) => Err(Changed::NotStored),
        (There::Value(there), _, _) => Ok(Some(there)),
        (There::Nothing | There::Placeholder(_), Some(_), _) => Err(Changed::NotFound),
        (_, None, Mode::Replace | Mode::Append | Mode::Prepend) => Err(Changed::NotStored),
        (There::Placeholder(there), None, Mode::Set | Mode::Add) => Ok(Some(there)),
        (There::Nothing, None, Mode::Set | Mode::Add) => Ok(None),
    }
}

fn entry(view: &View<'_>) -> Shared {
    Shared { value: Payload::from(view.value), flags: view.flags, version: view.version }
}

fn ends(now: Instant, life: Option<Duration>) -> Expiry {
    life.map(|life| now + life)
}

fn failed(kind: Kind, operation: &'static str, key: &[u8]) -> Error {
    Error::new(kind, operation, key.escape_ascii().to_string())
}

fn contended(key: &[u8]) -> Error {
    failed(Kind::Unavailable, "change key", key).because("others change it all the time")
}

impl RemoteStore for Alone {
    fn capabilities(&self) -> RemoteCapabilities {
        RemoteCapabilities {
            lease: true,
            fenced_fill: true,
            conditional: true,
            arithmetic: true,
            touch: true,
            negative: true,
            ..RemoteCapabilities::NONE
        }
    }

    fn get<'a>(&'a self, keys: &'a [&'a [u8]]) -> BoxFuture<'a, Vec<Result<Option<Shared>>>> {
        Box::pin(async move { keys.iter().map(|key| Ok(self.read(key))).collect() })
    }

    fn get_or_lease<'a>(&'a self, key: &'a [u8], lease: Duration) -> BoxFuture<'a, Result<Asked>> {
        Box::pin(async move {
            let now = self.clock.now();
            Ok(self.ask(key, now, ends(now, Some(lease.max(SHARED_LEASE_MIN)))))
        })
    }

    fn fill<'a>(
        &'a self,
        key: &'a [u8],
        value: &'a [u8],
        fill: Fill<'a>,
        grant: Grant,
    ) -> BoxFuture<'a, Result<Filled>> {
        Box::pin(async move { self.filled(key, value, fill, grant) })
    }

    fn put<'a>(&'a self, key: &'a [u8], value: &'a [u8], put: Put) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move { self.put_over(key, value, put) })
    }

    fn remove<'a>(
        &'a self,
        key: &'a [u8],
        version: Option<Version>,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Changed>> {
        Box::pin(async move {
            let changed = self.remove_over(key, version)?;
            if !hold.is_zero() && changed != Changed::Exists {
                self.hold(key, hold)?;
            }
            Ok(changed)
        })
    }

    fn remove_tag<'a>(&'a self, tag: &'a [u8]) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move { Err(failed(Kind::Unsupported, "remove entries with tag", tag)) })
    }

    fn add<'a>(&'a self, key: &'a [u8], addition: Addition) -> BoxFuture<'a, Result<Sum>> {
        Box::pin(async move { self.sum(key, addition) })
    }

    fn touch<'a>(&'a self, key: &'a [u8], life: Option<Duration>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(self.touched(key, life)) })
    }
}
