//! Many keys at once through a source.

use std::sync::Arc;

use forebay_core::error::Result;

use crate::flight::Part;
use crate::many::check_many;
use crate::through::policy::Policy;
use crate::through::read_through::{Plan, ReadThrough};
use crate::through::served::Served;

impl ReadThrough {
    /// The values in the order of the keys, `None` where the source has none. What must be loaded is loaded in one batch, if
    /// the source takes batches, else each by itself at the same time; what somebody else is loading is waited for.
    ///
    /// `TooLarge`: more than 10,000 keys. Otherwise as [`get`](Self::get), for some key at least.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Served>>> {
        self.get_many_with(keys, self.policy()).await
    }

    /// As [`get_many`](Self::get_many), by another policy.
    pub async fn get_many_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        policy: &Policy,
    ) -> Result<Vec<Option<Served>>> {
        check_many(keys)?;
        policy.check()?;
        let inner: &Arc<_> = &self.inner;
        let mut found = vec![None; keys.len()];
        let (mut ending, mut leads, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, key) in found.iter_mut().zip(keys.iter().map(K::as_ref)) {
            match inner.plan(key, policy) {
                Plan::Serve(served) => *slot = served,
                Plan::ServeAndRefresh(served) => {
                    ending.push(key);
                    *slot = served;
                }
                Plan::Load(fallback) => match inner.cache.flights.join(key) {
                    Ok(Part::Wait(wait)) => waits.push((slot, key, wait, fallback)),
                    Ok(Part::Lead(lead)) => {
                        waits.push((slot, key, lead.wait(), fallback));
                        leads.push(lead);
                    }
                    Err(error) => *slot = inner.fall_back(fallback, error)?,
                },
            }
        }
        inner.start(leads, policy);
        inner.refresh(&ending, policy);
        let started = inner.cache.clock.now();
        for (slot, key, wait, fallback) in waits {
            *slot = inner.wait(key, wait, policy, started, fallback).await?;
        }
        Ok(found)
    }
}
