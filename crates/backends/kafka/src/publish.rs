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
        // A message that fails, or becomes a dead letter, has more with it then: what is confirmed must be able to go on.
        let bytes = |message: &Message| message.payload.len() + message.key.as_ref().map_or(0, String::len);
        if messages.iter().any(|message| bytes(message) > limits::PAYLOAD_BYTES_MAX) {
            let context = format!("{name}: Kafka takes at most 96 MiB with what goes with a payload");
            return Err(Error::new(Kind::TooLarge, PUBLISH, context));
        }
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
        let outgoing = |(envelope, origin)| self.outgoing(queue, &envelope, origin);
        let records: Vec<_> = envelopes.into_iter().map(outgoing).collect();
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forebay_core::payload::Payload;
    use forebay_runtime::clock::TokioClock;

    use super::*;
    use crate::settings::KafkaSettings;

    #[tokio::test]
    async fn a_message_is_refused_that_could_not_become_a_dead_letter() {
        let settings = KafkaSettings::parse("kafka://127.0.0.1:1?wait_ms=100").unwrap();
        let (inner, _errands) = Inner::new(settings, Arc::new(TokioClock::new()));
        let name = QueueName::new("q").unwrap();
        let mut kinds = Vec::new();
        for bytes in [limits::PAYLOAD_BYTES_MAX, limits::PAYLOAD_BYTES_MAX + 1] {
            let message = Message::new(MessageId::given("m").unwrap(), Payload::from(vec![0; bytes]));
            kinds.push(inner.publish(&name, vec![message]).await.unwrap_err().kind());
        }
        assert_eq!(kinds, [Kind::Unavailable, Kind::TooLarge]);
    }
}
