//! The port [`Broker`] on SQS.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId, Outcome, Settled};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, BrokerCapabilities, Held, Receive};
use forebay_core::ports::clock::{Clock, Run, Work};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;

use crate::holds::keep;
use crate::inner::{Inner, run_errands};
use crate::settings::SqsSettings;

/// What is kept on SQS.
///
/// - A message may be delivered twice, as SQS says of its standard queues; whoever dies between two steps leaves two of one,
///   never none. In order by key neither happens within SQS itself.
/// - Without order by key the order is that of arrival as far as SQS keeps it, which it does not promise.
/// - Attempts that were settled are counted exactly. What comes again without having been settled, because its process died,
///   counts from the tenth time on. In order by key SQS counts, and what another process gave back untouched, or lost on its
///   way here, counts as well.
/// - In order by key a retry waits in whole seconds, rounded up, and at most 11 hours: a later one is refused. What was held for
///   more than an hour before may come back earlier, for SQS takes a message back 12 hours after it was received.
/// - A message past its time to live is dropped, or becomes a dead letter, when it would be handed out.
/// - What nobody has received for 14 days SQS deletes.
pub const CAPABILITIES: BrokerCapabilities = BrokerCapabilities {
    delay: true,
    dead_letter: true,
    extend: true,
    attempts: true,
    expired: true,
    expiry: true,
    order_by_key: true,
    place: false,
    lasting_holds: false,
    ..BrokerCapabilities::NONE
};

/// Queues on SQS. The last clone closes it.
#[derive(Clone)]
pub struct SqsBroker {
    handle: Arc<Handle>,
}

/// Closes the broker when it is dropped.
struct Handle {
    inner: Arc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.close();
    }
}

/// A broker and what must be run for it. It asks SQS nothing before it is asked itself.
pub struct Opened {
    /// The broker.
    pub broker: SqsBroker,
    /// Prolongs holds, and does what goes on beside the calls.
    pub work: Vec<Work>,
}

impl SqsBroker {
    /// A broker on the SQS that the settings name. Nothing is begun before its work runs on tokio.
    pub fn open(settings: SqsSettings, clock: Arc<dyn Clock>) -> Opened {
        let (inner, errands) = Inner::new(settings, clock);
        let (keeper, runner) = (keep(inner.clone()), run_errands(inner.clone(), errands));
        let work = vec![
            Work { name: "sqs holds", run: Run::Task(Box::pin(keeper)) },
            Work { name: "sqs errands", run: Run::Task(Box::pin(runner)) },
        ];
        Opened { broker: Self { handle: Arc::new(Handle { inner }) }, work }
    }

    /// Ends all that waits, takes nothing more, and gives everything that is held back to SQS.
    pub fn close(&self) {
        self.inner().close();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }
}

impl Broker for SqsBroker {
    fn capabilities(&self) -> BrokerCapabilities {
        CAPABILITIES
    }

    fn ensure<'a>(&'a self, settings: &'a QueueSettings) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.inner().bounded("declare queue", self.inner().declare(settings)).await.map(drop)
        })
    }

    fn publish<'a>(
        &'a self,
        queue: &'a QueueName,
        messages: Vec<Message>,
    ) -> BoxFuture<'a, Result<Vec<MessageId>>> {
        Box::pin(async move {
            if messages.len() > limits::PUBLISH_MESSAGES_MAX {
                let context = format!("{queue}: a batch has at most 1000 messages");
                return Err(Error::new(Kind::TooLarge, "publish to queue", context));
            }
            self.inner().bounded("publish to queue", self.inner().publish(queue, messages)).await
        })
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
