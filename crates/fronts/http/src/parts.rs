//! What the front is given, and what its handlers share.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::pledges::Pledges;
use forebay_core::pressure::Pressure;
use forebay_core::stats::ConnectionStats;
use forebay_core::time::Instant;
use forebay_log::Log;
use forebay_queue::queues::Queues;
use tokio::sync::watch;

use crate::body::Budget;
use crate::errors::{Answer, Refused};

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
            bodies_bytes_max: limits::HTTP_BODIES_BYTES_MAX,
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

/// What the front translates to.
#[derive(Clone)]
pub struct Parts {
    /// Publish, receive, settle.
    pub queues: Queues,
    /// Looking after queues.
    pub admin: Arc<dyn BrokerAdmin>,
    /// The cache, and what is pinned beside it.
    pub store: Arc<dyn Pledges>,
    /// The commit log, for its state.
    pub log: Log,
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
    /// To be awaited before anybody is told of this key.
    pub(crate) async fn may_tell(&self, key: &str) -> Answer<()> {
        let Some(pledge) = self.parts.store.pledge(key.as_bytes()) else { return Ok(()) };
        self.parts.store.kept(pledge).await.map_err(|error| {
            let what = format!("answer for key {key}, which may or may not have changed: {error}");
            Refused::for_now(StatusCode::SERVICE_UNAVAILABLE, what)
        })
    }

    /// Is ready when the front shall stop; also when whoever could say so is gone.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the sender is gone, which is a stop as well.
        let _gone = stop.wait_for(|stop| *stop).await;
    }
}
