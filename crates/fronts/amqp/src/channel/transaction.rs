//! What a channel with transactions has said since its last commit: it takes effect with the next, or never.

use forebay_core::limits;

use super::publisher::Outbound;
use super::unsettled::{Held, Verdict};
use crate::exception::{Exception, Result};

/// A message that is published with the commit.
#[derive(Debug)]
pub(crate) struct Postponed {
    pub(crate) outbound: Outbound,
    /// It goes back to the publisher where nobody takes it, from this exchange with this key.
    pub(crate) returned: Option<(String, String)>,
}

/// What waits for the commit.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    messages: Vec<Postponed>,
    bytes: usize,
    settled: Vec<(Verdict, Vec<Held>)>,
    held: usize,
}

impl Transaction {
    /// A message is published.
    pub(crate) fn publish(&mut self, postponed: Postponed) -> Result<()> {
        let bytes = self.bytes + postponed.outbound.message.payload.len();
        if self.messages.len() >= limits::AMQP_TX_MESSAGES_MAX || bytes > limits::AMQP_TX_BYTES_MAX {
            return Err(Exception::precondition("transaction has too many messages, commit more often"));
        }
        self.bytes = bytes;
        self.messages.push(postponed);
        Ok(())
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
        self.bytes = 0;
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
    use forebay_core::message::{Message, MessageId};

    use super::*;

    fn postponed(bytes: usize) -> Postponed {
        let message = Message::new(MessageId::given("m").unwrap(), vec![0; bytes].into());
        let (queues, number) = (Vec::new(), None);
        Postponed { outbound: Outbound { message, queues, number }, returned: None }
    }

    #[test]
    fn a_transaction_at_its_bounds_takes_no_more_until_it_ends() {
        let mut transaction = Transaction::default();
        assert!(transaction.publish(postponed(limits::AMQP_TX_BYTES_MAX)).is_ok());
        assert!(transaction.publish(postponed(1)).is_err());
        assert!(transaction.publish(postponed(0)).is_ok());
        assert_eq!(transaction.take_messages().len(), 2);
        for _ in 0..limits::AMQP_TX_MESSAGES_MAX {
            transaction.publish(postponed(0)).unwrap();
        }
        assert!(transaction.publish(postponed(0)).is_err());
    }
}
