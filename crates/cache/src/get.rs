//! The path of a read: hit, else flight, else load.

use std::error::Error as StdError;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::entry::Read;
use forebay_core::error::{Error, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::loader::Loader;
use forebay_core::time::Instant;

use crate::cache::{Cache, check, printable};
use crate::envelope::{self, Opened};
use crate::fill::Terms;
use crate::flight::{Landing, Lead, Part, Waited};

impl Cache {
    /// A copy of the value, if it is there and fresh.
    pub fn get(&self, key: &[u8]) -> Option<Payload> {
        self.get_with(key, |value| Payload::from(value))
    }

    /// What `visit` makes of the value, if it is there and fresh; nothing is allocated or copied. `visit` runs under a lock of
    /// the store: it must be short and must not use the cache.
    pub fn get_with<R>(&self, key: &[u8], visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.fresh(key, visit).flatten()
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
        if let Some(known) = self.fresh(key, |value| Payload::from(value)) {
            return Ok(known);
        }
        let lead = match self.flights.join(key)? {
            Part::Lead(lead) => lead,
            Part::Wait(wait) => {
                let _waiting = self.counters.wait();
                match wait.await {
                    Waited::Landed(landing) => return result(key, landing),
                    Waited::Lead(lead) => lead,
                }
            }
        };
        result(key, self.load(lead, &self.terms(ttl), loader).await)
    }

    async fn load(&self, lead: Lead, terms: &Terms, loader: &dyn Loader) -> Landing {
        let errand = match self.claim(lead, |opened, now| opened.is_fresh(now)) {
            ControlFlow::Continue(errand) => errand,
            ControlFlow::Break(landing) => return landing,
        };
        let begun = self.load_begun();
        let loaded = loader.load(errand.key()).await.map_err(Arc::new);
        self.load_ended(begun, loaded.is_err());
        self.settle(errand, loaded.clone(), terms);
        loaded
    }

    /// What is known of the key without asking the source: a fresh value, or that there is none; `None` is a miss. Counted.
    pub(crate) fn fresh<R>(&self, key: &[u8], visit: impl FnOnce(&[u8]) -> R) -> Option<Option<R>> {
        let now = self.clock.recent();
        let known = self.look(key, true, now, |opened| opened.is_fresh(now).then(|| opened.value.map(visit)));
        let known = known.flatten();
        match &known {
            Some(Some(_)) => self.counters.hits.add(),
            Some(None) => self.counters.negative_hits.add(),
            None => self.counters.misses.add(),
        }
        known
    }

    /// Shows an entry, fresh or not. `counts`: for the policy of eviction and the store's statistics.
    pub(crate) fn look<R>(
        &self,
        key: &[u8],
        counts: bool,
        now: Instant,
        visit: impl FnOnce(Opened<'_>) -> R,
    ) -> Option<R> {
        if check(key).is_err() {
            return None;
        }
        let (mut visit, mut shown) = (Some(visit), None);
        self.store.read(key, Read { counts, ..Read::at(now) }, &mut |view| {
            if let Some(opened) = envelope::open(&view) {
                shown = visit.take().map(|visit| visit(opened));
            }
        });
        shown
    }

    pub(crate) fn load_begun(&self) -> Instant {
        self.counters.load_begun();
        self.clock.now()
    }

    pub(crate) fn load_ended(&self, begun: Instant, failed: bool) {
        self.counters.load_ended(self.clock.now().since(begun), failed);
    }
}

/// One caller's own copy of a result that many share.
pub(crate) fn result(key: &[u8], landing: Landing) -> Result<Option<Payload>> {
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
