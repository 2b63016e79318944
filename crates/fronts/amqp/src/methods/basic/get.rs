//! Asking for one message.

use std::sync::Arc;
use std::time::Duration;

use forebay_core::delivery::Outcome;
use forebay_core::limits;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write;

use super::super::queue::count;
use crate::access::permissions::Right;
use crate::channel::unsettled::Held;
use crate::connection::session::Session;
use crate::exception::{Exception, Result};
use crate::message::outgoing;

impl Session {
    pub(crate) async fn get(&mut self, number: u16, get: &basic::Get<'_>) -> Result<()> {
        self.may_use(Right::Read, self.named(number, &get.queue))?;
        let queue = self.queue(number, &get.queue).await?;
        self.apply_settles();
        queue.touch(self.now());
        let shared = Arc::clone(&self.shared);
        if self.channel(number)?.held_len() >= limits::amqp::UNSETTLED_MAX {
            return Err(Exception::precondition("channel has too many unsettled deliveries"));
        }
        let receive = Receive { count_max: 1, hold: Some(Duration::MAX), wait_until: self.now() };
        let received = shared.broker.receive(&queue.stored, receive).await;
        let received = received.map_err(|error| self.vhost.gone(&queue, error))?;
        let Some(delivery) = received.into_iter().next() else {
            self.send(number, &basic::GetEmpty { cluster_id: ShortStr::default() });
            return Ok(());
        };
        let left = self.vhost.stats(&queue).await.map_or(0, |stats| stats.ready);
        let delivery_tag = self.channel(number)?.unsettled.next_tag();
        let outgoing::Content { exchange, key: routing_key, properties } =
            outgoing::delivered(&delivery, &queue);
        let redelivered = shared.is_redelivered(&delivery);
        let message_count = count(left);
        let method = basic::GetOk { delivery_tag, redelivered, exchange, routing_key, message_count };
        let (frames, body) = (self.out.frames(), &delivery.message.payload);
        write::content(frames, number, &method, &properties, body, self.frame_bytes_max);
        if get.no_ack {
            self.settle(&queue.stored, delivery.id, Outcome::Done);
        } else {
            let (tag, id, attempt, consumer) = (delivery_tag, delivery.id, delivery.attempt, None);
            let (queue, at, ends_at) = (Arc::clone(&queue), self.now(), self.out.end());
            self.hold(number, Held { tag, queue, id, consumer, attempt, at, ends_at });
        }
        Ok(())
    }
}
