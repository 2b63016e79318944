//! A value that is not there: loaded by one, in this process and in all of them, and stored unless something overtook it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Mode, Version};
use forebay_core::error::{Kind, Result};
use forebay_core::limits::elsewhere::{
    SHARED_BUSY_PAUSE, SHARED_BUSY_WAIT_MAX, SHARED_LEASE, SHARED_NEGATIVE_LIFE,
};
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;
use forebay_core::ports::remote_store::{Asked, Fill, Grant, Put};

use super::cache::SharedCache;
use super::entry::{There, absence};
use crate::cache::check;
use crate::envelope;
use crate::flight::{Landing, Lead, Part, Waited};
use crate::get::result;

/// How what was loaded stays in the store.
#[derive(Clone, Copy)]
pub(super) struct Stay<'a> {
    /// `None` has no end.
    pub(super) life: Option<Duration>,
    /// What it can be removed by.
    pub(super) tags: &'a [&'a [u8]],
}

/// What a load may be stored under.
enum Right {
    /// The store's lease.
    Lease(Grant),
    /// Only over this version, whose time is over.
    Over(Version),
    /// It is not stored: somebody else loads too, or the store is away.
    Nothing,
}

/// What the store says to who would load.
enum Told {
    Known(Option<Payload>),
    Granted(Grant),
    /// What is there is over, and may be written over.
    Over(Version),
    /// Somebody else loads.
    Busy,
    Away,
}

impl SharedCache {
    /// The value, loaded if it is not there; `None` where the source has none, which is remembered for
    /// [`SHARED_NEGATIVE_LIFE`]. Of all who miss a key at one time one loads, in all processes, while that takes no longer than
    /// a second: after that whoever still waits loads too, and stores nothing. What was loaded is stored for `life` (`None`:
    /// without end), unless the key was written or deleted in the meantime. While the store is away
    /// values are loaded and not stored. Nobody is told what was read before another process changed the key, if that was done
    /// before this call: who finds a load of this process under way asks the store whether it still counts, and else loads anew.
    ///
    /// `Full`: more keys are being loaded, or more callers wait, than the limits allow. `Err` of the loader's kind: the
    /// source could not be asked. `Closed`, `Invalid`: as the store says.
    pub async fn get_or_load(
        &self,
        key: &[u8],
        life: Option<Duration>,
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        self.get_or_load_as(key, Stay { life, tags: &[] }, loader).await
    }

    pub(super) async fn get_or_load_as(
        &self,
        key: &[u8],
        stay: Stay<'_>,
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        check(key)?;
        let is_away = match self.look(key).await {
            Ok(there) => match there.known() {
                Some(known) => return Ok(known),
                None => false,
            },
            Err(error) if error.kind() == Kind::Unavailable => true,
            Err(error) => return Err(error),
        };
        let mut right = is_away.then_some(Right::Nothing);
        let mut waited = false;
        let lead = loop {
            let wait = match self.flights.join(key)? {
                Part::Lead(lead) => break lead,
                Part::Wait(wait) => wait,
            };
            // Another process may have changed the key since that load began. A second one has begun after this call.
            let late = wait.is_late() && !is_away && !waited;
            if late {
                match self.ask(key).await? {
                    Told::Known(known) => return Ok(known),
                    // It has: the lease of that load is void.
                    Told::Granted(grant) => {
                        right = Some(Right::Lease(grant));
                        break self.flights.begin_anew(key)?;
                    }
                    Told::Busy | Told::Over(_) | Told::Away => waited = true,
                }
            }
            match wait.await {
                Waited::Lead(lead) => break lead,
                Waited::Landed(landing) if !late || landing.is_err() => return result(key, landing),
                Waited::Landed(landing) => match self.look(key).await.map(|there| there.known()) {
                    Ok(Some(known)) => return Ok(known),
                    Ok(None) => {}
                    Err(error) if error.kind() == Kind::Unavailable => return result(key, landing),
                    Err(error) => return Err(error),
                },
            }
        };
        result(key, self.lead(lead, stay, loader, right).await)
    }

    /// Loads, under this right or the one that the store gives.
    async fn lead(&self, lead: Lead, stay: Stay<'_>, loader: &dyn Loader, right: Option<Right>) -> Landing {
        let landing = self.load(&lead, stay, loader, right).await.map_err(Arc::new);
        lead.land(landing.clone());
        landing
    }

    async fn load(
        &self,
        lead: &Lead,
        stay: Stay<'_>,
        loader: &dyn Loader,
        right: Option<Right>,
    ) -> Result<Option<Payload>> {
        let key = lead.key();
        let right = match right {
            Some(right) => right,
            None => match self.claim(key, stay).await? {
                ControlFlow::Break(known) => return Ok(known),
                ControlFlow::Continue(right) => right,
            },
        };
        lead.begins();
        let loaded = loader.load(key).await?;
        // The value is served whether it could be stored or not: a cache may forget anything.
        drop(self.keep(key, loaded.as_deref(), stay, right).await);
        Ok(loaded)
    }

    /// What is there by now, or the right to load it.
    async fn claim(&self, key: &[u8], stay: Stay<'_>) -> Result<ControlFlow<Option<Payload>, Right>> {
        let wait_until = self.clock.now() + SHARED_BUSY_WAIT_MAX;
        let mut pause = SHARED_BUSY_PAUSE;
        loop {
            let right = match self.ask(key).await? {
                Told::Known(known) => return Ok(ControlFlow::Break(known)),
                Told::Granted(grant) => Right::Lease(grant),
                // Only what is filled under a lease can have tags.
                Told::Over(version) if !stay.tags.is_empty() => {
                    match self.store.remove(key, Some(version), Duration::ZERO).await {
                        Ok(_) if self.clock.now() < wait_until => continue,
                        Err(error) if error.kind() != Kind::Unavailable => return Err(error),
                        _ => Right::Nothing,
                    }
                }
                Told::Over(version) => Right::Over(version),
                Told::Busy if self.clock.now() < wait_until => {
                    let wake = (self.clock.now() + pause).min(wait_until);
                    self.clock.sleep_until(wake).await;
                    pause *= 2;
                    continue;
                }
                Told::Busy | Told::Away => Right::Nothing,
            };
            return Ok(ControlFlow::Continue(right));
        }
    }

    async fn ask(&self, key: &[u8]) -> Result<Told> {
        Ok(match self.store.get_or_lease(key, SHARED_LEASE).await {
            Ok(Asked::Hit(shared)) => match There::of(Some(shared), self.clock.now()) {
                There::Value(value, _) => Told::Known(Some(value)),
                There::Absence(_) => Told::Known(None),
                There::Over(version) => Told::Over(version),
                There::Nothing => Told::Busy,
            },
            Ok(Asked::Granted(grant)) => Told::Granted(grant),
            Ok(Asked::Busy) => Told::Busy,
            Err(error) if error.kind() == Kind::Unavailable => Told::Away,
            Err(error) => return Err(error),
        })
    }

    async fn keep(&self, key: &[u8], loaded: Option<&[u8]>, stay: Stay<'_>, right: Right) -> Result<()> {
        let none = absence(self.clock.now());
        let (value, flags, life) = match loaded {
            Some(value) => (value, 0, stay.life),
            None => (none.as_slice(), envelope::FLAGS, Some(SHARED_NEGATIVE_LIFE)),
        };
        match right {
            Right::Lease(grant) => {
                self.store.fill(key, value, Fill { flags, life, tags: stay.tags }, grant).await.map(drop)
            }
            Right::Over(version) => {
                let put = Put { flags, life, mode: Mode::Set, version: Some(version) };
                self.store.put(key, value, put).await.map(drop)
            }
            Right::Nothing => Ok(()),
        }
    }
}
