//! Many keys at once: what is not there is loaded in one batch.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::cache::BATCH_KEYS_MAX;
use forebay_core::payload::Payload;
use forebay_core::ports::loader::BatchLoader;

use crate::cache::{Cache, check};
use crate::fill::{Errand, Terms};
use crate::flight::{Lead, Part, Waited};
use crate::get::result;

impl Cache {
    /// The values in the order of the keys, `None` where the source has none. All that miss are loaded in one batch, except
    /// those that somebody else is loading: for these it waits. Otherwise as [`get_or_load`](Self::get_or_load).
    ///
    /// `TooLarge`: more than 10,000 keys. `Err` of the loader's kind: the source could not be asked, for some key at least.
    pub async fn get_many_or_load<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        ttl: Option<Duration>,
        loader: &dyn BatchLoader,
    ) -> Result<Vec<Option<Payload>>> {
        check_many(keys)?;
        let terms = self.terms(ttl);
        let (mut found, mut leads, mut waits) = (vec![None; keys.len()], Vec::new(), Vec::new());
        for (slot, key) in found.iter_mut().zip(keys) {
            match self.fresh(key.as_ref(), |value| Payload::from(value)) {
                Some(known) => *slot = known,
                None => {
                    let wait = match self.flights.join(key.as_ref())? {
                        Part::Wait(wait) => wait,
                        Part::Lead(lead) => {
                            let wait = lead.wait();
                            leads.push(lead);
                            wait
                        }
                    };
                    waits.push((slot, key.as_ref(), wait));
                }
            }
        }
        // What is ours to load comes before what is others': two batches that wait for each other both move on.
        self.load_many(leads, &terms, loader).await;
        let _waiting = self.counters.wait();
        for (slot, key, mut wait) in waits {
            *slot = loop {
                match wait.await {
                    Waited::Landed(landing) => break result(key, landing)?,
                    Waited::Lead(lead) => {
                        wait = lead.wait();
                        self.load_many(vec![lead], &terms, loader).await;
                    }
                }
            };
        }
        Ok(found)
    }

    async fn load_many(&self, leads: Vec<Lead>, terms: &Terms, loader: &dyn BatchLoader) {
        let errands: Vec<Errand> = leads
            .into_iter()
            .filter_map(|lead| match self.claim(lead, |opened, now| opened.is_fresh(now)) {
                ControlFlow::Continue(errand) => Some(errand),
                ControlFlow::Break(_) => None,
            })
            .collect();
        if errands.is_empty() {
            return;
        }
        let begun = self.load_begun();
        let loaded = ask(loader, &errands).await.map_err(Arc::new);
        self.load_ended(begun, loaded.is_err());
        self.settle_many(errands, loaded, terms);
    }

    /// Settles every errand with its part of the answer.
    fn settle_many(
        &self,
        errands: Vec<Errand>,
        loaded: std::result::Result<Vec<Option<Payload>>, Arc<Error>>,
        terms: &Terms,
    ) {
        match loaded {
            Ok(values) => {
                for (errand, value) in errands.into_iter().zip(values) {
                    self.settle(errand, Ok(value), terms);
                }
            }
            Err(error) => {
                for errand in errands {
                    self.settle(errand, Err(error.clone()), terms);
                }
            }
        }
    }
}

/// Asks for all keys at once; an answer that leaves some out is none.
pub(crate) async fn ask(loader: &dyn BatchLoader, errands: &[Errand]) -> Result<Vec<Option<Payload>>> {
    let keys: Vec<&[u8]> = errands.iter().map(Errand::key).collect();
    let values = loader.load_many(&keys).await?;
    if values.len() != keys.len() {
        let answered = format!("{} keys, answered for {}", keys.len(), values.len());
        return Err(Error::new(Kind::Invalid, "load a batch of", answered));
    }
    Ok(values)
}

pub(crate) fn check_many<K: AsRef<[u8]>>(keys: &[K]) -> Result<()> {
    if keys.len() > BATCH_KEYS_MAX {
        return Err(Error::new(Kind::TooLarge, "get at once", format!("{} keys", keys.len())));
    }
    keys.iter().try_for_each(|key| check(key.as_ref()))
}
