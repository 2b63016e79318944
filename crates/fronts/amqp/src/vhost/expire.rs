//! Queues that go by themselves: with who used them, or when nobody has for their time.

use forebay_core::error::Kind;

use super::queue::Queue;
use super::registry::Vhost;

impl Vhost {
    /// Deletes the queues whose time has come, and those that could not be deleted when they were to go.
    pub(crate) async fn expire_unused(&self) {
        for queue in self.expiring() {
            let now = self.clock.now();
            if queue.is_unused(now) {
                // Another front may have used it.
                self.broker.used_at(&queue.stored).into_iter().for_each(|at| queue.touch(at));
            }
            if queue.goes_unused(now) {
                self.let_go(&queue).await;
            }
        }
    }

    /// Deletes a queue that goes by itself, without anybody being told. What fails is tried again with those whose time has
    /// come, until it is done or the broker is closed.
    pub(crate) async fn let_go(&self, queue: &Queue) {
        let _declaring = self.declaring.lock().await;
        if let Err(error) = self.remove(queue).await
            && error.kind() != Kind::Closed
            && self.note_going(queue)
        {
            tracing::warn!(queue = %queue.name, %error, "queue that is no longer used is not deleted yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use forebay_core::delivery::Outcome;
    use forebay_core::error::Kind;
    use forebay_core::limits;
    use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
    use forebay_core::ports::clock::Clock;
    use forebay_core::queue::QueueName;
    use forebay_log::LogOptions;
    use forebay_wire::amqp::methods::{basic, connection, queue};
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};
    use futures_util::future::FutureExt;

    use crate::bench::{Bench, consume, declare, rest};

    #[tokio::test]
    async fn who_comes_when_the_last_consumer_has_left_finds_no_queue_or_declares_a_new_one() {
        let bench = Bench::new();
        let (mut one, mut other) = (bench.connect(1).await, bench.connect(2).await);
        one.say(1, &queue::Declare { auto_delete: true, ..declare("q") }).await;
        one.expect::<queue::DeclareOk<'_>>(1).await;
        one.consume(1, "q").await;
        other.publish(1, "", "q", b"goes with the queue").await;
        one.delivery(1).await;
        let vhost = bench.shared.default_vhost();
        let declaring = vhost.declaring.lock().await;
        one.say(1, &basic::Cancel { consumer_tag: ShortStr::cut("q"), nowait: false }).await;
        rest().await;
        other.say(1, &consume("q")).await;
        assert_eq!(other.closed(1).await, 404);
        other.say(2, &queue::Declare { auto_delete: true, ..declare("q") }).await;
        drop(declaring);
        other.expect::<queue::DeclareOk<'_>>(2).await;
        one.expect::<basic::CancelOk<'_>>(1).await;
        other.consume(2, "q").await;
        assert!(other.hears_nothing().await);
        assert!(bench.broker.queue_number(&QueueName::new("q").unwrap()).is_some());
    }

    #[tokio::test]
    async fn a_queue_that_another_front_uses_does_not_expire() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        let (mut arguments, name) = (TableBuf::new(), QueueName::new("q").unwrap());
        arguments.push(ShortBytes::new(b"x-expires").unwrap(), Value::I32(5000));
        client.say(1, &queue::Declare { arguments: arguments.as_table(), ..declare("q") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        for body in [b"1", b"2"] {
            client.publish(1, "", "q", body).await;
        }
        rest().await;
        let vhost = bench.shared.default_vhost();
        let is_there = async |seconds| {
            bench.pass(Duration::from_secs(seconds)).await;
            vhost.expire_unused().await;
            bench.broker.queue_number(&name).is_some()
        };
        let (count_max, hold) = (1, Some(Duration::from_secs(60)));
        let receive = |wait_until| bench.broker.receive(&name, Receive { count_max, hold, wait_until });
        let held = receive(bench.clock.now()).await.unwrap();
        assert!(is_there(4).await && is_there(4).await, "it is in somebody's hands");
        bench.broker.settle(&name, held[0].id, Outcome::Done, None).await.unwrap();
        assert!(is_there(4).await, "it was settled since");
        // A client of this front whose hold has no end is not there for as long as it has something.
        client.say(1, &basic::Get { ticket: 0, queue: ShortStr::cut("q"), no_ack: false }).await;
        client.expect::<basic::GetOk<'_>>(1).await;
        assert!(is_there(4).await);
        let mut waiting = receive(bench.clock.now() + Duration::from_secs(60));
        assert!((&mut waiting).now_or_never().is_none());
        assert!(is_there(4).await && is_there(4).await, "somebody waits");
        drop(waiting);
        assert!(is_there(4).await, "and has done so until now");
        assert!(!is_there(4).await);
    }

    #[tokio::test]
    async fn a_queue_that_is_about_to_go_is_declared_anew() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        let vhost = bench.shared.default_vhost();
        let going = vhost.find("q").await.unwrap();
        going.go();
        assert!(vhost.route("", "q", &Default::default()).await.unwrap().is_empty());
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        assert!(!Arc::ptr_eq(&going, &vhost.find("q").await.unwrap()));
        vhost.let_go(&going).await;
        assert!(vhost.find("q").await.is_ok(), "another queue is not deleted by its name");
    }

    #[tokio::test]
    async fn a_deletion_that_fails_leaves_the_queue_as_it_was_and_is_tried_again() {
        let segment_bytes = 4096;
        let disk_bytes_max = 1000 * u64::from(segment_bytes);
        let bench = Bench::with(LogOptions { segment_bytes, disk_bytes_max, ..LogOptions::default() });
        let (mut owner, mut other) = (bench.connect(1).await, bench.connect(2).await);
        for (name, exclusive) in [("own", true), ("shared", false)] {
            owner.say(1, &queue::Declare { exclusive, ..declare(name) }).await;
            owner.expect::<queue::DeclareOk<'_>>(1).await;
        }
        let (own, shared) = (QueueName::new("own").unwrap(), QueueName::new("shared").unwrap());
        bench.files.limit_bytes(Some(bench.files.used_bytes()));
        let full = loop {
            match bench.broker.purge(&shared).await {
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(full, Kind::Full);
        other.say(1, &queue::Delete { queue: ShortStr::cut("shared"), ..delete() }).await;
        other.expect::<connection::Close<'_>>(0).await;
        owner.vanish().await;
        let vhost = bench.shared.default_vhost();
        vhost.expire_unused().await;
        assert!(vhost.known(&own).is_some_and(|queue| queue.owner.is_some()));
        bench.files.limit_bytes(None);
        bench.pass(limits::BROKER_PAUSE).await;
        vhost.expire_unused().await;
        assert!(bench.broker.queue_number(&own).is_none());
        assert!(vhost.known(&own).is_none() && vhost.expiring().is_empty());
        assert!(vhost.find("shared").await.is_ok());
    }

    #[tokio::test]
    async fn nobody_comes_to_a_queue_that_is_deleted_because_nobody_uses_it() {
        let bench = Bench::new();
        let (mut one, mut other) = (bench.connect(1).await, bench.connect(2).await);
        one.say(1, &declare("q")).await;
        one.expect::<queue::DeclareOk<'_>>(1).await;
        bench.hold_log(true);
        one.say(1, &queue::Delete { queue: ShortStr::cut("q"), if_unused: true, ..delete() }).await;
        rest().await;
        other.say(1, &consume("q")).await;
        assert_eq!(other.closed(1).await, 404);
        bench.hold_log(false);
        one.expect::<queue::DeleteOk>(1).await;
        other.say(2, &declare("q")).await;
        other.expect::<queue::DeclareOk<'_>>(2).await;
        other.consume(2, "q").await;
        one.say(1, &queue::Delete { queue: ShortStr::cut("q"), if_unused: true, ..delete() }).await;
        assert_eq!(one.closed(1).await, 406);
    }

    #[tokio::test]
    async fn a_deletion_that_fails_lets_consumers_come_again() {
        let bench = Bench::new();
        let mut client = bench.connect(2).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        client.publish(1, "", "q", b"there").await;
        rest().await;
        let only_if =
            queue::Delete { queue: ShortStr::cut("q"), if_unused: true, if_empty: true, ..delete() };
        client.say(1, &only_if).await;
        assert_eq!(client.closed(1).await, 406);
        client.consume(2, "q").await;
        client.delivery(2).await;
    }

    fn delete() -> queue::Delete<'static> {
        queue::Delete {
            ticket: 0,
            queue: ShortStr::default(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        }
    }
}
