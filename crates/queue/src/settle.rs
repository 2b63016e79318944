//! The one door through which every delivery ends.

use forebay_core::delivery::{DeliveryId, End, Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::queue::{QueueName, RetryPolicy};

use crate::outcome::decide;
use crate::queues::Queues;

impl Queues {
    /// Ends a held delivery: decides by its attempt and its queue's policy, and carries it out. `Done`: durable.
    /// `NotHeld`: the hold had ended before, and nothing was changed. `Err`: the delivery still stands or the outcome
    /// holds; it may repeat. `note` says why it failed, and is kept in the history.
    pub async fn settle(
        &self,
        queue: &QueueName,
        delivery: DeliveryId,
        end: End,
        note: Option<&str>,
    ) -> Result<Settled> {
        Ok(match self.end(queue, delivery, end, note).await? {
            Some(_) => Settled::Done,
            None => Settled::NotHeld,
        })
    }

    /// Like [`settle`](Self::settle), and says what became of the message; `None` if it was no longer held.
    pub async fn end(
        &self,
        queue: &QueueName,
        delivery: DeliveryId,
        end: End,
        note: Option<&str>,
    ) -> Result<Option<Outcome>> {
        let (attempt, retry) = match end {
            // These ends look at neither, and are the hot path: an acknowledgement reads nothing back.
            End::Acked | End::Returned | End::Rejected => (1, RetryPolicy::default()),
            End::Failed | End::Expired => match self.broker.held(queue, delivery).await? {
                Some(held) => (held.attempt, held.retry),
                None => return Ok(None),
            },
        };
        let outcome = decide(attempt, &retry, end, self.clock.now(), self.clock.random());
        Ok(match self.broker.settle(queue, delivery, outcome, note).await? {
            Settled::Done => Some(outcome),
            Settled::NotHeld => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use forebay_contract::runner::Runner;
    use forebay_core::delivery::Reason;

    use super::*;
    use crate::deliver::ReceiveOptions;
    use crate::scripted::Scripted;

    #[test]
    fn a_failure_is_decided_by_the_attempts_and_the_queues_policy() {
        let runner = Runner::new();
        let queue = QueueName::new("q").unwrap();
        for (attempt_max, retried) in [(1, false), (2, true)] {
            let broker = Scripted::new(attempt_max);
            broker.add(&["m"]);
            let queues = broker.queues();
            let delivery =
                runner.block_on(queues.receive(&queue, ReceiveOptions::default())).unwrap().remove(0);
            let end = || queues.end(&queue, delivery.id, End::Failed, Some("why"));
            let outcome = runner.block_on(end()).unwrap().unwrap();
            assert_eq!(matches!(outcome, Outcome::RetryAt(_)), retried);
            assert_eq!(outcome == Outcome::DeadLetter(Reason::AttemptsSpent), !retried);
            assert_eq!(broker.state.lock().settled[0].2.as_deref(), Some("why"));
            assert_eq!(runner.block_on(end()).unwrap(), None, "it is no longer held");
        }
    }

    #[test]
    fn a_late_acknowledgement_says_that_it_is_no_longer_held() {
        let (runner, broker) = (Runner::new(), Scripted::new(3));
        let queue = QueueName::new("q").unwrap();
        let unheld = DeliveryId { position: 1, token: 1 };
        let settled = runner.block_on(broker.queues().settle(&queue, unheld, End::Acked, None)).unwrap();
        assert_eq!(settled, Settled::NotHeld);
    }
}
