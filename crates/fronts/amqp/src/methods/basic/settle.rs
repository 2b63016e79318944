//! Settling deliveries.

use forebay_core::delivery::{Outcome, Reason};
use forebay_wire::amqp::methods::basic;

use crate::channel::unsettled::{Held, Tags, Verdict};
use crate::connection::session::Session;
use crate::exception::Result;

impl Session {
    pub(crate) fn ack(&mut self, number: u16, ack: basic::Ack) -> Result<()> {
        let tags = Tags { last: ack.delivery_tag, multiple: ack.multiple };
        self.judge(number, tags, Verdict::Acked)
    }

    pub(crate) fn reject(&mut self, number: u16, reject: basic::Reject) -> Result<()> {
        let tags = Tags { last: reject.delivery_tag, multiple: false };
        self.judge(number, tags, refusal(reject.requeue))
    }

    pub(crate) fn nack(&mut self, number: u16, nack: basic::Nack) -> Result<()> {
        let tags = Tags { last: nack.delivery_tag, multiple: nack.multiple };
        self.judge(number, tags, refusal(nack.requeue))
    }

    /// Gives back all that the channel has. RabbitMQ does so too where it is asked to send it to this client again.
    pub(crate) fn recover(&mut self, number: u16, _requeue: bool) -> Result<()> {
        let held = self.channel(number)?.unsettled.take_all();
        self.settle_all(number, &held, Verdict::Requeued)?;
        self.apply_settles();
        Ok(())
    }

    /// Carries out what the client says of its deliveries, or keeps it for the commit.
    fn judge(&mut self, number: u16, tags: Tags, verdict: Verdict) -> Result<()> {
        let channel = self.channel(number)?;
        let held = channel.unsettled.take(tags)?;
        match &mut channel.transaction {
            Some(transaction) => {
                transaction.settle(held, verdict);
                Ok(())
            }
            None => self.settle_all(number, &held, verdict),
        }
    }

    /// Carries it out.
    pub(crate) fn settle_all(&mut self, number: u16, held: &[Held], verdict: Verdict) -> Result<()> {
        let channel = self.channel(number)?;
        held.iter().filter_map(|held| held.consumer).for_each(|consumer| channel.consumers.release(consumer));
        match verdict {
            Verdict::Acked => self.finish_with(held, Outcome::Done),
            Verdict::Requeued => self.give_back(held),
            Verdict::Rejected => self.give_up(held),
        }
        Ok(())
    }

    /// What is rejected becomes a dead letter where the queue says so, or another front declared it; otherwise it is dropped.
    fn give_up(&self, held: &[Held]) {
        let has_way = |held: &Held| held.queue.asked.dead_letter.is_some() || !held.queue.is_known;
        for alike in held.chunk_by(|one, other| has_way(one) == has_way(other)) {
            let outcome = match alike.first() {
                Some(first) if has_way(first) => Outcome::DeadLetter(Reason::Rejected),
                _ => Outcome::Done,
            };
            self.finish_with(alike, outcome);
        }
    }

    fn finish_with(&self, held: &[Held], outcome: Outcome) {
        // Mostly all are of one queue, and one wait serves those.
        for of_one in held.chunk_by(|one, other| one.queue.stored == other.queue.stored) {
            let ids = of_one.iter().map(|held| held.id).collect();
            self.settle_together(of_one.first().map(|held| &held.queue.stored), ids, outcome);
        }
    }

    /// Gives back what is not settled. What went to the client, or still will, is ready again in its old place and counts as
    /// delivered before, unless it has been delivered as often as its queue allows. What the client is gone without is as
    /// if it had never been handed out.
    pub(crate) fn give_back(&self, held: &[Held]) {
        let end = self.out.end();
        let outcome = |held: &Held| {
            let is_seen = held.ends_at <= end;
            let limit = held.queue.asked.delivery_limit;
            match limit.is_some_and(|limit| u64::from(held.attempt) > limit) {
                true if is_seen => Outcome::DeadLetter(Reason::DeliveryLimit),
                _ => Outcome::Return { seen: is_seen },
            }
        };
        for alike in held.chunk_by(|one, other| outcome(one) == outcome(other)) {
            alike.first().map(outcome).into_iter().for_each(|outcome| self.finish_with(alike, outcome));
        }
    }
}

fn refusal(requeue: bool) -> Verdict {
    if requeue { Verdict::Requeued } else { Verdict::Rejected }
}
