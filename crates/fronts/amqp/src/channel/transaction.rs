//! What a channel with transactions has said since its last commit: it takes effect with the next, or never.

use std::sync::Arc;

use forebay_core::limits;

use super::publisher::Outbound;
use super::unsettled::{Held, Verdict};
use crate::budget::{Budget, Room};
use crate::exception::{Exception, Result};

/// A message that is published with the commit.
#[derive(Debug)]
pub(crate) struct Postponed {
    pub(crate) outbound: Outbound,
    /// It goes back to the publisher where nobody takes it, from this exchange with this key.
    pub(crate) returned: Option<(String, String)>,
    /// What it has of the connection's allowance.
    pub(crate) room: [Room; 3],
}

/// What the transactions of one connection may have together, and those of all.
#[derive(Debug)]
pub(crate) struct Allowance {
    messages: Arc<Budget>,
    bytes: Arc<Budget>,
    of_all: Arc<Budget>,
}

impl Allowance {
    /// `of_all` are the bytes of all connections.
    pub(crate) fn new(of_all: Arc<Budget>) -> Self {
        let messages = Budget::new(limits::amqp::TX_MESSAGES_MAX);
        Self { messages, bytes: Budget::new(limits::amqp::TX_BYTES_MAX), of_all }
    }

    /// Room for one message of so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Result<[Room; 3]> {
        let refused = || Exception::precondition("transactions have too many messages, commit more often");
        let (one, own) = (self.messages.take(1), self.bytes.take(bytes));
        Ok([one.ok_or_else(refused)?, own.ok_or_else(refused)?, self.of_all.take(bytes).ok_or_else(refused)?])
    }
}

/// What waits for the commit.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    messages: Vec<Postponed>,
    settled: Vec<(Verdict, Vec<Held>)>,
    held: usize,
}

impl Transaction {
    /// A message is published.
    pub(crate) fn publish(&mut self, postponed: Postponed) {
        self.messages.push(postponed);
    }

    /// Deliveries are settled.
    pub(crate) fn settle(&mut self, held: Vec<Held>, verdict: Verdict) {
        self.held += held.len();
        match self.settled.last_mut().filter(|(last, _)| *last == verdict) {
            Some((_, last)) => last.extend(held),
            None => self.settled.push((verdict, held)),
        }
    }

    /// Deliveries whose settling waits.
    pub(crate) fn held_len(&self) -> usize {
        self.held
    }

    /// Takes out the messages, in their order.
    pub(crate) fn take_messages(&mut self) -> Vec<Postponed> {
        std::mem::take(&mut self.messages)
    }

    /// Takes out what was settled, in the client's order.
    pub(crate) fn take_settled(&mut self) -> Vec<(Verdict, Vec<Held>)> {
        self.held = 0;
        std::mem::take(&mut self.settled)
    }
}

#[cfg(test)]
mod tests {
    use forebay_wire::amqp::methods::{queue, tx};
    use forebay_wire::amqp::properties::Properties;
    use forebay_wire::amqp::table::{TableBuf, Value};
    use forebay_wire::amqp::text::ShortBytes;

    use super::*;
    use crate::bench::{Bench, Client, declare};

    #[test]
    fn an_allowance_ends_at_a_number_and_at_a_size_of_one_connection_and_of_all() {
        let all = Budget::new(limits::amqp::TX_BYTES_MAX + 10);
        let (one, other) = (Allowance::new(Arc::clone(&all)), Allowance::new(all));
        let refused = |taken: Result<[Room; 3]>| taken.unwrap_err().to_string();
        let room = one.take(limits::amqp::TX_BYTES_MAX).unwrap();
        let text = "PRECONDITION_FAILED - transactions have too many messages, commit more often";
        assert_eq!(refused(one.take(1)), text);
        assert_eq!(refused(other.take(11)), text);
        assert!(other.take(10).is_ok());
        drop(room);
        let many: Vec<_> = (0..limits::amqp::TX_MESSAGES_MAX).map(|_| one.take(0).unwrap()).collect();
        assert!(one.take(0).is_err());
        drop(many);
        assert!(one.take(limits::amqp::TX_BYTES_MAX).is_ok());
    }

    async fn publish(client: &mut Client, number: u16) {
        let (mut table, names) = (TableBuf::new(), ["a", "b", "c", "d"].repeat(200));
        for name in names {
            table.push(ShortBytes::new(name.as_bytes()).unwrap(), Value::Void);
        }
        let properties = Properties { headers: Some(table.as_table()), ..Properties::default() };
        client.publish_with(number, "", "q", &properties, b"").await;
    }

    #[tokio::test]
    async fn the_transactions_of_a_connection_have_one_bound_in_which_headers_count() {
        let bench = Bench::new();
        let mut client = bench.connect(3).await;
        client.say(1, &declare("q")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        for number in 1..=3 {
            client.say(number, &tx::Select {}).await;
            client.expect::<tx::SelectOk>(number).await;
        }
        let many = limits::amqp::TX_BYTES_MAX / (800 * size_of::<forebay_core::message::Value>()) / 2;
        for _ in 0..many {
            publish(&mut client, 1).await;
        }
        client.say(1, &tx::Rollback {}).await;
        client.expect::<tx::RollbackOk>(1).await;
        for _ in 0..many {
            publish(&mut client, 2).await;
        }
        assert!(client.hears_nothing().await, "what was rolled back counts no more");
        for _ in 0..many {
            publish(&mut client, 3).await;
        }
        assert_eq!(client.closed(3).await, 406);
    }
}
