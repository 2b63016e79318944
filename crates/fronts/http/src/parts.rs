//! What the front is given, and what its handlers share.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::local_store::LocalStore;
use forebay_core::ports::pledges::Pledges;
use forebay_core::ports::remote_store::RemoteStore;
use forebay_core::pressure::Pressure;
use forebay_core::stats::{ConnectionStats, PinnedStats};
use forebay_core::time::Instant;
use forebay_log::Log;
use forebay_queue::queues::Queues;
use tokio::sync::watch;

use crate::body::Budget;

/// How the front is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Connections beyond this many are turned away.
    pub connections_max: usize,
    /// Bytes that request bodies may take, all connections together; beyond it they are refused for now.
    pub bodies_bytes_max: usize,
    /// The store's largest value: a longer body is refused before it is read.
    pub value_bytes_max: usize,
}

impl Options {
    /// The defaults on this address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connections_max: limits::CONNECTIONS_DEFAULT,
            bodies_bytes_max: limits::http::BODIES_BYTES_MAX,
            value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT,
        }
    }
}

/// Another front, as the metrics show it.
#[derive(Clone)]
pub struct Front {
    /// Its label.
    pub name: &'static str,
    /// Its connections.
    pub connections: Arc<ConnectionStats>,
}

/// Where values at hand are.
#[derive(Clone)]
pub enum Cached {
    /// In the memory of this process, and what is pinned beside it.
    Local(Arc<dyn Pledges>),
    /// In a store that many processes share.
    Shared {
        /// That store, through this process's copies of it.
        store: Arc<dyn RemoteStore>,
        /// The memory of the copies, for its state.
        copies: Arc<dyn LocalStore>,
    },
}

impl Cached {
    /// The memory of this process: all there is, or the copies.
    pub(crate) fn memory(&self) -> &dyn LocalStore {
        match self {
            Self::Local(store) => &**store,
            Self::Shared { copies, .. } => &**copies,
        }
    }

    /// The state of what is pinned, where something can be.
    pub(crate) fn pinned(&self) -> Option<PinnedStats> {
        match self {
            Self::Local(store) => store.pinned(),
            Self::Shared { .. } => None,
        }
    }
}

/// What the front translates to.
#[derive(Clone)]
pub struct Parts {
    /// Publish, receive, settle.
    pub queues: Queues,
    /// Looking after queues.
    pub admin: Arc<dyn BrokerAdmin>,
    /// Values at hand.
    pub cache: Cached,
    /// The commit log, for its state; none where the queues are elsewhere.
    pub log: Option<Log>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How far memory pressure has come.
    pub pressure: Arc<Pressure>,
    /// What is broken in this process.
    pub health: Arc<Health>,
    /// The other fronts.
    pub fronts: Vec<Front>,
    /// The version of this build.
    pub version: &'static str,
}

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) connections: Arc<ConnectionStats>,
    pub(crate) value_bytes_max: usize,
    pub(crate) started_at: Instant,
    pub(crate) bodies: Budget,
    /// Turns true when the front shall stop.
    pub(crate) stop: watch::Receiver<bool>,
}

impl Shared {
    /// Is ready when the front shall stop; also when whoever could say so is gone.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the sender is gone, which is a stop as well.
        let _gone = stop.wait_for(|stop| *stop).await;
    }
}
