//! How the front is set up, and what it is given.

use std::net::SocketAddr;
use std::sync::Arc;

use forebay_broker::EmbeddedBroker;
use forebay_core::health::Health;
use forebay_core::limits;
use forebay_core::ports::clock::Clock;
use forebay_core::pressure::Pressure;

use crate::access::user::Directory;

/// How the front is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Connections beyond this many are turned away.
    pub connections_max: usize,
    /// The users and virtual hosts.
    pub directory: Arc<Directory>,
}

impl Options {
    /// The defaults on this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connections_max: limits::CONNECTIONS_DEFAULT, directory: Arc::default() }
    }
}

/// What the front translates to.
#[derive(Clone)]
pub struct Parts {
    /// Queues.
    pub broker: Arc<EmbeddedBroker>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How far the memory of queues has come.
    pub pressure: Arc<Pressure>,
    /// What is broken in this process.
    pub health: Arc<Health>,
    /// The version of this build, which clients are told.
    pub version: &'static str,
}
