//! Takes in what the server sends: called by the client library for every delivery, in order, on its own thread.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Weak};

use forebay_core::message::MessageId;
use lapin::ConsumerDelegate;
use lapin::message::{Delivery, DeliveryResult};

use super::Queue;
use super::letter::Letter;
use super::names::Lane;
use crate::inner::Inner;
use crate::message::envelope;
use crate::publish::wait_class;
use crate::settle::put_off;

/// Where the deliveries of one consumer go.
pub(crate) struct Intake {
    pub(crate) inner: Weak<Inner>,
    pub(crate) queue: Weak<Queue>,
    pub(crate) lane: Lane,
    pub(crate) epoch: u64,
    pub(crate) asked: u64,
}

impl Intake {
    fn take_in(&self, inner: &Arc<Inner>, queue: &Arc<Queue>, delivery: Delivery) {
        let (now, random) = (inner.clock.now(), [inner.clock.random(), inner.clock.random()]);
        let id = MessageId::generate(now, random);
        let envelope = envelope::read(&delivery.properties, delivery.data, now, id);
        let letter =
            Arc::new(Letter { envelope, lane: self.lane, number: inner.number(), acker: delivery.acker });
        // What has to wait for long does so on the server, where it takes no room from others.
        let early = self.lane != Lane::Again && wait_class(letter.envelope.due, now).is_some();
        queue.change(|shelf| {
            if shelf.epoch() != self.epoch {
                return;
            }
            if early {
                shelf.busy_with(letter.number);
                let epoch = self.epoch;
                inner.clone().run(put_off(inner.clone(), queue.clone(), letter, epoch));
            } else {
                shelf.arrive(letter, now);
            }
        });
    }

    /// The server sends nothing more, without having been asked: the queue is gone, or the channel.
    fn end(&self, inner: &Inner, queue: &Queue) {
        if queue.look(|shelf| shelf.epoch() == self.epoch && shelf.asked == self.asked) {
            inner.drop_channel(queue, self.epoch);
        }
    }
}

impl ConsumerDelegate for Intake {
    fn on_new_delivery(&self, delivery: DeliveryResult) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (Some(inner), Some(queue)) = (self.inner.upgrade(), self.queue.upgrade()) else {
            return Box::pin(ready(()));
        };
        match delivery {
            Ok(Some(delivery)) => self.take_in(&inner, &queue, delivery),
            Ok(None) | Err(_) => self.end(&inner, &queue),
        }
        // Should these be the last of the broker they are not to be dropped here: the client library has its locks.
        Box::pin(async move { drop((inner, queue)) })
    }
}
