//! Ending deliveries, and prolonging them.

use std::time::Duration;

use forebay_core::delivery::{DeliveryId, Outcome};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::broker::Held;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::engine::Engine;
use crate::moves::Pick;
use crate::records::Record;
use crate::state::State;
use crate::topology::Queue;

/// How far the settling of several deliveries has come.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// So many were looked at,
    pub(crate) seen: usize,
    /// and so many of them were held.
    pub(crate) settled: u64,
    /// The sequence that makes it durable.
    pub(crate) last: u64,
    /// Why the first could not be dead-lettered of those that could not. They are held no more.
    pub(crate) refused: Option<Error>,
}

impl Settling {
    fn note(&mut self, settled: Option<u64>) {
        self.seen += 1;
        self.settled += u64::from(settled.is_some());
        self.last = self.last.max(settled.unwrap_or(0));
    }
}

impl Engine {
    /// Carries out the outcome and returns the sequence that makes it durable; `None` if the delivery is not held.
    /// One whose hold has run out and was not settled yet still counts as held: the late word of its consumer is worth
    /// more than a guess.
    pub(crate) fn settle(
        &self,
        name: &QueueName,
        id: DeliveryId,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Result<Option<u64>> {
        let found = self.topology.find(name)?;
        found.touch(self.clock.now());
        if let Outcome::DeadLetter(reason) = outcome {
            return self.dead_letter(&found, Pick::Held(id), reason, note);
        }
        let mut state = found.lock()?;
        let settled = self.settle_here(&found, &mut state, id, outcome)?;
        if settled.is_some() {
            self.drop_overflow(&found, &mut state);
        }
        self.changed(&found, &mut state);
        Ok(settled)
    }

    /// As [`settle`](Self::settle), of a slice of those of `ids` that `progress` has not come to. After an error it may go on
    /// where it has stopped.
    pub(crate) fn settle_many(
        &self,
        name: &QueueName,
        ids: &[DeliveryId],
        outcome: Outcome,
        progress: &mut Settling,
    ) -> Result<()> {
        let found = self.topology.find(name)?;
        let slice = ids.iter().skip(progress.seen).take(limits::SLICE_MESSAGES_MAX);
        if let Outcome::DeadLetter(reason) = outcome {
            for id in slice {
                let pick = Pick::Held(*id);
                match self.dead_letter(&found, pick, reason, None) {
                    // The others are not to wait for it to be mended.
                    Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Io) => {
                        self.put_off(&found, pick, &error);
                        progress.note(None);
                        progress.refused.get_or_insert(error);
                    }
                    moved => progress.note(moved?),
                }
            }
            return Ok(());
        }
        let mut state = found.lock()?;
        let settled = slice.map(|id| self.settle_here(&found, &mut state, *id, outcome));
        let settled = settled.map(|settled| settled.map(|settled| progress.note(settled)));
        let settled = settled.collect::<Result<()>>();
        self.drop_overflow(&found, &mut state);
        self.changed(&found, &mut state);
        settled
    }

    /// Carries out an outcome that leaves the message where it is, or ends it.
    fn settle_here(
        &self,
        found: &Queue,
        state: &mut State,
        DeliveryId { position, token }: DeliveryId,
        outcome: Outcome,
    ) -> Result<Option<u64>> {
        let queue = found.number;
        if state.unsettled.held(position, token).is_none() {
            return Ok(None);
        }
        let at = match outcome {
            Outcome::Return { .. } | Outcome::RetryAt(_) if state.is_overtaken(position) => {
                let at = self.journal.append(&Record::Settle { queue, position })?;
                state.take(position).into_iter().for_each(|entry| self.forget(entry));
                state.counts.dropped += 1;
                at
            }
            Outcome::Done | Outcome::DeadLetter(_) => {
                let at = self.finish(queue, state, position)?;
                state.counts.acked += 1;
                at
            }
            Outcome::Return { seen } => {
                let at = self.journal.append(&Record::Return { queue, position, seen })?;
                state.give_back(position, seen);
                at
            }
            Outcome::RetryAt(until) => {
                let at = self.journal.append(&Record::Retry { queue, position, at: until })?;
                state.retry(position, until, self.clock.now());
                state.counts.retried += 1;
                at
            }
        };
        Ok(Some(found.awaited(at.sequence)))
    }

    /// What is known of the delivery while it is held. Nothing is read for it: a message that cannot be read can still be
    /// settled.
    pub(crate) fn held(&self, name: &QueueName, id: DeliveryId) -> Result<Option<Held>> {
        let queue = self.topology.find(name)?;
        let state = queue.lock()?;
        let held = state.unsettled.held(id.position, id.token);
        let retry = state.settings.retry;
        Ok(held.map(|held| Held { attempt: held.entry.attempts.into(), retry, held_until: held.until }))
    }

    /// Holds the delivery for longer; not once its end has been offered to somebody else.
    pub(crate) fn extend(&self, name: &QueueName, id: DeliveryId, hold: Duration) -> Result<Option<Instant>> {
        let queue = self.topology.find(name)?;
        let mut state = queue.lock()?;
        if !state.is_held(id.position, id.token) {
            return Ok(None);
        }
        let held_until = self.clock.now() + hold;
        // Like the delivery itself, this is not waited for: without it the hold ends earlier after a crash.
        self.journal.append(&Record::Extend { queue: queue.number, position: id.position, held_until })?;
        state.unsettled.extend(id.position, held_until);
        self.changed(&queue, &mut state);
        Ok(Some(held_until))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use forebay_core::delivery::Reason;
    use forebay_core::queue::PARKED;

    use super::*;
    use crate::bench::Bench;

    /// So many deliveries of one queue, with one that is not held in their midst.
    fn held(bench: &Bench, q: &QueueName, count: usize) -> Vec<DeliveryId> {
        for _ in 0..count {
            bench.try_publish(q, 1).unwrap();
        }
        let mut ids: Vec<_> = (0..count).map(|_| bench.receive(q).unwrap().id).collect();
        ids.insert(count / 2, DeliveryId { position: 1, token: 1 });
        ids
    }

    #[test]
    fn several_are_settled_with_one_wait_and_those_that_are_not_held_are_passed_over() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let count = limits::SLICE_MESSAGES_MAX + 5;
        let ids = held(&bench, &q, count);
        let settle = |ids: &[DeliveryId], outcome| {
            bench.until_ready(bench.broker.settle_many(&q, ids, outcome)).unwrap() as usize
        };
        assert_eq!(settle(&ids, Outcome::Done), count);
        assert_eq!((settle(&ids, Outcome::Done), bench.depth(&q)), (0, 0));
        let ids = held(&bench, &q, 3);
        assert_eq!(settle(&ids, Outcome::DeadLetter(Reason::Rejected)), 3);
        assert_eq!(bench.depth(&QueueName::new(PARKED).unwrap()), 3);
        assert_eq!(settle(&[], Outcome::Done), 0);
        assert_eq!(bench.crash().recovered.held, 0);
    }

    #[test]
    fn settling_many_lets_others_in_between() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let ids = vec![DeliveryId { position: 1, token: 1 }; 3 * limits::SLICE_MESSAGES_MAX];
        for outcome in [Outcome::Done, Outcome::DeadLetter(Reason::Rejected)] {
            let mut settle = pin!(bench.broker.settle_many(&q, &ids, outcome));
            let mut poll = || settle.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(poll().is_pending() && poll().is_pending());
            assert!(matches!(poll(), Poll::Ready(Ok(0))));
        }
    }

    #[test]
    fn settling_several_goes_on_where_the_log_was_not_ready() {
        let mut options = Bench::new(1_000).options;
        options.log.pending_bytes_max = crate::bench::SEGMENT as usize;
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let ids = held(&bench, &q, 300);
        bench.write();
        let files = bench.files.crash(3);
        let bench = Bench::open(files, bench.clock, options);
        let (mut progress, mut refused) = (Settling::default(), 0);
        while bench.engine().settle_many(&q, &ids, Outcome::Return { seen: true }, &mut progress).is_err() {
            refused += 1;
            bench.write();
        }
        assert!(refused > 0, "the log takes so many at once");
        assert_eq!((progress.settled, progress.seen), (300, 301));
        bench.write();
        let bench = bench.crash();
        assert_eq!(bench.receive(&q).unwrap().attempt, 2);
    }
}
