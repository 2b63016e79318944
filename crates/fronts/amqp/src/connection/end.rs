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
        self.give_back_all(number);
        let Some(channel) = self.channels.get_mut(&number) else { return };
        for consumer in channel.consumers.take_all() {
            self.consumer_left(consumer).await;
        }
    }

    /// Gives back what the client of a channel did not settle. Nothing comes in on the channel any more.
    fn give_back_all(&mut self, number: u16) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.incoming = None;
        // What was published arrives all the same; nobody is told.
        channel.commit = None;
        channel.replies = None;
        let mut unsettled = channel.unsettled.take_all();
        let uncommitted = channel.transaction.take().map(|mut all| all.take_settled()).unwrap_or_default();
        unsettled.extend(uncommitted.into_iter().flat_map(|(_, held)| held));
        unsettled.sort_unstable_by_key(|held| held.tag);
        self.give_back(&unsettled);
        self.apply_settles();
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
        self.vhost.is_there(&consumer.queue);
        if self.tells_cancels {
            self.send(number, &basic::Cancel { consumer_tag: ShortStr::cut(tag), nowait: true });
        }
    }

    /// Puts everything in order that the connection leaves behind.
    pub(crate) async fn finish(&mut self) {
        self.out.give_up();
        let numbers: Vec<_> = self.channels.keys().copied().collect();
        numbers.iter().for_each(|number| self.give_back_all(*number));
        // Only now: what a receive has taken and not brought yet comes behind what was brought before it.
        self.receives.clear();
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
        while self.commits.next().await.is_some() {}
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use forebay_core::delivery::Outcome;
    use forebay_core::limits;
    use forebay_core::ports::broker::{Broker, Receive};
    use forebay_core::ports::clock::Clock;
    use forebay_core::queue::QueueName;
    use forebay_wire::amqp::methods::{channel, connection, queue, tx};
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};
    use futures_util::future::FutureExt;

    use crate::bench::{Bench, declare, rest};

    #[tokio::test]
    async fn only_what_went_to_the_client_counts_as_delivered_before() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.publish(1, "", "q", b"small").await;
        // More than is on its way to a client that does not read.
        client.publish(1, "", "q", &[0; 20_000]).await;
        client.consume_blindly(1, "q").await;
        rest().await;
        client.vanish().await;
        let name = QueueName::new("q").unwrap();
        let receive = Receive { count_max: 2, hold: None, wait_until: bench.clock.now() };
        let again = bench.broker.receive(&name, receive).await.unwrap();
        let attempts: Vec<_> =
            again.iter().map(|delivery| (delivery.message.payload.len(), delivery.attempt)).collect();
        assert_eq!(attempts, [(5, 2), (20_000, 1)]);
    }

    #[tokio::test]
    async fn what_was_on_its_way_to_a_client_that_goes_comes_behind_what_it_had() {
        // Whether the front sees the client go or the delivery come first is left to chance.
        for _ in 0..20 {
            let bench = Bench::new();
            let mut client = bench.connect(1).await;
            client.say(1, &declare("q")).await;
            client.expect::<queue::DeclareOk<'_>>(1).await;
            let name = QueueName::new("q").unwrap();
            for payload in ["older", "younger"] {
                client.publish(1, "", "q", payload.as_bytes()).await;
            }
            rest().await;
            let wait_until = bench.clock.now() + Duration::from_secs(60);
            let receive = Receive { count_max: 2, hold: None, wait_until };
            let held = bench.broker.receive(&name, receive).await.unwrap();
            client.consume(1, "q").await;
            let give_back =
                |n: usize| bench.broker.settle(&name, held[n].id, Outcome::Return { seen: false }, None);
            give_back(0).await.unwrap();
            client.delivery(1).await;
            rest().await;
            let (broker, of) = (Arc::clone(&bench.broker), name.clone());
            let other =
                tokio::spawn(async move { broker.receive(&of, Receive { count_max: 1, ..receive }).await });
            rest().await;
            let mut given = give_back(1);
            assert!((&mut given).now_or_never().is_none());
            while bench.broker.log().step() {}
            assert!(given.now_or_never().is_some(), "it is on its way before the front can do anything");
            client.vanish().await;
            let next = other.await.unwrap().unwrap();
            assert_eq!(&*next[0].message.payload, b"older");
        }
    }

    #[tokio::test]
    async fn a_queue_of_one_connection_may_be_declared_anew_as_soon_as_that_hears_that_it_is_closed() {
        let bench = Bench::new();
        let (mut owner, mut next) = (bench.connect(1).await, bench.connect(1).await);
        let own = queue::Declare { exclusive: true, ..declare("own") };
        for declare in [own, queue::Declare { auto_delete: true, ..declare("used") }] {
            owner.say(1, &declare).await;
            owner.expect::<queue::DeclareOk<'_>>(1).await;
        }
        owner.consume(1, "used").await;
        // The connection cannot come to the queue that is its own before the other has gone.
        bench.hold_log(true);
        let (reply_text, class_id, method_id) = (ShortStr::default(), 0, 0);
        owner.say(0, &connection::Close { reply_code: 200, reply_text, class_id, method_id }).await;
        owner.expect::<connection::CloseOk>(0).await;
        rest().await;
        next.say(1, &own).await;
        assert!(next.hears_nothing().await, "it is not refused");
        bench.hold_log(false);
        next.expect::<queue::DeclareOk<'_>>(1).await;
        owner.vanish().await;
        next.say(1, &queue::Declare { passive: true, ..own }).await;
        next.expect::<queue::DeclareOk<'_>>(1).await;
    }

    #[tokio::test]
    async fn a_channel_that_is_closed_under_its_commit_hears_no_more_of_it() {
        let bench = Bench::new();
        bench.queue_that_waits_at("small", 1).await;
        let mut client = bench.connect(2).await;
        let mut arguments = TableBuf::new();
        arguments.push(ShortBytes::new(b"x-consumer-timeout").unwrap(), Value::I32(5000));
        client.say(1, &queue::Declare { arguments: arguments.as_table(), ..declare("timed") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.publish(2, "", "timed", b"kept").await;
        client.publish(2, "", "small", b"first").await;
        client.consume(1, "timed").await;
        client.delivery(1).await;
        client.say(1, &tx::Select {}).await;
        client.expect::<tx::SelectOk>(1).await;
        client.publish(1, "", "small", b"second").await;
        client.say(1, &tx::Commit {}).await;
        bench.pass(Duration::from_secs(5)).await;
        assert_eq!(client.closed(1).await, 406);
        client.consume(2, "small").await;
        let first = client.delivery(2).await;
        client.ack(2, first).await;
        bench.pass(limits::BROKER_PAUSE).await;
        client.delivery(2).await;
        assert!(client.hears_nothing().await);
        client.say(1, &channel::CloseOk {}).await;
    }
}
