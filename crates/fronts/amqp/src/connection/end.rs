//! What a channel or a connection leaves behind, and how that is put in order.

use std::sync::Arc;

use forebay_core::delivery::Outcome;
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::text::ShortStr;
use futures_util::stream::StreamExt;

use super::session::Session;
use crate::channel::consumers::Consumer;
use crate::channel::unsettled::Held;
use crate::vhost::declare::OnlyIf;
use crate::vhost::queue::Queue;
use crate::vhost::registry::Vhost;

impl Session {
    /// Ends all that a channel has: its consumers go, what it published arrives, and what its client did not settle is
    /// given back in order.
    pub(crate) async fn release(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.incoming = None;
        let consumers = channel.consumers.take_all();
        let unsettled = channel.unsettled.take_all();
        self.give_back(&unsettled);
        self.apply_settles();
        for consumer in consumers {
            self.consumer_left(consumer).await;
        }
        self.await_publishes(number).await;
    }

    /// Gives back what the client may have seen: each is ready again in its old place, and counts as delivered before.
    pub(crate) fn give_back(&self, unsettled: &[Held]) {
        let now = self.now();
        for held in unsettled {
            self.settle(&held.queue.name, held.id, Outcome::RetryAt(now));
        }
    }

    /// A consumer is gone; its queue may be so, too.
    pub(crate) async fn consumer_left(&mut self, consumer: Consumer) {
        if consumer.queue.remove_consumer() {
            let shared = Arc::clone(&self.shared);
            delete_by_itself(&shared.vhost, &consumer.queue).await;
        }
    }

    /// Ends a consumer whose queue is gone.
    pub(crate) async fn cancel_by_server(&mut self, number: u16, tag: &str) {
        let consumer = self.channels.get_mut(&number).and_then(|channel| channel.consumers.remove(tag));
        let Some(consumer) = consumer else { return };
        consumer.queue.remove_consumer();
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
        self.channels.clear();
        let shared = Arc::clone(&self.shared);
        for queue in shared.vhost.owned_by(self.number) {
            delete_by_itself(&shared.vhost, &queue).await;
        }
        while self.settles.next().await.is_some() {}
    }
}

/// A queue goes with those who used it, without anybody being told.
async fn delete_by_itself(vhost: &Vhost, queue: &Queue) {
    if let Err(exception) = vhost.delete(queue, OnlyIf::default()).await {
        tracing::warn!(queue = %queue.name, %exception, "queue that is no longer used could not be deleted");
    }
}
