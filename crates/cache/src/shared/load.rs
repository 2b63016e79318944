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

/// What a load may be stored under.
enum Right {
    /// The store's lease.
    Lease(Grant),
    /// Only over this version, whose time is over.
    Over(Version),
    /// It is not stored: somebody else loads too, or the store is away.
    Nothing,
}

impl SharedCache {
    /// The value, loaded if it is not there; `None` where the source has none, which is remembered for
    /// [`SHARED_NEGATIVE_LIFE`]. Of all who miss a key at one time one loads, in all processes, while that takes no longer than
    /// a second: after that whoever still waits loads too, and stores nothing. What was loaded is stored for `life` (`None`:
    /// without end), unless the key was written or deleted in the meantime. While the store is away
    /// values are loaded and not stored. Who waits for a load of this process is told what it has read: what another process has
    /// changed since the load began may not be in that.
    ///
    /// `Full`: more keys are being loaded, or more callers wait, than the limits allow. `Err` of the loader's kind: the
    /// source could not be asked. `Closed`, `Invalid`: as the store says.
    pub async fn get_or_load(
        &self,
        key: &[u8],
        life: Option<Duration>,
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
        let lead = match self.flights.join(key)? {
            Part::Lead(lead) => lead,
            Part::Wait(wait) => match wait.await {
                Waited::Landed(landing) => return result(key, landing),
                Waited::Lead(lead) => lead,
            },
        };
        result(key, self.lead(lead, life, loader, is_away).await)
    }

    async fn lead(&self, lead: Lead, life: Option<Duration>, loader: &dyn Loader, is_away: bool) -> Landing {
        let landing = self.load(lead.key(), life, loader, is_away).await.map_err(Arc::new);
        lead.land(landing.clone());
        landing
    }

    async fn load(
        &self,
        key: &[u8],
        life: Option<Duration>,
        loader: &dyn Loader,
        is_away: bool,
    ) -> Result<Option<Payload>> {
        let right = match is_away {
            true => Right::Nothing,
            false => match self.claim(key).await? {
                ControlFlow::Break(known) => return Ok(known),
                ControlFlow::Continue(right) => right,
            },
        };
        let loaded = loader.load(key).await?;
        // The value is served whether it could be stored or not: a cache may forget anything.
        drop(self.keep(key, loaded.as_deref(), life, right).await);
        Ok(loaded)
    }

    /// What is there by now, or the right to load it.
    async fn claim(&self, key: &[u8]) -> Result<ControlFlow<Option<Payload>, Right>> {
        let wait_until = self.clock.now() + SHARED_BUSY_WAIT_MAX;
        let mut pause = SHARED_BUSY_PAUSE;
        loop {
            let right = match self.store.get_or_lease(key, SHARED_LEASE).await {
                Ok(Asked::Hit(shared)) => {
                    let there = There::of(Some(shared), self.clock.now());
                    if let Some(known) = there.known() {
                        return Ok(ControlFlow::Break(known));
                    }
                    match there {
                        There::Over(version) => Right::Over(version),
                        There::Nothing | There::Absence(_) | There::Value(..) => Right::Nothing,
                    }
                }
                Ok(Asked::Granted(grant)) => Right::Lease(grant),
                Ok(Asked::Busy) if self.clock.now() < wait_until => {
                    let wake = (self.clock.now() + pause).min(wait_until);
                    self.clock.sleep_until(wake).await;
                    pause *= 2;
                    continue;
                }
                Ok(Asked::Busy) => Right::Nothing,
                Err(error) if error.kind() == Kind::Unavailable => Right::Nothing,
                Err(error) => return Err(error),
            };
            return Ok(ControlFlow::Continue(right));
        }
    }

    async fn keep(
        &self,
        key: &[u8],
        loaded: Option<&[u8]>,
        life: Option<Duration>,
        right: Right,
    ) -> Result<()> {
        let none = absence(self.clock.now());
        let (value, flags, life) = match loaded {
            Some(value) => (value, 0, life),
            None => (none.as_slice(), envelope::FLAGS, Some(SHARED_NEGATIVE_LIFE)),
        };
        match right {
            Right::Lease(grant) => {
                self.store.fill(key, value, Fill { flags, life, tags: &[] }, grant).await.map(drop)
            }
            Right::Over(version) => {
                let put = Put { flags, life, mode: Mode::Set, version: Some(version) };
                self.store.put(key, value, put).await.map(drop)
            }
            Right::Nothing => Ok(()),
        }
    }
}
