//! The port [`Broker`] on Kafka.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;

use crate::inner::{Inner, run_errands};
use crate::queue::record;
use crate::registry::follow;
use crate::settings::KafkaSettings;

/// What is kept on Kafka.
///
/// - Order of arrival is kept within a partition: whoever needs it for a whole queue has queues of one partition. A queue that
///   retains has one in any case.
/// - What failed comes back behind what is there by then, except in a queue whose order is kept by key. There it stays in its
///   place, with its key behind it; and when 1,024 messages of a partition lie behind it, that partition waits.
/// - A message past its time to live is dropped, or becomes a dead letter, when somebody receives from its queue.
/// - Messages wait for their time in Kafka, and go on when somebody receives from their queue.
/// - A message has at most 96 MiB with its headers, of which it must leave 257 KiB for what goes with it.
pub const CAPABILITIES: BrokerCapabilities = BrokerCapabilities {
    delay: true,
    dead_letter: true,
    extend: true,
    attempts: true,
    expired: true,
    expiry: true,
    order_by_key: true,
    retain: true,
    ..BrokerCapabilities::NONE
};

/// Queues on a Kafka. The last clone closes it.
#[derive(Clone)]
pub struct KafkaBroker {
    pub(crate) handle: Arc<Handle>,
}

/// Closes the broker when it is dropped.
pub(crate) struct Handle {
    pub(crate) inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.close();
    }
}

/// A broker and what must be run for it. It connects when that runs.
pub struct Opened {
    /// The broker.
    pub broker: KafkaBroker,
    /// Follows what queues there are, and does what goes on beside the calls.
    pub work: Vec<Work>,
}

impl KafkaBroker {
    /// A broker on the servers that the settings name. Nothing is begun before its work runs on tokio.
    pub fn open(settings: KafkaSettings, clock: Arc<dyn Clock>) -> Opened {
        let (inner, errands) = Inner::new(settings, clock);
        let (follower, runner) = (follow(inner.clone()), run_errands(inner.clone(), errands));
        let work = vec![
            Work { name: "kafka queues", run: Run::Task(Box::pin(follower)) },
            Work { name: "kafka errands", run: Run::Task(Box::pin(runner)) },
        ];
        Opened { broker: Self { handle: Arc::new(Handle { inner }) }, work }
    }

    /// Ends all that waits, takes nothing more, and leaves what is held to other processes.
    pub fn close(&self) {
        self.inner().close();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }
}

impl Broker for KafkaBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        CAPABILITIES
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            record::check(settings)?;
            self.inner().bounded("declare queue", self.inner().declare(settings)).await.map(|_| ())
        })
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(self.inner().bounded("publish to queue", self.inner().publish(queue, messages)))
    }

    fn receive<'a>(&'a self, queue: &'a QueueName, receive: Receive) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(self.inner().receive(queue, receive))
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        outcome: Outcome,
        note: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Settled>> {
        Box::pin(self.inner().settle(queue, delivery, outcome, note))
    }

    fn held<'a>(&'a self, queue: &'a QueueName, delivery: DeliveryId) -> BoxFuture<'a, Result<Option<Held>>> {
        Box::pin(async move {
            self.inner().check_open("look up delivery")?;
            Ok(self.inner().held(queue, delivery))
        })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> BoxFuture<'a, Result<Option<Instant>>> {
        Box::pin(async move {
            self.inner().check_open("extend hold")?;
            Ok(self.inner().extend(queue, delivery, hold))
        })
    }

    fn expired(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(self.inner().expired())
    }
}
