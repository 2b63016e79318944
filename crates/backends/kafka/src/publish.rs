//! Publishing: everything is confirmed by the servers before it counts as published.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits::kafka as limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::QueueName;
use forebay_envelope::envelope::Envelope;
use rdkafka::error::KafkaResult;
use tokio::time;

use crate::inner::Inner;
use crate::link::{Outgoing, is_unknown};
use crate::message::envelope;
use crate::queue::Queue;
use crate::queue::contiguous::Offset;
use crate::queue::intake::wait_level;

impl Inner {
    /// Publishes messages that come from outside.
    pub(crate) async fn publish(&self, name: &QueueName, messages: Vec<Message>) -> Result<Vec<MessageId>> {
        const PUBLISH: &str = "publish to queue";
        messages.iter().try_for_each(Message::check)?;
        let queue = self.queue(name, PUBLISH).await?;
        let now = self.clock.now();
        let ids = messages.iter().map(|message| message.id.clone()).collect();
        let envelopes = messages.into_iter().map(|message| (Envelope::new(message, now), None)).collect();
        self.put(&queue, envelopes, PUBLISH).await?;
        Ok(ids)
    }

    /// Puts messages into a queue, in order, each with where it was first if it is there again. `Ok`: the servers have them all.
    pub(crate) async fn put(
        &self,
        queue: &Queue,
        envelopes: Vec<(Envelope, Option<Offset>)>,
        operation: &'static str,
    ) -> Result<()> {
        let name = queue.name();
        let outgoing = |(envelope, origin)| self.outgoing(queue, &envelope, origin);
        let records: Vec<_> = envelopes.into_iter().map(outgoing).collect();
        if records.iter().any(|record| record.bytes() > limits::MESSAGE_BYTES_MAX) {
            let context = format!("{name}: Kafka takes at most 96 MiB");
            return Err(Error::new(Kind::TooLarge, operation, context));
        }
        let late = time::Instant::now() + self.settings.wait;
        loop {
            let sent = self.send(&records, operation).await?;
            // None of them has reached a server, or will.
            let is_unsent = sent.iter().all(|sent| sent.as_ref().is_err_and(is_unknown));
            let Some(error) = sent.into_iter().find_map(KafkaResult::err) else { return Ok(()) };
            let is_worth_a_try = is_unsent && time::Instant::now() < late;
            let refused = self.refusal(queue, error, operation).await;
            if !is_worth_a_try || refused.kind() != Kind::Unavailable {
                return Err(refused);
            }
            time::sleep(limits::PAUSE).await;
        }
    }

    /// The same once, with what became of each: one that fails keeps none of the others.
    pub(crate) async fn put_each(
        &self,
        queue: &Queue,
        envelopes: impl IntoIterator<Item = (Envelope, Option<Offset>)>,
        operation: &'static str,
    ) -> Result<Vec<KafkaResult<()>>> {
        let outgoing = |(envelope, origin)| self.outgoing(queue, &envelope, origin);
        let records: Vec<_> = envelopes.into_iter().map(outgoing).collect();
        self.send(&records, operation).await
    }

    /// Puts records into topics, and says of each what became of it. Clients that can do that no more make room for others.
    pub(crate) async fn send(
        &self,
        records: &[Outgoing],
        operation: &'static str,
    ) -> Result<Vec<KafkaResult<()>>> {
        let clients = self.clients(operation)?;
        let sent = clients.put(records).await;
        if clients.is_broken() {
            self.give_up(&clients);
        }
        Ok(sent)
    }

    fn outgoing(&self, queue: &Queue, envelope: &Envelope, origin: Option<Offset>) -> Outgoing {
        let at = self.clock.now();
        // Where a queue is read again, what is new is where it came, whenever it is due: whoever reads it moves it on.
        let new = queue.retains() && origin.is_none();
        let level = wait_level(envelope.due, at).filter(|_| !new);
        Outgoing {
            topic: if level.is_some() { &queue.names.wait } else { &queue.names.main }.clone(),
            partition: level,
            key: envelope.message.key.clone(),
            header: Some(envelope::write(envelope, origin)),
            payload: envelope.message.payload.clone(),
            at,
        }
    }
}

impl Outgoing {
    fn bytes(&self) -> usize {
        let header = self.header.as_ref().map_or(0, Vec::len);
        self.payload.len() + header
    }
}
