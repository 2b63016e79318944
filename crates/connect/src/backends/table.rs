//! What is known of every backend, whether this build has it or not.

use std::sync::Arc;

use forebay_core::error::Result;
use forebay_core::ports::clock::Clock;

use super::{kafka, memcached, rabbitmq, redis, sqs};
use crate::open::{OpenedBroker, OpenedBus, OpenedStore};

/// All of them, in the order in which they are told.
pub(crate) const TABLE: &[Backend] =
    &[memcached::BACKEND, redis::BACKEND, rabbitmq::BACKEND, kafka::BACKEND, sqs::BACKEND];

pub(crate) type OpenStore = fn(&str, Arc<dyn Clock>) -> Result<OpenedStore>;
pub(crate) type OpenBroker = fn(&str, Arc<dyn Clock>) -> Result<OpenedBroker>;
pub(crate) type OpenBus = fn(&str, Arc<dyn Clock>) -> Result<OpenedBus>;

/// What a URL is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Store,
    Broker,
    Bus,
}

impl Role {
    /// The operation that its errors name.
    pub(crate) const fn operation(self) -> &'static str {
        match self {
            Self::Store => "open store",
            Self::Broker => "open broker",
            Self::Bus => "open bus",
        }
    }
}

/// One backend.
pub(crate) struct Backend {
    /// What its users call it.
    pub(crate) name: &'static str,
    /// The feature of the build that brings it.
    pub(crate) feature: &'static str,
    /// What it is used as, in any build.
    pub(crate) roles: &'static [Role],
    /// A URL of each of its schemes, as short as it can be.
    pub(crate) urls: &'static [&'static str],
    /// Its schemes with TLS, which no build has.
    pub(crate) tls: &'static [&'static str],
    /// How it is opened, in a build that has it: with nothing begun and no connection made.
    pub(crate) built: Option<Built>,
}

/// The doors of a backend that this build has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Built {
    pub(crate) store: Option<OpenStore>,
    pub(crate) broker: Option<OpenBroker>,
    pub(crate) bus: Option<OpenBus>,
}

impl Backend {
    /// The backend of a scheme.
    pub(crate) fn of(scheme: &str) -> Option<&'static Self> {
        TABLE.iter().find(|backend| backend.schemes().any(|known| known == scheme))
    }

    /// Its schemes.
    pub(crate) fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.urls.iter().filter_map(|url| url.split_once("://")).map(|(scheme, _)| scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_one_backends() {
        let schemes: Vec<_> = TABLE.iter().flat_map(Backend::schemes).collect();
        assert_eq!(schemes.len(), TABLE.iter().map(|backend| backend.urls.len()).sum::<usize>());
        for scheme in &schemes {
            assert_eq!(schemes.iter().filter(|known| *known == scheme).count(), 1, "{scheme}");
        }
    }

    #[test]
    fn a_backend_of_this_build_has_a_door_for_everything_that_it_is_used_as() {
        for backend in TABLE {
            let Some(Built { store, broker, bus }) = backend.built else { continue };
            for (role, built) in
                [(Role::Store, store.is_some()), (Role::Broker, broker.is_some()), (Role::Bus, bus.is_some())]
            {
                assert_eq!(backend.roles.contains(&role), built, "{} as {role:?}", backend.name);
            }
        }
    }
}
