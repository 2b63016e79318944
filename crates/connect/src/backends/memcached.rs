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

    use forebay_core::error::{Error, Kind, Result};
    use forebay_core::ports::clock::Clock;
    use forebay_core::ports::remote_store::RemoteStore;
    use forebay_memcached_store::settings::Settings;
    use forebay_memcached_store::store::MemcachedStore;

    use crate::open::{Nodes, OpenedStore};

    pub(super) fn store(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedStore> {
        let settings: Settings = url.parse()?;
        let (store, work) = MemcachedStore::new(settings.clone(), clock)?;
        let at_most = store.capabilities();
        let nodes = of(store.clone(), settings);
        let opened = OpenedStore::of(Arc::new(store), at_most, work, MemcachedStore::close);
        Ok(OpenedStore { nodes: Some(nodes), ..opened })
    }

    /// Its nodes, as long as nothing else than they is to change.
    fn of(store: MemcachedStore, settings: Settings) -> Nodes {
        Nodes::new(move |url| {
            let wanted: Settings = url.parse()?;
            if wanted != (Settings { nodes: wanted.nodes.clone(), ..settings.clone() }) {
                let why = "only nodes and weights may differ while it is open";
                return Err(Error::new(Kind::Invalid, "read memcached URL", why));
            }
            store.set_nodes(&wanted.nodes)
        })
    }
}

#[cfg(all(test, feature = "memcached"))]
mod tests {
    use std::sync::Arc;

    use forebay_core::error::Kind;
    use forebay_runtime::clock::TokioClock;

    use crate::open::open_store;
    use crate::url::{StoreUrl, Url};

    fn url(text: &str) -> Url {
        match text.parse() {
            Ok(StoreUrl::Shared(url)) => url,
            other => unreachable!("{text} is shared, not {other:?}"),
        }
    }

    #[test]
    fn nodes_alone_may_differ_while_it_is_open() {
        let opened = open_store(&url("memcached://a,b?timeout=250ms"), Arc::new(TokioClock::new())).unwrap();
        let nodes = opened.nodes.unwrap();
        assert_eq!(nodes.set(&url("memcached://b,c,d?timeout=250ms")).unwrap().len(), 2);
        for other in
            ["memcached://b", "memcached://b?timeout=250ms&failover=next", "memcached://?timeout=250ms"]
        {
            assert_eq!(nodes.set(&url(other)).err().unwrap().kind(), Kind::Invalid, "{other}");
        }
        opened.close.close();
        let refused = nodes.set(&url("memcached://a?timeout=250ms")).err().unwrap();
        assert_eq!(refused.kind(), Kind::Closed);
        assert!(refused.to_string().starts_with("change nodes of store memcached://a: "), "{refused}");
    }
}
