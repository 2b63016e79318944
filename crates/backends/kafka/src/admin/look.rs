//! Taking what is in a queue to look at it, and to send it back to where it came from.

use std::sync::Arc;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::limits::kafka::OPEN_MAX;
use forebay_core::ports::broker::{Peeked, Receive};
use forebay_core::queue::QueueName;
use forebay_envelope::envelope::Envelope;
use forebay_envelope::taken::Taken;

use crate::inner::Inner;
use crate::queue::Queue;
use crate::queue::commit::Change;

impl Inner {
    pub(super) async fn peek(self: &Arc<Self>, name: &QueueName, count_max: usize) -> Result<Vec<Peeked>> {
        let queue = self.queue_anew(name, "peek into queue").await?;
        // Whoever asks for messages has them brought here.
        let mut taken = Taken::none(&*queue);
        let deliveries = self.take_to_look(&queue, &mut taken, count_max).await?;
        Ok(deliveries.into_iter().map(|delivery| Peeked { delivery }).collect())
    }

    async fn take_to_look(
        self: &Arc<Self>,
        queue: &Queue,
        taken: &mut Taken<'_, Queue>,
        count_max: usize,
    ) -> Result<Vec<Delivery>> {
        let count_max = count_max.clamp(1, limits::RECEIVE_DELIVERIES_MAX);
        let mut all = Vec::new();
        loop {
            let asked =
                Receive { count_max: count_max - all.len(), hold: None, wait_until: self.clock.now() };
            let more = self.receive(queue.name(), asked).await?;
            taken.extend(more.iter().map(|delivery| delivery.id));
            let nothing = more.is_empty();
            all.extend(more);
            if nothing || all.len() == count_max {
                return Ok(all);
            }
        }
    }

    pub(super) async fn redrive(self: &Arc<Self>, name: &QueueName, count_max: usize) -> Result<u64> {
        const REDRIVE: &str = "redrive queue";
        let queue = self.queue_anew(name, REDRIVE).await?;
        let (mut redriven, mut taken) = (0, Taken::none(&*queue));
        loop {
            let room = count_max.saturating_sub(redriven as usize).min(limits::RECEIVE_DELIVERIES_MAX);
            if room == 0 || taken.count() >= OPEN_MAX {
                return Ok(redriven);
            }
            let deliveries = self.take_to_look(&queue, &mut taken, room).await?;
            if deliveries.is_empty() {
                return Ok(redriven);
            }
            let mut failed = None;
            for delivery in deliveries {
                match self.send_back(&queue, delivery.id, REDRIVE).await {
                    Ok(sent) => redriven += u64::from(sent),
                    Err(error) => failed = Some(error),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            taken.settle();
        }
    }

    /// Publishes a dead letter to where it came from. `false`: it came from nowhere, or that is gone, or it is not held any
    /// more.
    async fn send_back(
        self: &Arc<Self>,
        queue: &Queue,
        delivery: DeliveryId,
        operation: &'static str,
    ) -> Result<bool> {
        let Some(grip) = queue.grip(delivery.position, delivery.token) else { return Ok(false) };
        let Some(letter) = grip.letter().cloned() else { return Ok(false) };
        let Some(from) = letter.envelope.history.last().map(|line| line.queue.clone()) else {
            return Ok(false);
        };
        let home = match self.queue(&from, operation).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            found => found?,
        };
        let now = self.clock.now();
        let envelope = Envelope { attempts: 0, due: now, published_at: now, ..letter.envelope.clone() };
        match self.bounded(operation, self.put(&home, vec![(envelope, None)], operation)).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(false),
            put => put?,
        }
        self.mark_gone(queue, letter.gone(), operation).await?;
        self.end(queue, grip, Change::Settled, true).await.map(|_| true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::message::{Message, MessageId};
    use forebay_core::queue::QueueSettings;
    use forebay_core::time::Instant;

    use super::*;
    use crate::queue::intake::Record;
    use crate::queue::letter::Source;
    use crate::queue::names::{Lane, Names};

    #[test]
    fn what_was_taken_to_look_at_is_ready_again_however_the_look_ends() {
        let (name, now) = (QueueName::new("q").unwrap(), Instant::from_ms(1_000));
        let names = Names::new("", &name, 1).unwrap();
        let queue = Queue::new(QueueSettings::new(name), 1, names);
        let source = Source { lane: Lane::Main, partition: 0 };
        queue.change(|shelf| {
            shelf.assign(source, 0, "", 0);
            for offset in 0..3_u8 {
                let message = Message::new(MessageId::given("m").unwrap(), "payload".into());
                let envelope = Envelope::new(message, now);
                let record = Record {
                    source,
                    offset: offset.into(),
                    put_ms: now.as_ms(),
                    origin: None,
                    envelope,
                    header_bytes: 0,
                };
                shelf.arrive(record, offset.into(), now);
            }
        });
        let take = || -> Vec<u64> {
            let taken = queue.change(|shelf| shelf.take(10, now + Duration::from_secs(30), 7, now).taken);
            taken.iter().map(|held| held.letter.number).collect()
        };
        let mut taken = Taken::none(&queue);
        taken.extend(take().into_iter().map(|position| DeliveryId { position, token: 7 }));
        // One was sent back meanwhile.
        drop(queue.grip(1, 7).unwrap().begin(Change::Settled, true));
        taken.settle();
        assert_eq!(taken.count(), 2);
        assert!(take().is_empty());
        drop(taken);
        assert_eq!(take(), [0, 2]);
    }
}
