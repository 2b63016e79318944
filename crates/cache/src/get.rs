//! The path of a read: hit, else flight, else load.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::{Read, State};
use forebay_core::error::{Error, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;

use crate::cache::{Cache, check, printable};
use crate::flight::{Landing, Lead, Part, Waited};

impl Cache {
    /// A copy of the value, if it is there.
    pub fn get(&self, key: &[u8]) -> Option<Payload> {
        self.get_with(key, |value| Payload::from(value))
    }

    /// What `visit` makes of the value, if it is there; nothing is allocated or copied. `visit` runs under a lock of the store:
    /// it must be short and must not use the cache.
    pub fn get_with<R>(&self, key: &[u8], visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.look(key, true, visit)
    }

    /// The value, loaded if it is not there; `None` where the source has none. Of all who miss a key at one time one loads,
    /// and the others get the same result, an error included. The load runs in this future; dropping it passes the load on to
    /// another caller who waits. What was loaded is stored for `ttl` (`None`: without end), unless the key was written or
    /// invalidated in the meantime.
    ///
    /// `Full`: more keys are being loaded, or more callers wait, than the limits allow. `Err` of the loader's kind: the
    /// source could not be asked.
    pub async fn get_or_load(
        &self,
        key: &[u8],
        ttl: Option<Duration>,
        loader: &dyn Loader,
    ) -> Result<Option<Payload>> {
        check(key)?;
        if let Some(value) = self.get(key) {
            return Ok(Some(value));
        }
        let lead = match self.flights.join(key)? {
            Part::Lead(lead) => lead,
            Part::Wait(wait) => match wait.await {
                Waited::Landed(landing) => return result(key, landing),
                Waited::Lead(lead) => lead,
            },
        };
        self.load(key, ttl, loader, lead).await
    }

    async fn load(
        &self,
        key: &[u8],
        ttl: Option<Duration>,
        loader: &dyn Loader,
        lead: Lead<'_>,
    ) -> Result<Option<Payload>> {
        // The lease comes first: whatever changes from here on makes the fill void, and what came before is seen by the look,
        // be it a flight that landed between the miss and the lead or a value that was set.
        let lease = self.store.lease(key);
        if let Some(value) = self.look(key, false, |value| Payload::from(value)) {
            lead.land(Ok(Some(value.clone())));
            return Ok(Some(value));
        }
        let landing = loader.load(key).await.map_err(Arc::new);
        if let Ok(Some(value)) = &landing {
            self.fill(key, value, ttl, lease);
        }
        lead.land(landing.clone());
        result(key, landing)
    }

    /// Shows a fresh value.
    fn look<R>(&self, key: &[u8], counts: bool, visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if check(key).is_err() {
            return None;
        }
        let (mut visit, mut shown) = (Some(visit), None);
        self.store.read(key, Read { counts, ..Read::at(self.clock.now()) }, &mut |view| {
            if view.state == State::Fresh {
                shown = visit.take().map(|visit| visit(view.value));
            }
        });
        shown
    }
}

/// One caller's own copy of a result that many share.
fn result(key: &[u8], landing: Landing) -> Result<Option<Payload>> {
    landing.map_err(|cause| Error::new(cause.kind(), "load key", printable(key)).because(Shared(cause)))
}

/// An error that several callers have in common.
#[derive(Debug)]
struct Shared(Arc<Error>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
