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
    ///
    /// ```
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// # let spawn = runner.clone();
    /// let load = |keys: Vec<Vec<u8>>| async move { Ok(keys.into_iter().map(|key| Some(key.into())).collect()) };
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let products = ReadThrough::batched(cache, spawn, Arc::new(load), options)?;
    /// let both = products.get_many(&["product:7", "product:8"]).await?;
    /// assert_eq!(both[1].as_deref(), Some(&b"product:8"[..]));
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Served>>> {
        self.get_many_with(keys, self.policy()).await
    }

    /// As [`get_many`](Self::get_many), by another policy.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use forebay_cache::{Policy, ReadThrough, ReadThroughOptions};
    /// # use forebay_contract::runner::Runner;
    /// # let runner = Runner::new();
    /// # runner.block_on(async {
    /// # use std::sync::Arc;
    /// # use forebay_memory::{Memory, MemoryOptions};
    /// # let first_version = forebay_core::entry::Version(1);
    /// # let memory = Memory::new(MemoryOptions { bytes_max: 1 << 20, value_bytes_max: 1 << 16, first_version });
    /// # let clock = forebay_contract::clock::SimClock::new(1);
    /// # let cache = Arc::new(forebay_cache::Cache::new(Arc::new(memory), Arc::new(clock.clone()), Default::default())?);
    /// # let spawn = runner.clone();
    /// let load = |keys: Vec<Vec<u8>>| async move { Ok(keys.into_iter().map(|key| Some(key.into())).collect()) };
    /// let options = ReadThroughOptions::new(Policy::default());
    /// let products = ReadThrough::batched(cache, spawn, Arc::new(load), options)?;
    /// let patient = Policy::default().hard_timeout(Duration::from_secs(120));
    /// let both = products.get_many_with(&["report:7", "report:8"], &patient).await?;
    /// # assert_eq!(both.len(), 2);
    /// # Ok::<(), forebay_core::error::Error>(())
    /// # }).unwrap();
    /// ```
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
