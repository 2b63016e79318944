//! What an operator asks and does. What may take long is done in slices, so that others have their turn in between, at
//! the queue's lock and on the runtime's thread.

mod find;

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::delivery::DeliveryId;
use forebay_core::error::{Kind, Result};
use forebay_core::limits;
use forebay_core::ports::broker::{Peeked, QueueInfo};
use forebay_core::queue::QueueName;
use forebay_log::Class;

use crate::engine::{Engine, yield_now};
use crate::receive::Handed;
use crate::records::{Record, SMALL_BYTES_MAX};
use crate::state::entry::Entry;
use crate::topology::Queue;

impl Engine {
    /// All queues by name. One that is removed meanwhile is left out.
    pub(crate) fn infos(&self) -> Vec<QueueInfo> {
        self.topology.all().iter().filter_map(|queue| self.info(queue).ok()).collect()
    }

    pub(crate) fn info(&self, queue: &Queue) -> Result<QueueInfo> {
        let state = queue.lock()?;
        let (settings, stats) = (state.settings.clone(), state.stats(self.clock.now()));
        Ok(QueueInfo { settings, stats, paused: state.paused })
    }

    /// Declares the queue anew, paused or not. Returns the sequence that makes it durable.
    pub(crate) fn pause(&self, name: &QueueName, paused: bool) -> Result<u64> {
        let queue = self.topology.find(name)?;
        let mut state = queue.lock()?;
        match state.declared {
            Some(declared) if state.paused == paused => return Ok(declared.location.sequence),
            _ => {}
        }
        let settings = state.settings.clone();
        let declared =
            self.journal.append_body(&Record::Declare { number: queue.number, settings, paused })?;
        state.paused = paused;
        state.declared.replace(declared).into_iter().for_each(|before| self.journal.died(before));
        self.changed(&queue, &mut state);
        Ok(declared.location.sequence)
    }

    /// The first ready messages, as the next receivers would get them.
    pub(crate) async fn peek(&self, name: &QueueName, count_max: usize) -> Result<Vec<Peeked>> {
        let queue = self.topology.find(name)?;
        let now = self.clock.now();
        let handed: Vec<_> = {
            let state = queue.lock()?;
            let mut bytes = 0;
            let within = |bytes_so_far: &mut usize, bytes: usize| {
                *bytes_so_far += bytes;
                *bytes_so_far <= limits::RECEIVE_BYTES_MAX || *bytes_so_far == bytes
            };
            let entries = state.ready.iter().filter(|entry| entry.expires_at() > now);
            let entries = entries.take(count_max.min(limits::RECEIVE_DELIVERIES_MAX));
            let entries = entries.take_while(|entry| within(&mut bytes, self.journal.bytes(entry)));
            entries
                .map(|entry| {
                    let id = DeliveryId { position: entry.position, token: 0 };
                    Handed::new(id, entry, entry.body.clone(), now, state.settings.retry).into_next_attempt()
                })
                .collect()
        };
        let mut looked = Vec::with_capacity(handed.len());
        for handed in handed {
            let read = async { self.complete(self.load(&queue, handed)?).await };
            match read.await {
                Ok(delivery) => looked.push(Peeked { delivery }),
                // Taken and released since it was seen.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(looked)
    }

    /// Removes all messages that are ready or delayed now. Returns how many, and the sequence that makes it durable.
    /// They leave the queue in one step, whatever their number; only forgetting them takes its time.
    pub(crate) async fn purge(&self, name: &QueueName) -> Result<(u64, u64)> {
        let queue = self.topology.find(name)?;
        let purge = || {
            let mut state = queue.lock()?;
            let position = self.journal.append(&Record::Purge { queue: queue.number })?;
            Ok((state.purge(), position.sequence))
        };
        let (entries, sequence) = self.when_ready(Class::Free, SMALL_BYTES_MAX, purge).await?;
        Ok((Leaving { engine: self, entries }.forget().await, sequence))
    }

    /// Sends dead letters back, each in a step of its own. Returns how many, and the sequence that makes it durable.
    /// Those that cannot be read, or whose queue is gone or at its length, stay.
    pub(crate) async fn redrive(&self, name: &QueueName, count_max: usize) -> Result<(u64, u64)> {
        let queue = self.topology.find(name)?;
        let newest = self.journal.last();
        let mut progress = Redriven::default();
        // What is looked at is bounded, not what is moved: it may be that none can be.
        while self.redrive_slice(&queue, newest, count_max as u64, &mut progress)? {
            yield_now().await;
        }
        Ok((progress.count, progress.last))
    }

    /// Looks at some more dead letters; false after the last one.
    fn redrive_slice(
        &self,
        queue: &Queue,
        newest: u64,
        count_max: u64,
        progress: &mut Redriven,
    ) -> Result<bool> {
        for _ in 0..limits::REDRIVE_LOOKS_MAX {
            if progress.count >= count_max {
                return Ok(false);
            }
            let next = queue.lock()?.ready.next_after(progress.behind).map(|entry| entry.position);
            let Some(position) = next.filter(|position| *position <= newest) else { return Ok(false) };
            progress.behind = position;
            match self.redrive_one(queue, position) {
                Ok(Some(sequence)) => {
                    progress.count += 1;
                    progress.last = sequence;
                }
                Ok(None) => {}
                Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Io) => {}
                Err(error) if progress.count == 0 => return Err(error),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Removes the queue and its messages, if it has this number or none is given. Returns the sequence that makes it durable.
    pub(crate) async fn delete(&self, name: &QueueName, number: Option<u64>) -> Result<u64> {
        let length = self.journal.message_bytes_max();
        let remove = || self.remove_queue(name, number);
        let (queue, sequence) = self.when_ready(Class::Free, length, remove).await?;
        let entries = {
            let mut state = queue.state.lock();
            let records = state.declared.take().into_iter().chain(state.marks.records());
            records.for_each(|record| self.journal.died(record));
            state.alarm.take().into_iter().for_each(|at| self.timers.unset(queue.number, at));
            self.journal.retained.fetch_sub(state.finished.len() as u64, Relaxed);
            state.ready.clear().chain(state.unsettled.clear()).chain(state.finished.clear())
        };
        queue.arrivals.notify_waiters();
        Leaving { engine: self, entries }.forget().await;
        Ok(sequence)
    }
}

/// Messages that have left their queue in one step, and are still to be forgotten. Whatever becomes of the future that
/// does so, all are: the segment of one that is not would never be given back.
struct Leaving<'a, I: Iterator<Item = Entry>> {
    engine: &'a Engine,
    entries: I,
}

impl<I: Iterator<Item = Entry>> Leaving<'_, I> {
    /// Forgets them all, and says how many there were.
    async fn forget(mut self) -> u64 {
        let mut count = 0;
        loop {
            let slice = self.entries.by_ref().take(limits::SLICE_MESSAGES_MAX);
            let forgotten = slice.map(|entry| self.engine.forget(entry)).count();
            count += forgotten as u64;
            if forgotten < limits::SLICE_MESSAGES_MAX {
                return count;
            }
            yield_now().await;
        }
    }
}

impl<I: Iterator<Item = Entry>> Drop for Leaving<'_, I> {
    fn drop(&mut self) {
        self.entries.by_ref().for_each(|entry| self.engine.forget(entry));
    }
}

/// How far redriving has come.
#[derive(Debug, Default)]
struct Redriven {
    /// The last position that was looked at.
    behind: u64,
    count: u64,
    /// The sequence of the last move.
    last: u64,
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use forebay_core::delivery::{Outcome, Reason};
    use forebay_core::message::{Message, MessageId};
    use forebay_core::ports::clock::Clock;
    use forebay_core::queue::PARKED;

    use super::*;
    use crate::bench::Bench;

    fn publish(bench: &Bench, queue: &QueueName, count: usize) {
        for _ in 0..count / 100 {
            let message = Message::new(MessageId::given("m").unwrap(), "".into());
            let delayed =
                Message { not_before: Some(bench.clock.now() + limits::HOLD_MAX), ..message.clone() };
            let messages = [vec![message; 50], vec![delayed; 50]].concat();
            bench.publish_all(queue, messages).unwrap();
            bench.write();
        }
    }

    /// Polls once.
    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_purge_lets_others_in_between_and_takes_what_was_there_when_it_began() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let count = 4 * limits::SLICE_MESSAGES_MAX;
        publish(&bench, &q, count);
        let held = bench.receive(&q).unwrap();
        {
            let mut purge = pin!(bench.engine().purge(&q));
            assert!(poll(purge.as_mut()).is_pending());
            assert_eq!(bench.depth(&q), 1, "the held one");
            publish(&bench, &q, 100);
            let purged = bench.until_ready(purge).unwrap().0;
            assert_eq!((purged, bench.depth(&q)), (count as u64 - 1, 101));
        }
        bench.settle(&held, Outcome::Done);
        // A purge whose caller has gone away is a purge all the same, and pins no segment.
        publish(&bench, &q, count);
        {
            let mut purge = pin!(bench.engine().purge(&q));
            assert!(poll(purge.as_mut()).is_pending());
        }
        assert_eq!(bench.depth(&q), 0);
        bench.free();
        assert!(bench.segments() < 4, "{}", bench.segments());
        assert_eq!(bench.crash().recovered.ready, 0);
    }

    #[test]
    fn a_purge_and_a_deletion_wait_for_a_log_that_is_not_ready() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 1);
        let number = bench.engine().topology.find(&q).unwrap().number;
        let fill = || while bench.engine().journal.append(&Record::Purge { queue: number }).is_ok() {};
        fill();
        assert_eq!(bench.until_ready(bench.engine().purge(&q)).unwrap().0, 1);
        fill();
        assert!(bench.until_ready(bench.engine().delete(&q, None)).is_ok());
    }

    #[test]
    fn a_deletion_lets_others_in_between() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        publish(&bench, &q, 4 * limits::SLICE_MESSAGES_MAX);
        {
            let mut delete = pin!(bench.engine().delete(&q, None));
            assert!(poll(delete.as_mut()).is_pending());
            bench.queue("q");
            assert_eq!(bench.depth(&q), 0);
        }
        bench.free();
        assert!(bench.segments() < 4, "{}", bench.segments());
    }

    #[test]
    fn a_redrive_lets_others_in_between_also_when_nothing_can_be_moved() {
        let bench = Bench::new(1_000);
        let (q, parked) = (bench.queue("q"), QueueName::new(PARKED).unwrap());
        let count = 5 * limits::REDRIVE_LOOKS_MAX;
        publish(&bench, &q, 2 * count);
        while let Some(delivery) = bench.receive(&q) {
            bench.settle(&delivery, Outcome::DeadLetter(Reason::Rejected));
            bench.write();
        }
        let polls = |count_max: usize| {
            let mut redrive = pin!(bench.engine().redrive(&parked, count_max));
            let mut pending = 0;
            loop {
                match poll(redrive.as_mut()) {
                    Poll::Pending => pending += 1,
                    Poll::Ready(redriven) => return (pending, redriven.unwrap().0),
                }
            }
        };
        assert_eq!(polls(10), (0, 10));
        let left = count - 10;
        bench.until_ready(bench.engine().delete(&q, None)).unwrap();
        assert_eq!(polls(usize::MAX), (left / limits::REDRIVE_LOOKS_MAX, 0));
        assert_eq!(bench.depth(&parked), left as u64);
    }
}
