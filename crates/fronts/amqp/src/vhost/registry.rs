//! The queues of a virtual host as AMQP knows them. The broker has them, and exchanges and bindings; what it keeps of how
//! a queue was declared is read when the queue is first asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use forebay_broker::EmbeddedBroker;
use forebay_broker::routing::change::Change;
use forebay_broker::routing::refusal::Refusal;
use forebay_broker::routing::topology::Topology;
use forebay_broker::virtual_hosts::names;
use forebay_core::error::{self, Error, Kind};
use forebay_core::message::Headers;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;
use forebay_core::stats::QueueStats;
use forebay_wire::amqp::reply::ReplyCode;
use parking_lot::Mutex;

use super::declaration;
use super::queue::Queue;
use crate::exception::{Exception, Result};

/// One virtual host.
pub(crate) struct Vhost {
    pub(crate) name: String,
    pub(super) broker: Arc<EmbeddedBroker>,
    pub(super) clock: Arc<dyn Clock>,
    /// Held over a whole declaration or deletion, so that no two of one queue meet.
    pub(super) declaring: tokio::sync::Mutex<()>,
    queues: Mutex<Queues>,
}

/// Queues by the names that the broker has for them.
#[derive(Default)]
struct Queues {
    known: HashMap<QueueName, Arc<Queue>>,
    /// Those of them that go when nobody uses them, or were to go and are still there.
    expiring: HashSet<QueueName>,
}

impl Queues {
    fn note_expiring(&mut self, queue: &Queue) {
        if queue.asked.expires.is_some() {
            self.expiring.insert(queue.stored.clone());
        }
    }
}

impl Vhost {
    pub(crate) fn new(name: &str, broker: Arc<EmbeddedBroker>, clock: Arc<dyn Clock>) -> Self {
        let (name, declaring, queues) = (name.to_owned(), tokio::sync::Mutex::default(), Mutex::default());
        Self { name, broker, clock, declaring, queues }
    }

    /// Gets to know the queues that go when nobody uses them: from now on nobody does.
    pub(crate) async fn open(&self) -> error::Result<()> {
        for info in self.broker.queues().await? {
            let (vhost, local) = names::place(&info.settings.name);
            let name = QueueName::new(local);
            if let (true, Ok(name)) = (*vhost == *self.name, name)
                && let Some(queue) = declaration::recall(name, &info.settings, self.clock.now())
                && queue.asked.expires.is_some()
            {
                self.add(queue);
            }
        }
        Ok(())
    }

    /// The queue in words, as RabbitMQ has them.
    pub(crate) fn place(&self, queue: &str) -> String {
        format!("queue '{queue}' in vhost '{}'", self.name)
    }

    pub(crate) fn no_queue(&self, queue: &str) -> Exception {
        Exception::new(ReplyCode::NotFound, format!("no {}", self.place(queue)))
    }

    /// The queue of this name, whichever front declared it. One that goes by itself is not there any more.
    pub(crate) async fn find(&self, name: &str) -> Result<Arc<Queue>> {
        let Ok(stored) = names::queue_name(&self.name, name) else { return Err(self.no_queue(name)) };
        match self.known(&stored) {
            Some(queue) if queue.is_going() => return Err(self.no_queue(name)),
            Some(queue) => return Ok(queue),
            None => {}
        }
        match self.broker.queue(&stored).await {
            Ok(info) => {
                let (name, now) = (QueueName::new(name)?, self.clock.now());
                let recalled = declaration::recall(name.clone(), &info.settings, now);
                Ok(self.add(recalled.unwrap_or_else(|| Queue::found(name, stored, now))))
            }
            Err(error) if error.kind() == Kind::NotFound => Err(self.no_queue(name)),
            Err(error) => Err(error.into()),
        }
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
        self.forget(queue);
        self.no_queue(queue.name.as_str())
    }

    pub(super) fn known(&self, stored: &QueueName) -> Option<Arc<Queue>> {
        self.queues.lock().known.get(stored).cloned()
    }

    /// Adds the queue, unless there is one of its name: then that.
    pub(super) fn add(&self, queue: Arc<Queue>) -> Arc<Queue> {
        let mut queues = self.queues.lock();
        queues.note_expiring(&queue);
        Arc::clone(queues.known.entry(queue.stored.clone()).or_insert(queue))
    }

    /// Puts the queue in the place of the one of its name.
    pub(super) fn replace(&self, queue: Arc<Queue>) -> Arc<Queue> {
        let mut queues = self.queues.lock();
        queues.note_expiring(&queue);
        queues.known.insert(queue.stored.clone(), Arc::clone(&queue));
        queue
    }

    /// The queue is gone.
    pub(super) fn forget(&self, queue: &Queue) {
        let mut queues = self.queues.lock();
        queues.expiring.remove(&queue.stored);
        queues.known.remove(&queue.stored);
        queue.turns.end();
    }

    /// The queue was to go and is still there. False where that was known.
    pub(super) fn note_going(&self, queue: &Queue) -> bool {
        self.queues.lock().expiring.insert(queue.stored.clone())
    }

    /// The queues that go when nobody uses them, or were to go and are still there.
    pub(super) fn expiring(&self) -> Vec<Arc<Queue>> {
        let queues = self.queues.lock();
        queues.expiring.iter().filter_map(|name| queues.known.get(name).cloned()).collect()
    }

    /// The queues that one connection has for itself.
    pub(crate) fn owned_by(&self, connection: u64) -> Vec<Arc<Queue>> {
        let queues = self.queues.lock();
        queues.known.values().filter(|queue| queue.owner == Some(connection)).cloned().collect()
    }

    /// Looks at exchanges and bindings.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Topology) -> T) -> T {
        self.broker.look(&self.name, look)
    }

    /// Decides about exchanges and bindings, and makes the changes that are decided, in one step.
    pub(crate) async fn change<C: IntoIterator<Item = Change>>(
        &self,
        decide: impl FnMut(&Topology) -> std::result::Result<C, Refusal>,
    ) -> Result<()> {
        self.broker.change(&self.name, decide).await.map_err(Exception::from)
    }

    /// The queues that a message goes to.
    pub(crate) async fn route(
        &self,
        exchange: &str,
        key: &str,
        headers: &Headers,
    ) -> Result<Vec<Arc<Queue>>> {
        let routed = self.broker.route(&self.name, exchange, key, headers)?;
        let mut queues = Vec::with_capacity(routed.len());
        for stored in routed {
            if let Some(queue) = self.known(&stored) {
                if !queue.is_going() {
                    queues.push(queue);
                }
                continue;
            }
            // Another front's, or one from before a restart.
            let (_, local) = names::place(&stored);
            match self.find(local).await {
                Ok(queue) => queues.push(queue),
                Err(exception) if exception.code == ReplyCode::NotFound => {}
                Err(exception) => return Err(exception),
            }
        }
        Ok(queues)
    }
}
