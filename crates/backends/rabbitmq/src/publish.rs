//! Publishing: everything is confirmed by the server before it counts as published.

use std::sync::Arc;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use futures_util::future::{join_all, try_join_all};
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation};

use crate::inner::Inner;
use crate::link::Link;
use crate::link::keep::Keeper;
use crate::message::envelope;
use crate::queue::Queue;
use crate::queue::declare::WAIT_HEADER;
use crate::queue::names::Lane;
use crate::settings::RabbitSettings;

/// In which of the server's waiting queues a message waits next, the longest wait that does not end too late; `None` where
/// it has not to wait, or so shortly that whoever receives it can see to that.
pub(crate) fn wait_class(due: Instant, now: Instant) -> Option<u32> {
    let classes = limits::rabbitmq::WAIT_CLASSES;
    let ms = u64::try_from(due.since(now).as_millis()).unwrap_or(u64::MAX);
    let class = ms.checked_ilog2()?.min(*classes.end());
    classes.contains(&class).then_some(class)
}

impl Inner {
    /// Publishes messages that come from outside.
    pub(crate) async fn publish(&self, name: &QueueName, messages: Vec<Message>) -> Result<Vec<MessageId>> {
        const PUBLISH: &str = "publish to queue";
        messages.iter().try_for_each(Message::check)?;
        let queue = self.queue(name, PUBLISH).await?;
        let now = self.clock.now();
        let ids = messages.iter().map(|message| message.id.clone()).collect();
        let put = |message: Message| (queue.lane(message.priority), Envelope::new(message, now));
        self.put(&queue, messages.into_iter().map(put).collect(), PUBLISH).await?;
        Ok(ids)
    }

    /// Publishes to one queue, in order. `Ok`: the server has them all.
    pub(crate) async fn put(
        &self,
        queue: &Queue,
        envelopes: Vec<(Lane, Envelope)>,
        operation: &'static str,
    ) -> Result<()> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let name = &queue.settings.name;
        let link = self.publishing_link(operation).await?;
        let mut routes = Vec::with_capacity(envelopes.len());
        for (lane, envelope) in &envelopes {
            let route = self.route(queue, *lane, envelope, operation).await?;
            routes.push((route, &envelope.message.payload));
        }
        let publisher = link.publisher().await.map_err(|refusal| refusal.during(operation, name.as_str()))?;
        let publish = async {
            // All are on their way before the first is waited for, and in their order.
            let sent = join_all(routes.into_iter().map(|(route, payload)| {
                let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                publisher.channel.basic_publish(route.exchange, route.key, options, payload, route.properties)
            }));
            let confirms = sent.await.into_iter().collect::<lapin::Result<Vec<_>>>()?;
            try_join_all(confirms).await
        };
        let confirmed =
            link.ask(publish).await.map_err(|refusal| refusal.during(operation, name.as_str()))?;
        publisher.give_back();
        for confirmation in confirmed {
            match confirmation {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => {
                    self.forget(name);
                    return Err(Error::new(Kind::NotFound, operation, name.as_str()));
                }
                Confirmation::Nack(None) | Confirmation::NotRequested => {
                    return Err(Error::new(Kind::Full, operation, name.as_str()));
                }
            }
        }
        Ok(())
    }

    async fn route(
        &self,
        queue: &Queue,
        lane: Lane,
        envelope: &Envelope,
        operation: &'static str,
    ) -> Result<Route> {
        let (key, properties) = (queue.names.lane(lane), envelope::write(envelope));
        // What is tried again in an ordered queue waits where it is received: others of its key wait for it.
        let class = wait_class(envelope.due, self.clock.now()).filter(|_| lane != Lane::Again);
        let Some(class) = class else {
            return Ok(Route { exchange: ShortString::default(), key, properties });
        };
        let link = self.link(operation).await?;
        let declared = self.declare_wait(&link, queue, class).await;
        declared.map_err(|refusal| refusal.during(operation, queue.settings.name.as_str()))?;
        let mut headers = properties.headers().clone().unwrap_or_else(FieldTable::default);
        headers.insert(WAIT_HEADER.into(), AMQPValue::LongString(queue.names.wait(class).as_str().into()));
        Ok(Route { exchange: queue.names.wait_exchange(), key, properties: properties.with_headers(headers) })
    }
}

/// Keeps the connection over which is published.
pub(crate) struct Publishing(pub(crate) Arc<Inner>);

impl Keeper for Publishing {
    fn settings(&self) -> &RabbitSettings {
        &self.0.settings
    }

    fn random(&self) -> u64 {
        self.0.clock.random()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    async fn closed(&self) {
        self.0.closed().await;
    }

    async fn serve(self: Arc<Self>, link: Arc<Link>) {
        self.0.publishing.send_replace(Some(link));
        std::future::pending().await
    }

    fn lost(&self) {
        self.0.publishing.send_replace(None);
    }
}

/// How a message comes to the server.
struct Route {
    exchange: ShortString,
    key: ShortString,
    properties: BasicProperties,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_made_of_ever_shorter_ones_and_never_ends_too_late() {
        let due = Instant::from_ms(1_000_000);
        for wait in [300_u64, 512, 1_000, 299_999, 31_622_400_000, 40_000_000_000_000] {
            let mut now = Instant::from_ms(1_000_000_000_000_000);
            let due = now + Duration::from_millis(wait);
            let mut hops = 0;
            while let Some(class) = wait_class(due, now) {
                now = now + Duration::from_millis(1 << class);
                hops += 1;
                assert!(now <= due && hops < 2_000, "{wait}");
            }
            assert!(due.since(now) < Duration::from_millis(256), "{wait}");
        }
        assert_eq!(wait_class(due, due), None);
        assert_eq!(wait_class(due, due + Duration::from_secs(1)), None);
        assert_eq!(wait_class(due, due - Duration::from_millis(255)), None);
    }
}
