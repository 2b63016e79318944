//! What there is in a virtual host: queues by name, and the exchanges and bindings that lead to them.
//!
//! Exchanges, bindings and how queues were declared are in memory alone for now; the queues themselves, and what is in
//! them, are the broker's. After a restart a queue is found there, and counts as declared without arguments.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use forebay_broker::EmbeddedBroker;
use forebay_broker::routing::change::Change;
use forebay_broker::routing::refusal::Refusal;
use forebay_broker::routing::topology::Topology;
use forebay_core::error::{self, Error, Kind};
use forebay_core::message::Headers;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use forebay_wire::amqp::reply::ReplyCode;
use parking_lot::Mutex;

use super::queue::Queue;
use super::transient::Transient;
use crate::exception::{Exception, Result};
use crate::message::incoming::copies;

/// One virtual host.
pub(crate) struct Vhost {
    pub(crate) name: String,
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) transient: Transient,
    /// Held over a whole declaration or deletion, so that no two of one queue meet.
    pub(super) declaring: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    topology: Topology,
    queues: HashMap<QueueName, Arc<Queue>>,
    /// Those of them that go when nobody uses them.
    expiring: HashSet<QueueName>,
}

impl State {
    fn note_expiring(&mut self, queue: &Queue) {
        if queue.asked.expires.is_some() {
            self.expiring.insert(queue.name.clone());
        }
    }
}

impl Vhost {
    pub(crate) fn new(name: &str, broker: Arc<EmbeddedBroker>, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: name.to_owned(),
            transient: Transient::new(Arc::clone(&broker), Arc::clone(&clock)),
            broker,
            clock,
            declaring: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                topology: Topology::new(name),
                queues: HashMap::new(),
                expiring: HashSet::new(),
            }),
        }
    }

    /// Deletes what the process before left behind. To be called once, before anything else.
    pub(crate) async fn open(&self) -> error::Result<()> {
        self.transient.clear().await
    }

    /// The queue in words, as RabbitMQ has them.
    pub(crate) fn place(&self, queue: &str) -> String {
        format!("queue '{queue}' in vhost '{}'", self.name)
    }

    pub(crate) fn no_queue(&self, queue: &str) -> Exception {
        Exception::new(ReplyCode::NotFound, format!("no {}", self.place(queue)))
    }

    /// The queue of this name, whichever front declared it.
    pub(crate) async fn find(&self, name: &str) -> Result<Arc<Queue>> {
        let Ok(name) = QueueName::new(name) else { return Err(self.no_queue(name)) };
        if let Some(queue) = self.known(&name) {
            return Ok(queue);
        }
        let stored = self.stored(&name)?;
        match self.broker.queue(&stored).await {
            Ok(_) => Ok(self.add(Queue::found(name, stored, self.clock.now()))),
            Err(error) if error.kind() == Kind::NotFound => Err(self.no_queue(name.as_str())),
            Err(error) => Err(error.into()),
        }
    }

    /// The name under which the broker has the queue.
    pub(super) fn stored(&self, name: &QueueName) -> Result<QueueName> {
        Ok(name.clone())
    }

    /// The state of the queue, or that it is not there.
    pub(crate) async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        match self.broker.queue(&queue.stored).await {
            Ok(info) => Ok(info.stats),
            Err(error) => Err(self.gone(queue, error)),
        }
    }

    /// What the broker's error about a queue is to the client. A queue that is not there is forgotten.
    pub(crate) fn gone(&self, queue: &Queue, error: Error) -> Exception {
        if error.kind() != Kind::NotFound {
            return error.into();
        }
        self.forget(&queue.name);
        self.no_queue(queue.name.as_str())
    }

    pub(super) fn known(&self, name: &QueueName) -> Option<Arc<Queue>> {
        self.state.lock().queues.get(name).cloned()
    }

    /// Adds the queue, unless there is one of its name: then that.
    pub(super) fn add(&self, queue: Arc<Queue>) -> Arc<Queue> {
        let mut state = self.state.lock();
        state.note_expiring(&queue);
        Arc::clone(state.queues.entry(queue.name.clone()).or_insert(queue))
    }

    /// Puts the queue in the place of the one of its name.
    pub(super) fn replace(&self, queue: Arc<Queue>) -> Arc<Queue> {
        let mut state = self.state.lock();
        state.note_expiring(&queue);
        state.queues.insert(queue.name.clone(), Arc::clone(&queue));
        drop(state);
        queue
    }

    /// The queue is gone, and so are its bindings.
    pub(super) fn forget(&self, name: &QueueName) {
        let mut state = self.state.lock();
        state.expiring.remove(name);
        if let Some(queue) = state.queues.remove(name) {
            queue.turns.end();
        }
        let changes = state.topology.queue_deleted(name);
        changes.iter().for_each(|change| state.topology.apply(change));
    }

    /// The queues that go when nobody uses them.
    pub(super) fn expiring(&self) -> Vec<Arc<Queue>> {
        let state = self.state.lock();
        state.expiring.iter().filter_map(|name| state.queues.get(name).cloned()).collect()
    }

    /// The queues that one connection has for itself.
    pub(crate) fn owned_by(&self, connection: u64) -> Vec<Arc<Queue>> {
        let state = self.state.lock();
        state.queues.values().filter(|queue| queue.owner == Some(connection)).cloned().collect()
    }

    /// Looks at exchanges, bindings and queues together.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Topology, &HashMap<QueueName, Arc<Queue>>) -> T) -> T {
        let state = self.state.lock();
        look(&state.topology, &state.queues)
    }

    /// Decides about exchanges and bindings, and makes the changes that are decided, in one step.
    pub(crate) fn change<C: IntoIterator<Item = Change>>(
        &self,
        decide: impl FnOnce(&Topology, &HashMap<QueueName, Arc<Queue>>) -> std::result::Result<C, Refusal>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let changes = decide(&state.topology, &state.queues)?;
        changes.into_iter().for_each(|change| state.topology.apply(&change));
        Ok(())
    }

    /// The queues that a message goes to.
    pub(crate) async fn route(
        &self,
        exchange: &str,
        key: &str,
        headers: &Headers,
    ) -> Result<Vec<Arc<Queue>>> {
        // They may be another front's queues that were not seen before.
        for name in std::iter::once(key).chain(copies(headers)).filter(|_| exchange.is_empty()) {
            match self.find(name).await {
                Err(exception) if exception.code != ReplyCode::NotFound => return Err(exception),
                _ => {}
            }
        }
        self.look(|topology, queues| {
            let routed = topology.route(exchange, key, headers, |name| queues.contains_key(name))?;
            Ok(routed.queues.iter().filter_map(|name| queues.get(name).cloned()).collect())
        })
    }
}
