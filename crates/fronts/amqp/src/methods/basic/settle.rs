//! Settling deliveries.

use forebay_core::delivery::Outcome;
use forebay_wire::amqp::methods::basic;

use crate::channel::unsettled::{Held, Tags};
use crate::connection::session::Session;
use crate::exception::Result;

impl Session {
    pub(crate) fn ack(&mut self, number: u16, ack: basic::Ack) -> Result<()> {
        let tags = Tags { last: ack.delivery_tag, multiple: ack.multiple };
        let settled = self.take_settled(number, tags)?;
        self.settle_all(&settled, Outcome::Done);
        Ok(())
    }

    pub(crate) fn reject(&mut self, number: u16, reject: basic::Reject) -> Result<()> {
        self.refuse(number, Tags { last: reject.delivery_tag, multiple: false }, reject.requeue)
    }

    pub(crate) fn nack(&mut self, number: u16, nack: basic::Nack) -> Result<()> {
        self.refuse(number, Tags { last: nack.delivery_tag, multiple: nack.multiple }, nack.requeue)
    }

    /// What is refused for good is dropped: the queue has no dead-letter exchange.
    fn refuse(&mut self, number: u16, tags: Tags, requeue: bool) -> Result<()> {
        let settled = self.take_settled(number, tags)?;
        if requeue {
            self.give_back(&settled);
        } else {
            self.settle_all(&settled, Outcome::Done);
        }
        Ok(())
    }

    /// Gives back all that the channel has. RabbitMQ does so too where it is asked to send it to this client again.
    pub(crate) fn recover(&mut self, number: u16, _requeue: bool) -> Result<()> {
        let settled = self.take_settled(number, Tags { last: 0, multiple: true })?;
        self.give_back(&settled);
        self.apply_settles();
        Ok(())
    }

    fn take_settled(&mut self, number: u16, tags: Tags) -> Result<Vec<Held>> {
        let channel = self.channel(number)?;
        let settled = channel.unsettled.take(tags)?;
        settled
            .iter()
            .filter_map(|held| held.consumer)
            .for_each(|consumer| channel.consumers.release(consumer));
        Ok(settled)
    }

    fn settle_all(&self, settled: &[Held], outcome: Outcome) {
        settled.iter().for_each(|held| self.settle(&held.queue.name, held.id, outcome));
    }
}
