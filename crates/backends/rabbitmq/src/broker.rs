//! The port [`Broker`] on RabbitMQ.

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
use crate::link::keep::keep;
use crate::publish::Publishing;
use crate::queue::record;
use crate::settings::RabbitSettings;

/// What is kept on RabbitMQ.
///
/// - An acknowledgement is not answered by the server: one that was on its way when the connection ended may come to nothing,
///   and the message comes again.
/// - What failed comes back behind what is there by then, except in a queue whose order is kept by key.
/// - A message past its time to live is dropped, or becomes a dead letter, when somebody receives from its queue.
/// - A queue whose order is kept is handed out by one process at a time; another one takes over when that has asked for
///   nothing for a second, or is gone.
pub const CAPABILITIES: BrokerCapabilities = BrokerCapabilities {
    delay: true,
    dead_letter: true,
    extend: true,
    attempts: true,
    expired: true,
    expiry: true,
    order_by_key: true,
    priorities: true,
    place: false,
    lasting_holds: false,
    ..BrokerCapabilities::NONE
};

/// Queues on a RabbitMQ. The last clone closes it.
#[derive(Clone)]
pub struct RabbitBroker {
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
    pub broker: RabbitBroker,
    /// Keeps the connections, and does what goes on beside the calls.
    pub work: Vec<Work>,
}

impl RabbitBroker {
    /// A broker on the server that the settings name. Nothing is begun before its work runs on tokio.
    pub fn open(settings: RabbitSettings, clock: Arc<dyn Clock>) -> Opened {
        let (inner, errands) = Inner::new(settings, clock);
        let (keeper, publisher) = (keep(inner.clone()), keep(Arc::new(Publishing(inner.clone()))));
        let runner = run_errands(inner.clone(), errands);
        let work = vec![
            Work { name: "rabbitmq connection", run: Run::Task(Box::pin(keeper)) },
            Work { name: "rabbitmq connection for publishing", run: Run::Task(Box::pin(publisher)) },
            Work { name: "rabbitmq errands", run: Run::Task(Box::pin(runner)) },
        ];
        Opened { broker: Self { handle: Arc::new(Handle { inner }) }, work }
    }

    /// Ends all that waits, takes nothing more, and gives everything that is held back to the server.
    pub fn close(&self) {
        self.inner().close();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }
}

impl Broker for RabbitBroker {
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
        let settle = self.inner().settle(queue, delivery, outcome, note);
        Box::pin(self.inner().bounded("settle delivery", settle))
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
