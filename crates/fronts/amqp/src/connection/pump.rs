//! What goes on by itself: messages on their way in, confirms, and deliveries.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::{Delivery, Outcome};
use forebay_core::error::{Error, Kind};
use forebay_core::limits;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::reply::ReplyCode;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;
use futures_util::future::abortable;

use super::session::{Batch, Received, Session};
use crate::channel::publisher::{Confirm, Fate, Way, bring, confirms};
use crate::channel::unsettled::Held;
use crate::exception::Exception;
use crate::message::outgoing;

impl Session {
    /// Sends every channel's next batch on its way.
    pub(crate) fn start_batches(&mut self) {
        for (number, channel) in &mut self.channels {
            let Some(batch) = channel.publisher.next() else { continue };
            let (number, generation) = (*number, channel.generation);
            let way = Way {
                broker: Arc::clone(&self.shared.broker),
                clock: Arc::clone(&self.shared.clock),
                gate: Arc::clone(&self.gate),
            };
            self.batches.push(Box::pin(async move { (number, generation, bring(&way, batch).await) }));
        }
    }

    /// Confirms what has arrived.
    pub(crate) fn arrived(&mut self, (number, generation, arrived): Batch) {
        let (messages, bytes) = self.publishing;
        self.publishing = (messages.saturating_sub(arrived.fates.len()), bytes.saturating_sub(arrived.bytes));
        let present = self.channels.get_mut(&number).filter(|channel| channel.generation == generation);
        let Some(channel) = present else { return };
        channel.publisher.arrived(&arrived.fates);
        let is_transactional = channel.transaction.is_some();
        if channel.closing || self.phase.is_over() {
            return;
        }
        for Confirm { last: delivery_tag, multiple, taken } in confirms(&arrived.fates) {
            match taken {
                true => self.send(number, &basic::Ack { delivery_tag, multiple }),
                false => self.send(number, &basic::Nack { delivery_tag, multiple, requeue: false }),
            }
        }
        if !is_transactional
            && arrived.fates.iter().any(|(number, fate)| number.is_none() && *fate == Fate::Failed)
        {
            // There is no other way to say so, and the publisher must not believe it was taken.
            let exception =
                Exception::new(ReplyCode::ResourceError, "a published message could not be stored");
            self.close(&exception);
        }
    }

    /// Lets all consumers wait that may have more, or none where the client is behind.
    pub(crate) fn start_receives(&mut self) {
        let is_over = self.out.is_over() || self.phase.is_over();
        let wait_until = self.now() + limits::RECEIVE_WAIT_MAX;
        for (number, channel) in &mut self.channels {
            if is_over || channel.closing || channel.held_len() >= limits::amqp::UNSETTLED_MAX {
                channel.consumers.stop();
                continue;
            }
            for (consumer, count_max) in channel.consumers.ready() {
                let (broker, vhost) = (Arc::clone(&self.shared.broker), Arc::clone(&self.vhost));
                let (queue, number, consumer_number) =
                    (Arc::clone(&consumer.queue), *number, consumer.number);
                // For as long as the connection is there.
                let receive = Receive { count_max, hold: Some(Duration::MAX), wait_until };
                let gone = Error::new(Kind::NotFound, "receive from queue", queue.stored.to_string());
                let ask = move || {
                    let (broker, vhost, queue) =
                        (Arc::clone(&broker), Arc::clone(&vhost), Arc::clone(&queue));
                    async move {
                        // Another of its name is not what the consumer asked for.
                        let is_there = vhost.is_there(&queue);
                        if is_there { Some(broker.receive(&queue.stored, receive).await) } else { None }
                    }
                };
                let turn = consumer.seat.in_turn(ask);
                let (wait, handle) = abortable(async move { turn.await.flatten().unwrap_or(Err(gone)) });
                consumer.waiting = Some(handle);
                self.receives.push(Box::pin(async move { (number, consumer_number, wait.await) }));
            }
        }
    }

    /// Passes on what a consumer was handed.
    pub(crate) async fn received(&mut self, (number, consumer_number, received): Received) {
        // Whoever gave up the wait has seen to it that nothing was taken.
        let Ok(received) = received else { return };
        let consumer = self
            .channels
            .get_mut(&number)
            .and_then(|channel| channel.consumers.numbered(consumer_number))
            .map(|(tag, consumer)| {
                consumer.waiting = None;
                tag.to_owned()
            });
        match received {
            Ok(deliveries) => {
                for delivery in deliveries {
                    match &consumer {
                        Some(tag) => self.deliver(number, consumer_number, tag, delivery),
                        None => self.settle(&delivery.queue, delivery.id, Outcome::Return { seen: false }),
                    }
                }
            }
            Err(error) => {
                let Some(tag) = consumer else { return };
                match error.kind() {
                    Kind::NotFound => self.cancel_by_server(number, &tag).await,
                    Kind::Closed => {}
                    _ => {
                        tracing::warn!(%error, "receive for amqp failed");
                        self.pause(number, consumer_number);
                    }
                }
            }
        }
    }

    /// Sends a delivery, unless the consumer may have no more by now.
    fn deliver(&mut self, number: u16, consumer_number: u64, tag: &str, delivery: Delivery) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Some((_, consumer)) = channel.consumers.numbered(consumer_number) else { return };
        let (queue, no_ack) = (Arc::clone(&consumer.queue), consumer.no_ack);
        if !no_ack && !channel.consumers.hold(consumer_number) {
            // The client has not seen it.
            return self.settle(&delivery.queue, delivery.id, Outcome::Return { seen: false });
        }
        let delivery_tag = channel.unsettled.next_tag();
        let outgoing::Content { exchange, key: routing_key, properties } =
            outgoing::delivered(&delivery, &queue);
        let method = basic::Deliver {
            consumer_tag: ShortStr::cut(tag),
            delivery_tag,
            redelivered: self.shared.is_redelivered(&delivery),
            exchange,
            routing_key,
        };
        let (frames, body) = (self.out.frames(), &delivery.message.payload);
        write::content(frames, number, &method, &properties, body, self.frame_bytes_max);
        if no_ack {
            self.settle(&delivery.queue, delivery.id, Outcome::Done);
        } else {
            let (tag, id, attempt) = (delivery_tag, delivery.id, delivery.attempt);
            let (consumer, at, ends_at) = (Some(consumer_number), self.now(), self.out.end());
            self.hold(number, Held { tag, queue, id, consumer, attempt, at, ends_at });
        }
    }

    /// Lets a consumer wait a while before it asks again.
    fn pause(&mut self, number: u16, consumer_number: u64) {
        let sleep = self.shared.clock.sleep_until(self.now() + limits::BROKER_PAUSE);
        let (wait, handle) = abortable(async move {
            sleep.await;
            Ok(Vec::new())
        });
        let consumers = self.channels.get_mut(&number).map(|channel| &mut channel.consumers);
        if let Some((_, consumer)) = consumers.and_then(|consumers| consumers.numbered(consumer_number)) {
            consumer.waiting = Some(handle);
            self.receives.push(Box::pin(async move { (number, consumer_number, wait.await) }));
        }
    }
}
