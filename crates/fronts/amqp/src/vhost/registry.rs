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
    fn put(&mut self, queue: &Arc<Queue>) {
        match queue.asked.expires {
            Some(_) => self.expiring.insert(queue.stored.clone()),
            None => self.expiring.remove(&queue.stored),
        };
        self.known.insert(queue.stored.clone(), Arc::clone(queue));
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
                && let Some(number) = self.broker.queue_number(&info.settings.name)
                && let Some(queue) = declaration::recall(number, name, &info.settings, self.clock.now())
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
        // Asked for first: should it be declared anew in between, the number is one that is known to be gone.
        let Some(number) = self.broker.queue_number(&stored) else { return Err(self.no_queue(name)) };
        match self.broker.queue(&stored).await {
            Ok(info) => {
                let (name, now) = (QueueName::new(name)?, self.clock.now());
                let recalled = declaration::recall(number, name.clone(), &info.settings, now);
                Ok(self.add(recalled.unwrap_or_else(|| Queue::found(number, name, stored, now))))
            }
            Err(error) if error.kind() == Kind::NotFound => Err(self.no_queue(name)),
            Err(error) => Err(error.into()),
        }
    }

    /// The state of the queue, or that it is not there.
    pub(crate) async fn stats(&self, queue: &Queue) -> Result<QueueStats> {
        match self.broker.queue(&queue.stored).await {
            Ok(info) if self.is_there(queue) => Ok(info.stats),
            Ok(_) => Err(self.no_queue(queue.name.as_str())),
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

    /// Whether the broker still has the queue: another front may have deleted it, and declared another by its name. One that it
    /// has no more is forgotten.
    pub(crate) fn is_there(&self, queue: &Queue) -> bool {
        let is_there = self.broker.queue_number(&queue.stored) == Some(queue.number);
        if !is_there {
            self.forget(queue);
        }
        is_there
    }

    pub(super) fn known(&self, stored: &QueueName) -> Option<Arc<Queue>> {
        let known = self.queues.lock().known.get(stored).cloned();
        known.filter(|queue| self.is_there(queue))
    }

    /// Adds the queue, unless it or a newer one of its name is known: then that.
    pub(super) fn add(&self, queue: Arc<Queue>) -> Arc<Queue> {
        let mut queues = self.queues.lock();
        match queues.known.get(&queue.stored) {
            Some(known) if known.number >= queue.number => return Arc::clone(known),
            Some(gone) => gone.turns.end(),
            None => {}
        }
        queues.put(&queue);
        queue
    }

    /// Puts the queue in the place of the one of its name.
    pub(super) fn replace(&self, queue: Arc<Queue>) -> Arc<Queue> {
        self.queues.lock().put(&queue);
        queue
    }

    /// The queue is gone. Another of its name is not.
    pub(super) fn forget(&self, queue: &Queue) {
        let mut queues = self.queues.lock();
        if queues.known.get(&queue.stored).is_some_and(|known| known.number == queue.number) {
            queues.expiring.remove(&queue.stored);
            queues.known.remove(&queue.stored);
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::message::{Message, MessageId};
    use forebay_core::ports::broker::{Broker, BrokerAdmin};
    use forebay_core::queue::{QueueName, QueueSettings};
    use forebay_wire::amqp::methods::{basic, queue};
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};

    use crate::bench::{Bench, Client, declare, rest};

    /// Another front deletes the queue, and declares one by its name.
    async fn declare_anew(bench: &Bench) {
        let settings = QueueSettings::new(QueueName::new("q").unwrap());
        bench.broker.delete(&settings.name).await.unwrap();
        bench.broker.ensure(&settings).await.unwrap();
    }

    async fn publish_and_count(bench: &Bench, client: &mut Client) -> u64 {
        client.publish(1, "", "q", b"confirmed").await;
        rest().await;
        bench.broker.queue(&QueueName::new("q").unwrap()).await.unwrap().stats.ready
    }

    #[tokio::test]
    async fn a_queue_that_another_front_has_declared_anew_does_not_go_in_place_of_the_one_before() {
        let bench = Bench::new();
        let (mut owner, mut client) = (bench.connect(1).await, bench.connect(1).await);
        owner.say(1, &queue::Declare { exclusive: true, ..declare("q") }).await;
        owner.expect::<queue::DeclareOk<'_>>(1).await;
        declare_anew(&bench).await;
        assert_eq!(publish_and_count(&bench, &mut client).await, 1);
        owner.vanish().await;
        assert_eq!(publish_and_count(&bench, &mut client).await, 2);

        bench.broker.delete(&QueueName::new("q").unwrap()).await.unwrap();
        let mut arguments = TableBuf::new();
        arguments.push(ShortBytes::new(b"x-expires").unwrap(), Value::I32(5000));
        client.say(1, &queue::Declare { arguments: arguments.as_table(), ..declare("q") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        declare_anew(&bench).await;
        bench.pass(Duration::from_secs(6)).await;
        bench.shared.default_vhost().expire_unused().await;
        assert_eq!(publish_and_count(&bench, &mut client).await, 1);
    }

    #[tokio::test]
    async fn who_consumed_from_a_queue_that_is_gone_does_not_make_the_next_of_its_name_go() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        client.say(1, &queue::Declare { auto_delete: true, ..declare("q") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.consume(1, "q").await;
        bench.broker.delete(&QueueName::new("q").unwrap()).await.unwrap();
        client.expect::<basic::Cancel<'_>>(1).await;
        bench.broker.ensure(&QueueSettings::new(QueueName::new("q").unwrap())).await.unwrap();
        assert_eq!(publish_and_count(&bench, &mut client).await, 1);
        client.say(1, &queue::Declare { passive: true, ..declare("q") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        assert_eq!(publish_and_count(&bench, &mut client).await, 2);
        client.consume(1, "q").await;
        client.delivery(1).await;
    }

    #[tokio::test]
    async fn a_consumer_that_did_not_wait_while_its_queue_was_declared_anew_is_told_that_it_is_gone() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.say(1, &basic::Qos { prefetch_size: 0, prefetch_count: 1, global: false }).await;
        client.expect::<basic::QosOk>(1).await;
        client.publish(1, "", "q", b"held").await;
        client.consume(1, "q").await;
        let held = client.delivery(1).await;
        declare_anew(&bench).await;
        let message = Message::new(MessageId::given("m").unwrap(), "another's".into());
        bench.broker.publish(&QueueName::new("q").unwrap(), vec![message]).await.unwrap();
        client.ack(1, held).await;
        client.expect::<basic::Cancel<'_>>(1).await;
        client.say(1, &basic::Get { ticket: 0, queue: ShortStr::cut("q"), no_ack: true }).await;
        client.expect::<basic::GetOk<'_>>(1).await;
    }

    #[tokio::test]
    async fn who_forgets_a_queue_that_is_gone_leaves_the_next_of_its_name_alone() {
        let bench = Bench::new();
        let (mut one, mut other) = (bench.connect(1).await, bench.connect(1).await);
        one.say(1, &declare("q")).await;
        one.expect::<queue::DeclareOk<'_>>(1).await;
        let vhost = bench.shared.default_vhost();
        let gone = vhost.find("q").await.unwrap();
        bench.broker.delete(&gone.stored).await.unwrap();
        one.say(1, &queue::Declare { exclusive: true, ..declare("q") }).await;
        one.expect::<queue::DeclareOk<'_>>(1).await;
        vhost.forget(&gone);
        other.say(1, &declare("q")).await;
        assert_eq!(other.closed(1).await, 405);
    }
}
