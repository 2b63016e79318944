//! A shared cache as its callers hold it.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Mode, Step, Version};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::elsewhere::SHARED_CHANGE_TRIES_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{
    Addition, Changed, Put, RemoteCapabilities, RemoteStore, Shared, Sum,
};

use super::entry::There;
use crate::cache::{check, printable};
use crate::flight::Flights;

/// A store that many processes share, or the memory of this one behind the same port.
///
/// Every call may fail as `Unavailable`: the store is away, and a change may have happened or not. Lives are kept to the
/// second, rounded up. That a source has no value is remembered beside the values; to everything but a load it is as if there
/// were nothing.
#[derive(Clone)]
pub struct SharedCache {
    pub(super) store: Arc<dyn RemoteStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) flights: Arc<Flights>,
}

impl SharedCache {
    /// A cache on this store.
    pub fn new(store: Arc<dyn RemoteStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, flights: Arc::default() }
    }

    /// What the store can do.
    pub fn capabilities(&self) -> RemoteCapabilities {
        self.store.capabilities()
    }

    /// The value.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Payload>> {
        Ok(self.get_versioned(key).await?.map(|(value, _)| value))
    }

    /// The value and its version, for [`replace_version`](Self::replace_version).
    pub async fn get_versioned(&self, key: &[u8]) -> Result<Option<(Payload, Version)>> {
        check(key)?;
        Ok(self.look(key).await?.value())
    }

    /// The values of many keys, in their order, asked for at once. `Err` of the first key that could not be read.
    pub async fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Payload>>> {
        keys.iter().try_for_each(|key| check(key))?;
        let answers = self.store.get(keys).await.into_iter();
        let now = self.clock.now();
        answers.map(|answer| Ok(There::of(answer?, now).value().map(|(value, _)| value))).collect()
    }

    /// Stores a value, whatever was there. Loads that began before can no longer store theirs, and nobody here joins them.
    pub async fn set(&self, key: &[u8], value: &[u8], life: Option<Duration>) -> Result<()> {
        let put = Put { flags: 0, life, mode: Mode::Set, version: None };
        self.put(key, value, put).await.map(drop)
    }

    /// Stores a value where there is none. False: there is one.
    pub async fn add(&self, key: &[u8], value: &[u8], life: Option<Duration>) -> Result<bool> {
        let put = Put { flags: 0, life, mode: Mode::Add, version: None };
        for _ in 0..SHARED_CHANGE_TRIES_MAX {
            if let Changed::Done(_) = self.put(key, value, put).await? {
                return Ok(true);
            }
            match self.look(key).await? {
                There::Value(..) => return Ok(false),
                There::Absence(version) | There::Over(version) => {
                    let over = Put { mode: Mode::Set, version: Some(version), ..put };
                    if let Changed::Done(_) = self.put(key, value, over).await? {
                        return Ok(true);
                    }
                }
                There::Nothing => {}
            }
        }
        Err(contended(key))
    }

    /// Stores a value where there is one. False: there is none.
    pub async fn replace(&self, key: &[u8], value: &[u8], life: Option<Duration>) -> Result<bool> {
        for _ in 0..SHARED_CHANGE_TRIES_MAX {
            let Some((_, version)) = self.get_versioned(key).await? else { return Ok(false) };
            if self.replace_version(key, value, version, life).await? {
                return Ok(true);
            }
        }
        Err(contended(key))
    }

    /// Stores a value over exactly this version. False: another one is there, or none.
    pub async fn replace_version(
        &self,
        key: &[u8],
        value: &[u8],
        version: Version,
        life: Option<Duration>,
    ) -> Result<bool> {
        let put = Put { flags: 0, life, mode: Mode::Set, version: Some(version) };
        Ok(matches!(self.put(key, value, put).await?, Changed::Done(_)))
    }

    /// Removes what is there. Loads that began before can no longer store theirs, and nobody here joins them. May repeat.
    pub async fn delete(&self, key: &[u8]) -> Result<()> {
        check(key)?;
        let removed = self.store.remove(key, None, Duration::ZERO).await;
        self.flights.detach(key);
        removed.map(drop)
    }

    /// Changes a number kept as decimal text; where there is none it begins with `first`, for `life`, if there is a `first`.
    /// `None`: there is none. Up wraps at 2^64, down stops at 0. `Conflict`: what is there is not a number.
    pub async fn count(
        &self,
        key: &[u8],
        step: Step,
        delta: u64,
        first: Option<(u64, Option<Duration>)>,
    ) -> Result<Option<u64>> {
        check(key)?;
        for _ in 0..SHARED_CHANGE_TRIES_MAX {
            let sum = self.store.add(key, Addition { delta, step, create: first }).await;
            self.flights.detach(key);
            match sum? {
                Sum::Number(number) => return Ok(Some(number)),
                Sum::NotFound => return Ok(None),
                Sum::NotNumber => {}
            }
            match (self.look(key).await?, first) {
                (There::Value(..), _) => {
                    return Err(Error::new(Kind::Conflict, "count key", printable(key))
                        .because("what is there is not a number"));
                }
                (There::Absence(_) | There::Over(_), None) => return Ok(None),
                (There::Absence(version) | There::Over(version), Some((number, life))) => {
                    let text = number.to_string();
                    if self.replace_version(key, text.as_bytes(), version, life).await? {
                        return Ok(Some(number));
                    }
                }
                (There::Nothing, _) => {}
            }
        }
        Err(contended(key))
    }

    /// Gives the value a new life from now. False: there is none.
    pub async fn touch(&self, key: &[u8], life: Option<Duration>) -> Result<bool> {
        if self.get_versioned(key).await?.is_none() {
            return Ok(false);
        }
        // What came in between and says that there is none says so until its own time, whatever its life is.
        self.store.touch(key, life).await
    }

    /// What is at the key's place.
    pub(super) async fn look(&self, key: &[u8]) -> Result<There> {
        let keys = [key];
        let answer: Option<Result<Option<Shared>>> = self.store.get(&keys).await.pop();
        Ok(There::of(answer.transpose()?.flatten(), self.clock.now()))
    }

    async fn put(&self, key: &[u8], value: &[u8], put: Put) -> Result<Changed> {
        check(key)?;
        let changed = self.store.put(key, value, put).await;
        self.flights.detach(key);
        changed
    }
}

fn contended(key: &[u8]) -> Error {
    Error::new(Kind::Unavailable, "change key", printable(key)).because("others change it all the time")
}
