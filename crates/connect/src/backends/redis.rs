//! Redis: a shared store, queues on streams, and a bus.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "Redis",
    feature: "redis",
    roles: &[Role::Store, Role::Broker, Role::Bus],
    urls: &["redis://host", "redis+sentinel://host/main", "redis-cluster://host"],
    built: built(),
};

#[cfg(not(feature = "redis"))]
const fn built() -> Option<Built> {
    None
}

#[cfg(feature = "redis")]
const fn built() -> Option<Built> {
    Some(Built { store: Some(door::store), broker: Some(door::broker), bus: Some(door::bus) })
}

#[cfg(feature = "redis")]
mod door {
    use std::sync::Arc;

    use forebay_core::error::Result;
    use forebay_core::ports::clock::Clock;
    use forebay_redis::bus::Kept;
    use forebay_redis::settings::Settings;

    use crate::open::{Close, OpenedBroker, OpenedBus, OpenedStore};

    pub(super) fn store(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedStore> {
        let (store, work) = forebay_redis::store::open(Settings::parse(url)?, clock);
        let closed = Arc::clone(&store);
        Ok(OpenedStore { store, work: vec![work], close: Close::new(move || closed.close()) })
    }

    pub(super) fn broker(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
        let (broker, work) = forebay_redis::broker::open(Settings::parse(url)?, clock)?;
        let closed = Arc::clone(&broker);
        let admin = Arc::clone(&broker);
        Ok(OpenedBroker { broker, admin, work, close: Close::new(move || closed.close()) })
    }

    pub(super) fn bus(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBus> {
        let (bus, work) = forebay_redis::bus::open(Settings::parse(url)?, Kept::default(), clock);
        let closed = Arc::clone(&bus);
        Ok(OpenedBus { bus, work, close: Close::new(move || closed.close()) })
    }
}
