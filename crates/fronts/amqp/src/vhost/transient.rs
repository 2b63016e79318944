//! Queues that do not outlive the process: which there are is noted in a queue of its own, so that the next start can
//! delete those of a process that was killed.
//!
//! The note of a queue is a message with its name as key, of which only the newest is kept. The note that it is gone
//! expires at once, and takes the other with it.

use std::sync::Arc;
use std::time::Duration;

use forebay_broker::EmbeddedBroker;
use forebay_core::delivery::Outcome;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};

/// The queue of notes.
const NOTES: &str = "forebay.amqp.transient";

/// The notes.
pub(crate) struct Transient {
    broker: Arc<EmbeddedBroker>,
    clock: Arc<dyn Clock>,
}

impl Transient {
    pub(crate) fn new(broker: Arc<EmbeddedBroker>, clock: Arc<dyn Clock>) -> Self {
        Self { broker, clock }
    }

    /// Deletes what the process before left. To be called once, before the first note.
    pub(crate) async fn clear(&self) -> Result<()> {
        let notes = QueueName::new(NOTES)?;
        let settings = QueueSettings {
            newest_by_key: true,
            dedup_window: Duration::ZERO,
            ..QueueSettings::new(notes.clone())
        };
        self.broker.ensure(&settings).await?;
        loop {
            let receive = Receive {
                count_max: limits::RECEIVE_DELIVERIES_MAX,
                hold: None,
                wait_until: self.clock.now(),
            };
            let found = self.broker.receive(&notes, receive).await?;
            if found.is_empty() {
                return Ok(());
            }
            for note in found {
                if let Some(name) = note.message.key.as_deref() {
                    match self.broker.delete(&QueueName::new(name)?).await {
                        Err(error) if error.kind() != Kind::NotFound => return Err(error),
                        _ => {}
                    }
                }
                self.broker.settle(&notes, note.id, Outcome::Done, None).await?;
            }
        }
    }

    /// Notes that the queue is about to be there.
    pub(crate) async fn add(&self, queue: &QueueName) -> Result<()> {
        self.note(queue, false).await
    }

    /// Notes that it is gone.
    pub(crate) async fn remove(&self, queue: &QueueName) -> Result<()> {
        self.note(queue, true).await
    }

    async fn note(&self, queue: &QueueName, is_gone: bool) -> Result<()> {
        let now = self.clock.now();
        let id = MessageId::generate(now, [self.clock.random(), self.clock.random()]);
        let mut note = Message::new(id, Payload::empty());
        note.key = Some(queue.as_str().to_owned());
        note.expires_at = is_gone.then_some(now);
        self.broker.publish(&QueueName::new(NOTES)?, vec![note]).await.map(drop)
    }
}
