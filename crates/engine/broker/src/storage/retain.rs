//! Finished messages that a queue retains: kept for their time, read again, and giving way to new ones.
//!
//! A finished message counts as alive in the log, so that it is carried forward like any other; only memory and space
//! tell it apart. When the log or the memory for queues has little space left the oldest of them go before their time,
//! across all queues: no publish is refused for their sake. That is not written down, but for those whose payload lies in a file of its own:
//! after a crash some may be there again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::Message;
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{ReplayFrom, Replayed};
use forebay_core::queue::{QueueName, Retain};
use forebay_core::time::Instant;
use forebay_log::Position;

use crate::engine::Engine;
use crate::records::message::Decoded;
use crate::records::{Record, message};
use crate::state::State;
use crate::state::entry::Entry;
use crate::storage::journal::Stored;
use crate::topology::Queue;

impl Engine {
    /// The message has done what it was published for: it leaves its queue or, if that retains it, is kept aside.
    pub(crate) fn finish(&self, queue: u64, state: &mut State, position: u64) -> Result<Position> {
        let published_at = state.find(position).map(|(entry, _)| entry.published_at());
        let until = published_at.and_then(|at| state.retained_until(at));
        if until.is_none_or(|until| until <= self.clock.now()) {
            let at = self.journal.append(&Record::Settle { queue, position })?;
            state.take(position).into_iter().for_each(|entry| self.forget(entry));
            return Ok(at);
        }
        let at = self.journal.append(&Record::Retain { queue, position })?;
        if let Some(mut entry) = state.take(position) {
            self.hot.take(&mut entry);
            state.finished.keep(entry);
            self.journal.retained.fetch_add(1, Relaxed);
        }
        if state.finished.len() > limits::RETAINED_MESSAGES_MAX {
            self.drop_oldest(queue, state, 1);
        }
        Ok(at)
    }

    /// Forgets a bounded number of finished messages whose time is over; the alarm brings the rest.
    pub(crate) fn forget_unretained(&self, queue: u64, state: &mut State, now: Instant) {
        for _ in 0..limits::DUE_MESSAGES_MAX {
            let Some(entry) = state.pop_unretained(now) else { return };
            self.give_up(queue, &entry);
        }
    }

    /// A finished message is kept no longer, and no record says so.
    fn give_up(&self, queue: u64, entry: &Entry) {
        self.journal.retained.fetch_sub(1, Relaxed);
        self.journal.given_up(queue, entry);
    }

    /// Returns how many there were to be dropped.
    fn drop_oldest(&self, queue: u64, state: &mut State, count_max: usize) -> usize {
        for count in 0..count_max {
            let Some(entry) = state.finished.pop_oldest() else { return count };
            self.give_up(queue, &entry);
            state.counts.retained_dropped += 1;
        }
        count_max
    }

    /// Forgets at most so many of the oldest finished messages, and no more than a slice, to make room. Returns whose they
    /// were and how many; `None` if no queue has any.
    pub(crate) fn give_way(&self, count_max: usize) -> Option<(Arc<Queue>, usize)> {
        let oldest = |queue: &Arc<Queue>| Some(queue.lock().ok()?.finished.oldest()?.published_at());
        let queues = self.topology.all().into_iter().filter_map(|queue| Some((oldest(&queue)?, queue)));
        let (_, queue) = queues.min_by_key(|(published_at, _)| *published_at)?;
        let count_max = count_max.min(limits::SLICE_MESSAGES_MAX);
        let count = queue.lock().map_or(0, |mut state| self.drop_oldest(queue.number, &mut state, count_max));
        Some((queue, count))
    }

    /// What the queue has and retains, in order, without taking it.
    pub(crate) async fn replay(
        &self,
        name: &QueueName,
        from: ReplayFrom,
        count_max: usize,
    ) -> Result<Vec<Replayed>> {
        self.check_open("replay queue")?;
        let queue = self.topology.find(name)?;
        let mut from = from;
        loop {
            let found = self.found(&*queue.lock()?, name, from, count_max)?;
            let Some(last) = found.last().map(|found| found.position) else { return Ok(Vec::new()) };
            let replayed = self.read_found(&queue, found).await?;
            if !replayed.is_empty() {
                return Ok(replayed);
            }
            // All were forgotten since they were seen.
            from = ReplayFrom::Position(last);
        }
    }

    /// The next messages of the queue, as many as one call reads.
    fn found(
        &self,
        state: &State,
        name: &QueueName,
        from: ReplayFrom,
        count_max: usize,
    ) -> Result<Vec<Found>> {
        if state.settings.retain == Retain::Nothing {
            let context = format!("{name}: it retains nothing");
            return Err(Error::new(Kind::Unsupported, "replay queue", context));
        }
        let count_max = count_max.min(limits::REPLAY_MESSAGES_MAX);
        let (behind, since) = match from {
            ReplayFrom::Position(position) => (position, None),
            ReplayFrom::Time(at) => (last_before(state, at), Some(at)),
        };
        let wanted = |entry: &&Entry| since.is_none_or(|since| entry.published_at() >= since);
        let mut next = BTreeMap::new();
        let settled = state.finished.after(behind).filter(wanted).take(count_max);
        let ready = state.ready.after(behind).filter(wanted).take(count_max);
        next.extend(settled.chain(ready).map(|entry| (entry.position, entry)));
        for entry in state.unsettled.iter().filter(|entry| entry.position > behind).filter(wanted) {
            next.insert(entry.position, entry);
            if next.len() > count_max {
                next.pop_last();
            }
        }
        let mut bytes = 0;
        let within = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += self.journal.bytes(entry);
            first || bytes <= limits::RECEIVE_BYTES_MAX
        };
        let entries = next.into_values().take(count_max).take_while(within);
        let found = |entry: &Entry| Found {
            position: entry.position,
            stored: entry.stored(),
            published_at: entry.published_at(),
        };
        Ok(entries.map(found).collect())
    }

    async fn read_found(&self, queue: &Queue, found: Vec<Found>) -> Result<Vec<Replayed>> {
        let locations: Vec<_> = found.iter().map(|found| found.stored.location).collect();
        let bodies = self.journal.read_many(&locations);
        let mut replayed = Vec::with_capacity(found.len());
        for (found, body) in found.into_iter().zip(bodies) {
            let message = match self.read_one(queue, &found, body).await {
                Ok(message) => message,
                // Forgotten since it was seen.
                Err(error) if error.kind() == Kind::NotFound => continue,
                // What came before it is of use; who goes on from there is told.
                Err(_) if !replayed.is_empty() => break,
                Err(error) => return Err(error),
            };
            let message = Arc::new(message);
            replayed.push(Replayed { position: found.position, message, published_at: found.published_at });
        }
        Ok(replayed)
    }

    /// The message whose body was read before, if it could be.
    async fn read_one(&self, queue: &Queue, found: &Found, body: Result<Payload>) -> Result<Message> {
        let body = body.or_else(|_| self.read(queue, found.position, found.stored))?;
        let start = body.len() - Record::decode(&body)?.message().head.len();
        let Decoded { mut message, claim } = message::decode(&body, start)?;
        if let Some(claim) = claim {
            message.payload = self.journal.fetch(claim).await?;
        }
        Ok(message)
    }
}

/// A message that is to be read.
struct Found {
    position: u64,
    stored: Stored,
    published_at: Instant,
}

/// The position of the last message that was published before then, 0 if there is none. Positions and times rise
/// together, so that halving the positions finds it.
fn last_before(state: &State, at: Instant) -> u64 {
    let next = |behind: u64| {
        let next = [state.finished.after(behind).next(), state.ready.next_after(behind)];
        next.into_iter().flatten().min_by_key(|entry| entry.position)
    };
    let (mut before, mut end) = (0, u64::MAX);
    while before < end {
        let middle = before + (end - before) / 2;
        match next(middle) {
            Some(entry) if entry.published_at() < at => before = entry.position,
            _ => end = middle,
        }
    }
    before
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::delivery::Outcome;
    use forebay_core::ports::clock::Clock;
    use forebay_core::queue::QueueSettings;

    use super::*;
    use crate::bench::{Bench, SEGMENT};

    fn retaining(bench: &Bench, name: &str) -> QueueName {
        let mut settings = QueueSettings::new(QueueName::new(name).unwrap());
        settings.retain = Retain::For(Duration::from_secs(3600));
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        settings.name
    }

    fn work_off(bench: &Bench, queue: &QueueName, bytes: usize) {
        bench.publish(queue, bytes);
        bench.settle(&bench.receive(queue).unwrap(), Outcome::Done);
    }

    fn positions(bench: &Bench, queue: &QueueName) -> Vec<u64> {
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let next =
                bench.until_ready(bench.engine().replay(queue, ReplayFrom::Position(from), 100)).unwrap();
            let Some(last) = next.last() else { return all };
            from = last.position;
            all.extend(next.into_iter().map(|replayed| replayed.position));
        }
    }

    fn account(bench: &Bench) -> u64 {
        bench.engine().journal.retained.load(Relaxed)
    }

    #[test]
    fn a_retained_message_pins_no_file_and_is_carried_as_what_it_is() {
        let bench = Bench::new(1_000);
        let (kept, busy) = (retaining(&bench, "kept"), bench.queue("busy"));
        work_off(&bench, &kept, 77);
        for _ in 0..400 {
            work_off(&bench, &busy, 300);
            bench.free();
            assert!(bench.segments() <= 5, "{}", bench.segments());
        }
        let bench = bench.crash();
        let replayed = bench.until_ready(bench.engine().replay(&kept, ReplayFrom::Position(0), 10)).unwrap();
        assert_eq!(replayed.iter().map(|one| one.message.payload.len()).collect::<Vec<_>>(), [77]);
        assert!(bench.receive(&kept).is_none());
        assert_eq!(account(&bench), 1);
    }

    #[test]
    fn what_is_retained_gives_way_oldest_first_before_a_publish_is_refused() {
        let bench = Bench::new(32);
        let (one, two) = (retaining(&bench, "one"), retaining(&bench, "two"));
        for _ in 0..400 {
            for queue in [&one, &two] {
                work_off(&bench, queue, 300);
                bench.free();
            }
            bench.clock.advance(Duration::from_millis(1));
        }
        let mut retained = 0;
        for queue in [&one, &two] {
            let info = bench.engine().info(&bench.engine().topology.find(queue).unwrap()).unwrap();
            assert_eq!(info.stats.retained + info.stats.retained_dropped, 400);
            retained += info.stats.retained;
        }
        assert!(retained > 20, "they had most of the log to themselves: {retained}");
        assert_eq!(account(&bench), retained);
        let times = [&one, &two].map(|queue| {
            let all =
                bench.until_ready(bench.engine().replay(queue, ReplayFrom::Position(0), 1_000)).unwrap();
            all.into_iter().map(|replayed| replayed.published_at).collect::<Vec<_>>()
        });
        for times in &times {
            let newest = bench.clock.now().as_ms() - 1;
            let expected: Vec<_> = (0..times.len() as u64).rev().map(|back| newest - back).collect();
            assert_eq!(times.iter().map(|time| time.as_ms()).collect::<Vec<_>>(), expected, "no gap");
        }
        let bench = bench.crash();
        assert!(account(&bench) >= retained && positions(&bench, &one).len() >= times[0].len());
    }

    #[test]
    fn a_queue_that_fills_the_log_finds_all_the_room_that_history_had() {
        let count = |with_history: bool| {
            let bench = Bench::new(32);
            let (kept, q) = (retaining(&bench, "kept"), bench.queue("q"));
            for _ in 0..if with_history { 150 } else { 0 } {
                work_off(&bench, &kept, 300);
                bench.free();
            }
            assert_eq!(account(&bench) > 0, with_history);
            let mut taken = 0;
            while bench.try_publish(&q, 300).is_ok() {
                bench.free();
                taken += 1;
            }
            assert_eq!(account(&bench), 0);
            taken
        };
        let (with, without) = (count(true), count(false));
        assert!(with + 30 >= without, "{with} instead of {without}");
    }

    #[test]
    fn the_space_of_what_is_retained_comes_back_when_its_time_is_over_or_its_queue_gone() {
        for delete in [false, true] {
            let bench = Bench::new(1_000);
            let q = retaining(&bench, "q");
            (0..200).for_each(|_| work_off(&bench, &q, 300));
            bench.free();
            assert!(bench.segments() > 15);
            if delete {
                bench.until_ready(bench.engine().delete(&q, None)).unwrap();
            } else {
                bench.clock.advance(Duration::from_secs(3601));
                assert!(bench.engine().ring(bench.clock.now()), "an alarm was set for it");
                while bench.engine().ring(bench.clock.now()) {}
            }
            assert_eq!(account(&bench), 0);
            bench.free();
            assert!(bench.segments() < 5, "{}", bench.segments());
        }
    }

    /// A disk that is full of garbage, with a little history in front.
    #[test]
    fn no_history_goes_while_there_is_garbage_worth_carrying_it_out_of() {
        let bench = Bench::new(1_000);
        let (kept, busy) = (retaining(&bench, "kept"), bench.queue("busy"));
        (0..20).for_each(|_| work_off(&bench, &kept, 300));
        bench.write();
        bench.files.limit_bytes(Some(24 * u64::from(SEGMENT)));
        while bench.try_publish(&busy, 300).is_ok() {
            bench.write();
            bench.receive(&busy).into_iter().for_each(|delivery| bench.settle(&delivery, Outcome::Done));
        }
        // Just opened, it cannot say that its oldest segment has stood still while the log went on.
        let bench = bench.crash();
        while bench.try_publish(&busy, 300).is_ok() {}
        assert!(bench.engine().journal.log.stats().full);
        bench.free();
        assert_eq!((account(&bench), positions(&bench, &kept).len()), (20, 20));
        assert_eq!(bench.try_publish(&busy, 300), Ok(()));
    }
}
