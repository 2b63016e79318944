//! Opening what a URL names. Nothing is begun, and no connection made, before the work runs.

use std::fmt;
use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::ports::broker::{Broker, BrokerAdmin};
use forebay_core::ports::bus::Bus;
use forebay_core::ports::clock::{Clock, Work};
use forebay_core::ports::remote_store::{RemoteCapabilities, RemoteStore};

use crate::backends::{Backend, Role};
use crate::url::{StoreUrl, Url};

const CHANGE_NODES: &str = "change nodes of store";

/// Closes what was opened, for everybody who uses it.
#[derive(Clone)]
pub struct Close(Arc<dyn Fn() + Send + Sync>);

impl Close {
    /// What `close` closes.
    pub fn new(close: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(close))
    }

    /// Closes it: every call is `Closed` from now on, and its work comes to its end. May repeat.
    pub fn close(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Close")
    }
}

/// Changes the nodes of a store that is open.
#[derive(Clone)]
pub struct Nodes(Arc<SetNodes>);

type SetNodes = dyn Fn(&str) -> Result<Vec<Work>> + Send + Sync;

impl Nodes {
    /// Nodes that `set` changes to those of a URL, and refuses one that differs in anything else.
    pub fn new(set: impl Fn(&str) -> Result<Vec<Work>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(set))
    }

    /// Goes on with the nodes of this URL, and returns what must run for new ones. All processes should be told at about the same
    /// time: until then they look for some keys on different nodes.
    ///
    /// `Invalid`: the URL, or something else than nodes differs in it. Nothing has changed then. `Closed`: the store is.
    pub fn set(&self, url: &Url) -> Result<Vec<Work>> {
        let refuse = |reason: Error| Error::new(reason.kind(), CHANGE_NODES, url.to_string()).because(reason);
        (self.0)(url.text()).map_err(refuse)
    }

    /// The refusal of a store whose nodes are not named by its URL, or that is not shared.
    pub fn lacking(url: &StoreUrl) -> Error {
        let why = "the nodes of memcached alone can be changed while it is open";
        Error::new(Kind::Unsupported, CHANGE_NODES, url.to_string()).because(why)
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nodes")
    }
}

/// A shared store.
pub struct OpenedStore {
    /// The store.
    pub store: Arc<dyn RemoteStore>,
    /// What it can have at most: what a server is set to, which shows with the first connection, may take something away.
    pub at_most: RemoteCapabilities,
    /// Its nodes, where they can be changed while it is open.
    pub nodes: Option<Nodes>,
    /// Keeps its connections.
    pub work: Vec<Work>,
    /// Ends it.
    pub close: Close,
}

impl OpenedStore {
    /// What a backend has opened, and how that is closed.
    pub fn of<S>(store: Arc<S>, at_most: RemoteCapabilities, work: Vec<Work>, close: fn(&S)) -> Self
    where
        S: RemoteStore + 'static,
    {
        Self { store: store.clone(), at_most, nodes: None, work, close: Close::new(move || close(&store)) }
    }
}

/// A broker.
pub struct OpenedBroker {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Its administration.
    pub admin: Arc<dyn BrokerAdmin>,
    /// Keeps its connections.
    pub work: Vec<Work>,
    /// Ends it.
    pub close: Close,
}

impl OpenedBroker {
    /// What a backend has opened, and how that is closed.
    pub fn of<B>(broker: Arc<B>, work: Vec<Work>, close: fn(&B)) -> Self
    where
        B: Broker + BrokerAdmin + 'static,
    {
        let (admin, closed) = (broker.clone(), broker.clone());
        Self { broker, admin, work, close: Close::new(move || close(&closed)) }
    }
}

/// A bus.
pub struct OpenedBus {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Keeps its connections.
    pub work: Vec<Work>,
    /// Ends it.
    pub close: Close,
}

impl OpenedBus {
    /// What a backend has opened, and how that is closed.
    pub fn of<B>(bus: Arc<B>, work: Vec<Work>, close: fn(&B)) -> Self
    where
        B: Bus + 'static,
    {
        Self { bus: bus.clone(), work, close: Close::new(move || close(&bus)) }
    }
}

/// The shared store that a URL names. Whether it is there shows when the work runs: until then, and whenever it is away,
/// its calls are `Unavailable`.
///
/// `Invalid`: the URL, or an option in it. `Unsupported`: the URL asks for what the backend of this build has not.
pub fn open_store(url: &Url, clock: Arc<dyn Clock>) -> Result<OpenedStore> {
    through(url, Role::Store, |backend| backend.built?.store, clock)
}

/// The broker that a URL names, as [`open_store`] opens stores.
pub fn open_broker(url: &Url, clock: Arc<dyn Clock>) -> Result<OpenedBroker> {
    through(url, Role::Broker, |backend| backend.built?.broker, clock)
}

/// The bus on what a broker's URL names, as [`open_store`] opens stores. `Unsupported` where that has none.
pub fn open_bus(url: &Url, clock: Arc<dyn Clock>) -> Result<OpenedBus> {
    through(url, Role::Bus, |backend| backend.built?.bus, clock)
}

fn through<T>(
    url: &Url,
    role: Role,
    door: impl Fn(&Backend) -> Option<fn(&str, Arc<dyn Clock>) -> Result<T>>,
    clock: Arc<dyn Clock>,
) -> Result<T> {
    let refuse = |kind| Error::new(kind, role.operation(), url.to_string());
    let backend = Backend::of(url.scheme());
    let door = backend.and_then(door).ok_or_else(|| {
        let name = backend.map_or(url.scheme(), |backend| backend.name);
        refuse(Kind::Unsupported).because(format!("{name} has none"))
    })?;
    door(url.text(), clock).map_err(|reason| refuse(reason.kind()).because(reason))
}

#[cfg(test)]
mod tests {
    use forebay_runtime::clock::TokioClock;

    use super::*;
    use crate::backends::TABLE;
    use crate::url::BrokerUrl;

    fn url(text: &str) -> Url {
        match (text.parse(), text.parse()) {
            (Ok(BrokerUrl::Shared(url)), _) | (_, Ok(StoreUrl::Shared(url))) => url,
            neither => panic!("{text}: {neither:?}"),
        }
    }

    #[test]
    fn a_bus_is_opened_where_there_is_one_and_refused_by_name_where_there_is_none() {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let mut refused = Vec::new();
        for backend in TABLE.iter().filter(|backend| backend.built.is_some()) {
            for text in backend.urls {
                let opened = open_bus(&url(text), Arc::clone(&clock)).map(|opened| opened.close.close());
                assert_eq!(opened.is_ok(), backend.roles.contains(&Role::Bus), "{text}: {opened:?}");
                refused.extend(opened.err());
            }
        }
        for error in &refused {
            assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        }
        let told: Vec<_> = refused.iter().map(ToString::to_string).collect();
        let sqs = "open bus sqs://us-east-1: not supported (SQS has none)".to_owned();
        assert_eq!(told.contains(&sqs), cfg!(feature = "sqs"), "{told:?}");
    }
}
