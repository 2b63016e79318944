//! Memcached: a shared store.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "Memcached",
    feature: "memcached",
    roles: &[Role::Store],
    urls: &["memcached://host"],
    tls: &[],
    built: built(),
};

#[cfg(not(feature = "memcached"))]
const fn built() -> Option<Built> {
    None
}

#[cfg(feature = "memcached")]
const fn built() -> Option<Built> {
    Some(Built { store: Some(door::store), broker: None, bus: None })
}

#[cfg(feature = "memcached")]
mod door {
    use std::sync::Arc;

    use forebay_core::error::Result;
    use forebay_core::ports::clock::Clock;
    use forebay_core::ports::remote_store::RemoteStore;
    use forebay_memcached_store::store::MemcachedStore;

    use crate::open::OpenedStore;

    pub(super) fn store(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedStore> {
        let (store, work) = MemcachedStore::new(url.parse()?, clock)?;
        let at_most = store.capabilities();
        Ok(OpenedStore::of(Arc::new(store), at_most, work, MemcachedStore::close))
    }
}
