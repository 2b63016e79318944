//! Redis: a shared store, queues on streams, and a bus.

use super::table::{Backend, Built, Role};

pub(super) const BACKEND: Backend = Backend {
    name: "Redis",
    feature: "redis",
    roles: &[Role::Store, Role::Broker, Role::Bus],
    urls: &["redis://host", "redis+sentinel://host/main", "redis-cluster://host"],
    tls: &["rediss"],
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

    use forebay_core::error::{Error, Kind, Result};
    use forebay_core::ports::clock::Clock;
    use forebay_redis::broker::RedisBroker;
    use forebay_redis::bus::{Kept, RedisBus};
    use forebay_redis::settings::Settings;
    use forebay_redis::store::RedisStore;

    use crate::open::{OpenedBroker, OpenedBus, OpenedStore};

    /// What only a broker can keep. A store would pass over it, and whoever wrote it would rely on it.
    const OF_BROKERS: [&str; 3] = ["durable", "patience_ms", "replicas"];

    pub(super) fn store(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedStore> {
        let options = url.split_once('?').map_or("", |(_, options)| options);
        let mut names = options.split('&').filter_map(|option| option.split('=').next());
        if let Some(name) = names.find(|name| OF_BROKERS.contains(name)) {
            let why = format!("{name} is an option of brokers, and a store cannot keep it");
            return Err(Error::new(Kind::Invalid, "read URL of Redis", why));
        }
        let (store, work) = forebay_redis::store::open(Settings::parse(url)?, clock);
        let at_most = store.capabilities_at_most();
        Ok(OpenedStore::of(store, at_most, vec![work], RedisStore::close))
    }

    pub(super) fn broker(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
        let (broker, work) = forebay_redis::broker::open(Settings::parse(url)?, clock)?;
        Ok(OpenedBroker::of(broker, work, RedisBroker::close))
    }

    pub(super) fn bus(url: &str, clock: Arc<dyn Clock>) -> Result<OpenedBus> {
        let (bus, work) = forebay_redis::bus::open(Settings::parse(url)?, Kept::default(), clock);
        Ok(OpenedBus::of(bus, work, RedisBus::close))
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use std::sync::Arc;

    use forebay_core::error::Kind;
    use forebay_core::ports::clock::Clock;
    use forebay_runtime::clock::TokioClock;

    use super::door;

    #[test]
    fn what_only_a_broker_keeps_is_refused_of_a_store_by_name() {
        let clock = || -> Arc<dyn Clock> { Arc::new(TokioClock::new()) };
        for option in ["replicas=1", "durable=always", "patience_ms=10"] {
            let url = format!("redis://h?prefix=shop&{option}");
            let refused = door::store(&url, clock()).err().unwrap();
            assert_eq!(refused.kind(), Kind::Invalid);
            let name = option.split('=').next().unwrap();
            assert!(refused.to_string().contains(&format!("{name} is an option of brokers")), "{refused}");
            assert!(door::broker(&url, clock()).is_ok(), "{url}");
        }
        assert!(door::store("redis://h?prefix=shop&timeout_ms=300", clock()).is_ok());
    }
}
