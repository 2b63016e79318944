//! What a channel or a connection leaves behind, and how that is put in order.

use std::sync::Arc;

use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::text::ShortStr;
use futures_util::stream::StreamExt;

use super::session::Session;
use crate::channel::consumers::Consumer;

impl Session {
    /// Ends all that a channel has but what it has published: its consumers go, and what its client did not settle is
    /// given back in order.
    pub(crate) async fn release(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.incoming = None;
        let consumers = channel.consumers.take_all();
        channel.replies = None;
        let mut unsettled = channel.unsettled.take_all();
        let uncommitted = channel.transaction.take().map(|mut all| all.take_settled()).unwrap_or_default();
        unsettled.extend(uncommitted.into_iter().flat_map(|(_, held)| held));
        unsettled.sort_unstable_by_key(|held| held.tag);
        self.give_back(&unsettled);
        self.apply_settles();
        for consumer in consumers {
            self.consumer_left(consumer).await;
        }
    }

    /// A consumer is gone; its queue may be so, too.
    pub(crate) async fn consumer_left(&mut self, consumer: Consumer) {
        if consumer.queue.remove_consumer(self.now()) {
            self.vhost.let_go(&consumer.queue).await;
        }
    }

    /// Ends a consumer whose queue is gone.
    pub(crate) async fn cancel_by_server(&mut self, number: u16, tag: &str) {
        let consumer = self.channels.get_mut(&number).and_then(|channel| channel.consumers.remove(tag));
        let Some(consumer) = consumer else { return };
        consumer.queue.remove_consumer(self.now());
        if self.tells_cancels {
            self.send(number, &basic::Cancel { consumer_tag: ShortStr::cut(tag), nowait: true });
        }
    }

    /// Puts everything in order that the connection leaves behind.
    pub(crate) async fn finish(&mut self) {
        self.receives.clear();
        let numbers: Vec<_> = self.channels.keys().copied().collect();
        for number in numbers {
            self.release(number).await;
        }
        self.await_publishes().await;
        self.channels.clear();
        for queue in self.vhost.owned_by(self.number) {
            queue.go();
            self.vhost.let_go(&queue).await;
        }
        while self.settles.next().await.is_some() {}
    }

    /// Lets what was published arrive, unless it must wait for room: then the publisher has gone without its confirm.
    async fn await_publishes(&mut self) {
        let gate = Arc::clone(&self.gate);
        self.start_batches();
        while !self.gate.is_shut() {
            tokio::select! {
                batch = self.batches.next() => match batch {
                    Some(batch) => self.arrived(batch),
                    None => return,
                },
                () = gate.changed() => {}
            }
            self.start_batches();
        }
    }
}
