//! The way orders take: AMQP on the daemon's own queues, or HTTP on the broker that it was given.

use std::sync::Arc;

use forebay_core::error::Result;
use tokio::sync::watch;

use super::incoming::QueueInlet;
use super::orders::{self, HttpInlet, HttpOutlet};
use super::outgoing::QueueOutlet;
use super::{depth, session};
use crate::demo::daemon::Addresses;
use crate::demo::traffic::orders::Order;
use crate::demo::traffic::publisher::Outlet;
use crate::demo::traffic::workers::Inlet;

/// Where the HTTP API has the queue of the AMQP clients.
const AMQP_QUEUE: &str = "/v1/queues/orders";

/// One of the two.
#[derive(Clone)]
pub(in crate::demo) enum Way {
    Amqp,
    /// With the path of the queue, which is this run's own: the broker may have been there before.
    Http(Arc<str>),
}

impl Way {
    /// Over HTTP, to a queue for this run alone.
    pub(in crate::demo) fn http(run: &str) -> Self {
        Self::Http(format!("/v1/queues/{run}-orders").into())
    }

    /// Declares the queue.
    pub(in crate::demo) async fn declare(&self, addresses: watch::Receiver<Addresses>) -> Result<()> {
        match self {
            Self::Amqp => session::declare(address(&addresses)).await,
            Self::Http(path) => orders::declare(addresses, path).await,
        }
    }

    /// Asks for a sign of life of the queue.
    pub(in crate::demo) async fn ping(&self, addresses: watch::Receiver<Addresses>) -> Result<()> {
        match self {
            Self::Amqp => session::ping(address(&addresses)).await,
            Self::Http(path) => orders::ping(addresses, path).await,
        }
    }

    /// How many messages are in the queue, as far as its broker tells.
    pub(in crate::demo) async fn depth(&self, addresses: &watch::Receiver<Addresses>) -> Result<u64> {
        let path = match self {
            Self::Amqp => AMQP_QUEUE,
            Self::Http(path) => path,
        };
        depth::depth(addresses.clone(), path).await
    }

    /// Leaves nothing of the run on a broker that was there before.
    pub(in crate::demo) async fn clean_up(&self, addresses: watch::Receiver<Addresses>) -> Result<()> {
        match self {
            Self::Amqp => Ok(()),
            Self::Http(path) => orders::delete(addresses, path).await,
        }
    }

    /// A publisher.
    pub(in crate::demo) fn outlet(&self, addresses: watch::Receiver<Addresses>) -> AnyOutlet {
        match self {
            Self::Amqp => AnyOutlet::Amqp(Box::new(QueueOutlet::new(addresses))),
            Self::Http(path) => AnyOutlet::Http(HttpOutlet::new(addresses, path)),
        }
    }

    /// A consumer.
    pub(in crate::demo) fn inlet(&self, addresses: watch::Receiver<Addresses>) -> AnyInlet {
        match self {
            Self::Amqp => AnyInlet::Amqp(Box::new(QueueInlet::new(addresses))),
            Self::Http(path) => AnyInlet::Http(HttpInlet::new(addresses, path)),
        }
    }
}

fn address(addresses: &watch::Receiver<Addresses>) -> std::net::SocketAddr {
    addresses.borrow().amqp
}

/// A publisher on either way.
pub(in crate::demo) enum AnyOutlet {
    Amqp(Box<QueueOutlet>),
    Http(HttpOutlet),
}

impl Outlet for AnyOutlet {
    async fn publish(&mut self, orders: &[Order]) -> Result<()> {
        match self {
            Self::Amqp(outlet) => outlet.publish(orders).await,
            Self::Http(outlet) => outlet.publish(orders).await,
        }
    }

    async fn rest(&self) {
        match self {
            Self::Amqp(outlet) => outlet.rest().await,
            Self::Http(outlet) => outlet.rest().await,
        }
    }
}

/// A consumer on either way.
pub(in crate::demo) enum AnyInlet {
    Amqp(Box<QueueInlet>),
    Http(HttpInlet),
}

impl Inlet for AnyInlet {
    async fn receive(&mut self) -> Result<Option<Order>> {
        match self {
            Self::Amqp(inlet) => inlet.receive().await,
            Self::Http(inlet) => inlet.receive().await,
        }
    }

    async fn acknowledge(&mut self) {
        match self {
            Self::Amqp(inlet) => inlet.acknowledge().await,
            Self::Http(inlet) => inlet.acknowledge().await,
        }
    }

    async fn rest(&self) {
        match self {
            Self::Amqp(inlet) => inlet.rest().await,
            Self::Http(inlet) => inlet.rest().await,
        }
    }
}
