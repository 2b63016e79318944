//! Takes in what the server sends to a consumer: all that has come at a time, in order.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use forebay_core::message::MessageId;
use forebay_core::time::Instant;
use futures_util::Stream;
use lapin::Consumer;
use lapin::message::Delivery;
use parking_lot::Mutex;

use super::Queue;
use super::letter::Letter;
use super::names::Lane;
use super::shelf::Shelf;
use crate::inner::Inner;
use crate::lead::is_mark;
use crate::message::envelope;
use crate::publish::wait_class;
use crate::settle::{leave, put_off};

/// Where the deliveries of one consumer go.
pub(crate) struct Intake {
    pub(crate) inner: Arc<Inner>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) lane: Lane,
    pub(crate) epoch: u64,
    pub(crate) asked: u64,
    /// Whoever takes from it has the lock until that is on the shelf.
    pub(crate) consumer: Mutex<Consumer>,
}

impl Intake {
    /// Takes in what comes, until nothing more does.
    pub(crate) async fn run(self: Arc<Self>) {
        poll_fn(|context| self.poll(&mut self.consumer.lock(), context)).await;
        self.end();
    }

    /// Takes in what has come by now.
    fn catch_up(&self) {
        let consumer = self.consumer.lock();
        // Not by itself: it remembers who waits for it.
        let mut also = consumer.clone();
        let _ = self.poll(&mut also, &mut Context::from_waker(Waker::noop()));
    }

    fn poll(&self, consumer: &mut Consumer, context: &mut Context<'_>) -> Poll<()> {
        let (mut letters, now) = (Vec::new(), self.inner.clock.now());
        let polled = loop {
            match Pin::new(&mut *consumer).poll_next(context) {
                Poll::Ready(Some(Ok(delivery))) => {
                    letters.push((is_mark(&delivery.properties), self.letter(delivery, now)));
                }
                Poll::Ready(Some(Err(_)) | None) => break Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        if !letters.is_empty() {
            self.queue.change(|shelf| {
                if shelf.epoch() == self.epoch {
                    letters.into_iter().for_each(|(is_mark, letter)| self.put(shelf, letter, is_mark, now));
                }
            });
        }
        polled
    }

    fn letter(&self, delivery: Delivery, now: Instant) -> Arc<Letter> {
        let Delivery { delivery_tag: tag, properties, data, acker, .. } = delivery;
        let clock = &self.inner.clock;
        let id = || MessageId::generate(now, [clock.random(), clock.random()]);
        let envelope = envelope::read(&properties, data, now, id);
        let (lane, number) = (self.lane, self.inner.number());
        Arc::new(Letter { envelope, lane, number, tag, acker, arrived_at: now })
    }

    fn put(&self, shelf: &mut Shelf, letter: Arc<Letter>, is_mark: bool, now: Instant) {
        if is_mark {
            shelf.arrive_to_leave(&letter);
            self.inner.run(leave(self.inner.clone(), self.queue.clone(), letter, self.epoch));
            return;
        }
        // What has to wait for long does so on the server, where it takes no room from others.
        if self.lane != Lane::Again && wait_class(letter.envelope.due, now).is_some() {
            shelf.arrive_to_leave(&letter);
            self.inner.run(put_off(self.inner.clone(), self.queue.clone(), letter, self.epoch));
        } else {
            shelf.arrive(letter, now);
        }
    }

    /// The server sends nothing more, without having been asked: the queue is gone, or the channel.
    fn end(&self) {
        if self.queue.look(|shelf| shelf.epoch() == self.epoch && shelf.asked == self.asked) {
            self.inner.drop_channel(&self.queue, self.epoch);
        }
    }
}

impl Queue {
    /// Takes in what the server has sent by now: what it has said since is of what lies here.
    pub(crate) fn catch_up(&self) {
        let intakes = self.look(|shelf| shelf.intakes.clone());
        intakes.iter().filter_map(Weak::upgrade).for_each(|intake| intake.catch_up());
    }
}
