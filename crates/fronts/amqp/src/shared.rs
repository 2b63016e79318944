//! What all connections of the front share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use forebay_broker::EmbeddedBroker;
use forebay_core::delivery::Delivery;
use forebay_core::limits;
use forebay_core::ports::clock::Clock;
use forebay_core::pressure::Pressure;
use forebay_core::stats::ConnectionStats;

use crate::access::login::Door;
use crate::access::user::DEFAULT_VHOST;
use crate::budget::Budget;
use crate::options::{Options, Parts};
use crate::replies::Replies;
use crate::vhost::registry::Vhost;

/// The parts of the front.
pub(crate) struct Shared {
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) connections: Arc<ConnectionStats>,
    /// Memory for bodies that are still coming and for transactions, over all connections.
    pub(crate) bodies: Arc<Budget>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) replies: Arc<Replies>,
    /// Who may come in.
    pub(crate) door: Door,
    /// The virtual hosts, by name.
    pub(crate) vhosts: BTreeMap<String, Arc<Vhost>>,
    pub(crate) options: Options,
    pub(crate) version: &'static str,
    numbers: AtomicU64,
}

impl Shared {
    pub(crate) fn new(options: Options, parts: Parts) -> Self {
        let vhost = |name: &str| {
            let vhost = Vhost::new(name, Arc::clone(&parts.broker), Arc::clone(&parts.clock));
            (name.to_owned(), Arc::new(vhost))
        };
        Self {
            vhosts: options.directory.vhosts().map(vhost).collect(),
            door: Door::new(Arc::clone(&options.directory)),
            pressure: parts.pressure,
            replies: Arc::default(),
            broker: parts.broker,
            clock: parts.clock,
            connections: Arc::default(),
            bodies: Budget::new(limits::amqp::BODIES_BYTES_MAX),
            options,
            version: parts.version,
            numbers: AtomicU64::new(0),
        }
    }

    /// The virtual host that a connection counts as in before it has entered one.
    pub(crate) fn default_vhost(&self) -> Arc<Vhost> {
        let there = self.vhosts.get(DEFAULT_VHOST).cloned();
        there.unwrap_or_else(|| {
            Arc::new(Vhost::new(DEFAULT_VHOST, Arc::clone(&self.broker), Arc::clone(&self.clock)))
        })
    }

    /// Whether a client may have seen the message. After a process that was killed that is not known of any it had, so that
    /// all are said to come again, as RabbitMQ does.
    pub(crate) fn is_redelivered(&self, delivery: &Delivery) -> bool {
        delivery.attempt > 1 || self.broker.may_have_been_delivered(delivery.id)
    }

    /// A number that no other connection of this process has had.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }
}
