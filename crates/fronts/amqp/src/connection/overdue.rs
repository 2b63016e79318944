//! Deliveries that a consumer keeps for longer than its queue allows.

use forebay_wire::amqp::reply::ReplyCode;

use super::session::Session;
use crate::channel::unsettled::Held;
use crate::exception::Exception;

impl Session {
    /// The delivery is in the client's hands.
    pub(crate) fn hold(&mut self, number: u16, held: Held) {
        self.overdue_at = self.overdue_at.into_iter().chain(held.overdue_at()).min();
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.unsettled.hold(held);
        }
    }

    /// Closes the channels that have deliveries which are overdue; these go back into their queues.
    pub(crate) async fn close_overdue(&mut self) {
        let now = self.now();
        if self.overdue_at.is_none_or(|at| at > now) {
            return;
        }
        let firsts = self.channels.iter().filter(|(_, channel)| !channel.closing);
        let firsts = firsts.filter_map(|(number, channel)| {
            let first = channel.unsettled.first_overdue()?;
            Some((*number, first.overdue_at()?, first.queue.asked.consumer_timeout?))
        });
        let (overdue, later): (Vec<_>, Vec<_>) = firsts.partition(|(_, at, _)| *at <= now);
        self.overdue_at = later.into_iter().map(|(_, at, _)| at).min();
        for (number, _, timeout) in overdue {
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: {} ms. This timeout value \
                 can be configured, see consumers doc guide to learn more",
                timeout.as_millis()
            );
            self.raise(number, Exception::new(ReplyCode::PreconditionFailed, text)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_wire::amqp::methods::{basic, queue};
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};

    use crate::bench::{Bench, Client, declare};

    async fn declare_with_timeout(client: &mut Client, ms: i32) {
        let mut arguments = TableBuf::new();
        arguments.push(ShortBytes::new(b"x-consumer-timeout").unwrap(), Value::I32(ms));
        client.say(1, &queue::Declare { arguments: arguments.as_table(), ..declare("q") }).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
    }

    #[tokio::test]
    async fn a_message_that_was_asked_for_is_overdue_like_any_other() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        declare_with_timeout(&mut client, 5000).await;
        client.publish(1, "", "q", b"m").await;
        client.say(1, &basic::Get { ticket: 0, queue: ShortStr::cut("q"), no_ack: false }).await;
        client.expect::<basic::GetOk<'_>>(1).await;
        bench.pass(Duration::from_millis(4999)).await;
        assert!(client.hears_nothing().await);
        bench.pass(Duration::from_millis(1)).await;
        assert_eq!(client.closed(1).await, 406);
    }

    #[tokio::test]
    async fn a_delivery_is_overdue_its_time_after_it_went_out_and_not_later() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        declare_with_timeout(&mut client, 5000).await;
        client.consume(1, "q").await;
        bench.pass(Duration::from_secs(3)).await;
        client.publish(1, "", "q", b"settled").await;
        let settled = client.delivery(1).await;
        bench.pass(Duration::from_secs(1)).await;
        client.publish(1, "", "q", b"kept").await;
        client.delivery(1).await;
        client.ack(1, settled).await;
        bench.pass(Duration::from_secs(4)).await;
        assert!(client.hears_nothing().await);
        bench.pass(Duration::from_secs(1)).await;
        assert_eq!(client.closed(1).await, 406);
    }
}
