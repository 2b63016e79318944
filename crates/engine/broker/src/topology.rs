//! Which queues there are, by name and by number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::queue::{Lifetime, QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_log::Class;
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::sync::Notify;

use crate::records::Record;
use crate::state::State;
use crate::storage::journal::Journal;

/// A queue and those who wait on it.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Its number in the log's records.
    pub(crate) number: u64,
    pub(crate) name: QueueName,
    pub(crate) lifetime: Lifetime,
    pub(crate) state: Mutex<State>,
    /// Told, one receiver at a time, that there may be ready messages.
    pub(crate) arrivals: Notify,
    /// How many receivers wait.
    pub(crate) receivers: AtomicUsize,
    /// When somebody last used it who takes from it, in milliseconds.
    used_ms: AtomicU64,
}

impl Queue {
    pub(crate) fn new(number: u64, state: State) -> Self {
        Self {
            number,
            name: state.settings.name.clone(),
            lifetime: state.settings.lifetime,
            state: Mutex::new(state),
            arrivals: Notify::new(),
            receivers: AtomicUsize::new(0),
            used_ms: AtomicU64::new(0),
        }
    }

    /// Somebody who takes from it uses it now.
    pub(crate) fn touch(&self, now: Instant) {
        self.used_ms.fetch_max(now.as_ms(), Relaxed);
    }

    /// When somebody last did: now, where one waits, or has something that is to be settled by some time.
    pub(crate) fn used_at(&self, now: Instant) -> Result<Instant> {
        if self.receivers.load(Relaxed) > 0 || self.lock()?.unsettled.has_timed() {
            self.touch(now);
        }
        Ok(Instant::from_ms(self.used_ms.load(Relaxed)))
    }

    /// What must be durable before anybody is told of what a record with this sequence has done: nothing where the queue
    /// itself is not.
    pub(crate) fn awaited(&self, sequence: u64) -> u64 {
        match self.lifetime {
            Lifetime::Durable => sequence,
            Lifetime::Process => 0,
        }
    }

    /// Its state, unless it was removed since it was found.
    pub(crate) fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.deleted { Err(not_found(&self.name)) } else { Ok(state) }
    }
}

/// The states of the queues that a message moves between; the one it comes from may be among those that it goes to.
pub(crate) struct Locked<'a> {
    pub(crate) from: MutexGuard<'a, State>,
    from_number: u64,
    others: Vec<(u64, MutexGuard<'a, State>)>,
}

impl<'a> Locked<'a> {
    /// Locks all, always in the order of their numbers, so that two moves never wait for each other.
    pub(crate) fn lock(from: &'a Queue, to: &'a [Arc<Queue>]) -> Self {
        let mut to: Vec<_> = to.iter().filter(|to| to.number != from.number).collect();
        to.sort_unstable_by_key(|to| to.number);
        to.dedup_by_key(|to| to.number);
        let first = to.partition_point(|to| to.number < from.number);
        let (first, rest) = to.split_at(first);
        let lock = |to: &&'a Arc<Queue>| (to.number, to.state.lock());
        let mut others: Vec<_> = first.iter().map(lock).collect();
        let locked = from.state.lock();
        others.extend(rest.iter().map(lock));
        Self { from: locked, from_number: from.number, others }
    }

    /// The state of the queue with this number.
    pub(crate) fn to(&mut self, number: u64) -> &mut State {
        match self.others.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(index) if number != self.from_number => match self.others.get_mut(index) {
                Some((_, state)) => state,
                None => &mut self.from,
            },
            _ => &mut self.from,
        }
    }
}

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    queues: RwLock<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    by_name: HashMap<QueueName, Arc<Queue>>,
    by_number: HashMap<u64, Arc<Queue>>,
}

impl Topology {
    pub(crate) fn new(queues: impl Iterator<Item = Queue>) -> Self {
        let topology = Self::default();
        for queue in queues {
            topology.queues.write().add(queue.into());
        }
        topology
    }

    pub(crate) fn find(&self, name: &QueueName) -> Result<Arc<Queue>> {
        self.queues.read().by_name.get(name).cloned().ok_or_else(|| not_found(name))
    }

    pub(crate) fn has(&self, name: &QueueName) -> bool {
        self.queues.read().by_name.contains_key(name)
    }

    pub(crate) fn numbered(&self, number: u64) -> Option<Arc<Queue>> {
        self.queues.read().by_number.get(&number).cloned()
    }

    /// All queues in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let mut queues: Vec<_> = self.queues.read().by_name.values().cloned().collect();
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        queues
    }

    /// The queue with these settings, declared in the log if it is not there. `Conflict`: it is, with others. It is
    /// durable once its declaration is. No more than `queues_max` are declared.
    pub(crate) fn declare(
        &self,
        journal: &Journal,
        settings: &QueueSettings,
        queues_max: usize,
    ) -> Result<Arc<Queue>> {
        let queue = self.find_or_add(journal, settings, queues_max, Class::New)?;
        // Not under the lock of the topology: somebody may be at work on the queue.
        match difference(&queue.state.lock().settings, settings) {
            Some(difference) => {
                let context = format!("{}: {difference}", settings.name);
                Err(Error::new(Kind::Conflict, "declare queue", context))
            }
            None => Ok(queue.clone()),
        }
    }

    /// The queue of that name, declared with default settings if it is not there: for messages that must go somewhere,
    /// and so in the log's last space and, up to a limit of their own, beyond the number of queues that users may
    /// declare.
    pub(crate) fn find_or_declare(&self, journal: &Journal, name: &QueueName) -> Result<Arc<Queue>> {
        let settings = QueueSettings::new(name.clone());
        self.find_or_add(journal, &settings, limits::QUEUES_MAX + limits::DEAD_LETTER_QUEUES_MAX, Class::Free)
    }

    fn find_or_add(
        &self,
        journal: &Journal,
        settings: &QueueSettings,
        queues_max: usize,
        class: Class,
    ) -> Result<Arc<Queue>> {
        if let Ok(queue) = self.find(&settings.name) {
            return Ok(queue);
        }
        let mut queues = self.queues.write();
        if let Some(queue) = queues.by_name.get(&settings.name) {
            return Ok(queue.clone());
        }
        if queues.by_name.len() >= queues_max {
            let context = format!("{}: too many queues", settings.name);
            return Err(Error::new(Kind::Full, "declare queue", context));
        }
        let record = Record::Declare { number: 0, settings: settings.clone(), paused: false };
        let declared = journal.append_body_as(class, &record)?;
        let state = State::new(settings.clone(), Some(declared));
        Ok(queues.add(Queue::new(declared.location.sequence, state).into()))
    }

    /// Removes the queue in the log and from here, with changes that go with it, and returns it with the sequence that makes
    /// it so. `NotFound` also where it has not the number that is given.
    pub(crate) fn delete(
        &self,
        journal: &Journal,
        name: &QueueName,
        number: Option<u64>,
        changes: &[Vec<u8>],
    ) -> Result<(Arc<Queue>, u64)> {
        let mut queues = self.queues.write();
        let present =
            queues.by_name.get(name).filter(|queue| number.is_none_or(|number| number == queue.number));
        let queue = present.cloned().ok_or_else(|| not_found(name))?;
        let mut state = queue.state.lock();
        let changes = changes.iter().map(|change| &change[..]).collect();
        let position = journal.append(&Record::Delete { queue: queue.number, changes })?;
        state.deleted = true;
        queues.by_name.remove(name);
        queues.by_number.remove(&queue.number);
        drop(state);
        Ok((queue, position.sequence))
    }
}

impl Queues {
    fn add(&mut self, queue: Arc<Queue>) -> Arc<Queue> {
        self.by_name.insert(queue.name.clone(), queue.clone());
        self.by_number.insert(queue.number, queue.clone());
        queue
    }
}

/// Names the first setting in which they differ, and both sides.
fn difference(present: &QueueSettings, asked: &QueueSettings) -> Option<String> {
    let name = |name: &Option<QueueName>| name.as_ref().map_or("none".to_owned(), QueueName::to_string);
    let pairs = [
        ("attempt_max", present.retry.attempt_max.to_string(), asked.retry.attempt_max.to_string()),
        (
            "backoff first",
            format!("{:?}", present.retry.backoff.first),
            format!("{:?}", asked.retry.backoff.first),
        ),
        (
            "backoff longest",
            format!("{:?}", present.retry.backoff.longest),
            format!("{:?}", asked.retry.backoff.longest),
        ),
        ("backoff jitter", present.retry.backoff.jitter.to_string(), asked.retry.backoff.jitter.to_string()),
        ("hold", format!("{:?}", present.hold), format!("{:?}", asked.hold)),
        ("dead_letter", name(&present.dead_letter), name(&asked.dead_letter)),
        (
            "dead_letter_exchange",
            format!("{:?}", present.dead_letter_exchange),
            format!("{:?}", asked.dead_letter_exchange),
        ),
        ("message_ttl", format!("{:?}", present.message_ttl), format!("{:?}", asked.message_ttl)),
        (
            "length_bytes_max",
            format!("{:?}", present.length_bytes_max),
            format!("{:?}", asked.length_bytes_max),
        ),
        ("length_max", present.length_max.to_string(), asked.length_max.to_string()),
        ("overflow", format!("{:?}", present.overflow), format!("{:?}", asked.overflow)),
        ("order", format!("{:?}", present.order), format!("{:?}", asked.order)),
        ("priority_max", present.priority_max.to_string(), asked.priority_max.to_string()),
        ("dedup_window", format!("{:?}", present.dedup_window), format!("{:?}", asked.dedup_window)),
        ("retain", format!("{:?}", present.retain), format!("{:?}", asked.retain)),
        ("lifetime", format!("{:?}", present.lifetime), format!("{:?}", asked.lifetime)),
        ("newest_by_key", present.newest_by_key.to_string(), asked.newest_by_key.to_string()),
    ];
    let differing = pairs.into_iter().find(|(_, present, asked)| present != asked);
    differing.map(|(setting, present, asked)| format!("{setting} is {present}, not {asked}"))
}

fn not_found(name: &QueueName) -> Error {
    Error::new(Kind::NotFound, "find queue", name.to_string())
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use forebay_core::delivery::{Outcome, Settled};
    use forebay_core::message::{Message, MessageId};
    use forebay_core::ports::broker::{Broker as _, BrokerAdmin as _};

    use crate::bench::Bench;

    use super::*;

    #[test]
    fn no_more_queues_are_declared_than_the_limit_but_dead_letters_find_a_place() {
        let bench = Bench::new(1_000);
        let (topology, journal) = (&bench.engine().topology, &bench.engine().journal);
        let settings = |name: &str| QueueSettings::new(QueueName::new(name).unwrap());
        for name in ["a", "b", "a"] {
            topology.declare(journal, &settings(name), 2).unwrap();
        }
        assert_eq!(topology.declare(journal, &settings("c"), 2).unwrap_err().kind(), Kind::Full);
        topology.find_or_declare(journal, &QueueName::new("c").unwrap()).unwrap();
        assert_eq!(topology.all().len(), 3);
    }

    #[test]
    fn queues_for_dead_letters_have_a_limit_of_their_own() {
        let bench = Bench::new(100_000);
        let (topology, journal) = (&bench.engine().topology, &bench.engine().journal);
        let add = |count: usize, class| {
            let settings = QueueSettings::new(QueueName::new("one more").unwrap());
            topology.find_or_add(journal, &settings, count, class).map(drop).map_err(|error| error.kind())
        };
        bench.queue("q");
        assert_eq!(add(1, Class::Free), Err(Kind::Full));
        assert_eq!(add(2, Class::Free), Ok(()));
    }

    #[test]
    fn a_queue_declared_anew_never_has_the_number_of_the_one_before() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        let first = bench.engine().topology.find(&q).unwrap().number;
        bench.until_ready(bench.engine().delete(&q, None)).unwrap();
        bench.write();
        let bench = bench.crash();
        bench.queue("q");
        assert!(bench.engine().topology.find(&q).unwrap().number > first);
    }

    fn brief(bench: &Bench) -> QueueName {
        let mut settings = QueueSettings::new(QueueName::new("brief").unwrap());
        settings.lifetime = Lifetime::Process;
        bench.engine().topology.declare(&bench.engine().journal, &settings, usize::MAX).unwrap();
        settings.name
    }

    #[test]
    fn a_queue_of_a_process_is_gone_with_its_messages_whatever_the_log_has_released_since() {
        for released in 0..12 {
            let bench = Bench::new(1_000);
            let (brief, busy) = (brief(&bench), bench.queue("busy"));
            for _ in 0..40 {
                bench.publish(&brief, 300);
            }
            let bench = bench.crash();
            assert!(
                bench.broker.queue_number(&brief).is_none() && bench.broker.queue_number(&busy).is_some()
            );
            let oldest = *bench.engine().journal.log.segments().start();
            while *bench.engine().journal.log.segments().start() < oldest + released {
                bench.publish(&busy, 300);
                bench.settle(&bench.receive(&busy).unwrap(), Outcome::Done);
                bench.write();
                drop(bench.engine().free_step());
            }
            let bench = bench.crash();
            assert_eq!(bench.engine().topology.all().len(), 1, "{released} segments were released");
            assert_eq!(bench.recovered.ready, 0);
        }
    }

    #[test]
    fn nobody_waits_for_the_disk_because_of_a_queue_of_a_process() {
        let bench = Bench::new(1_000);
        let brief = brief(&bench);
        let message = Message::new(MessageId::given("m").unwrap(), "".into());
        let mut publish = bench.broker.publish(&brief, vec![message]);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(publish.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
        let waits = || bench.engine().journal.log.durable_sequence() < bench.engine().journal.last();
        assert!(waits());
        let held = bench.receive(&brief).unwrap();
        let mut settle = bench.broker.settle(&brief, held.id, Outcome::Done, None);
        assert!(matches!(settle.as_mut().poll(&mut context), Poll::Ready(Ok(Settled::Done))));
        assert!(waits());
    }

    #[test]
    fn what_a_queue_was_declared_with_is_kept_and_is_no_reason_for_a_conflict() {
        let bench = Bench::new(1_000);
        let mut settings = QueueSettings::new(QueueName::new("q").unwrap());
        settings.declaration = "durable, x-queue-type: classic".into();
        let declare = |bench: &Bench, settings: &QueueSettings| {
            bench.engine().topology.declare(&bench.engine().journal, settings, usize::MAX).map(drop)
        };
        declare(&bench, &settings).unwrap();
        declare(&bench, &QueueSettings::new(settings.name.clone())).unwrap();
        bench.write();
        let bench = bench.crash();
        let info = bench.until_ready(bench.broker.queue(&settings.name)).unwrap();
        assert_eq!(info.settings, settings);
    }

    #[test]
    fn a_queue_costs_less_than_a_kilobyte_before_it_has_messages() {
        assert!(size_of::<Queue>() < 1024, "{}", size_of::<Queue>());
    }

    #[test]
    fn two_moves_in_opposite_directions_lock_in_one_order() {
        let bench = Bench::new(1_000);
        let queues = ["a", "b"].map(|name| bench.engine().topology.find(&bench.queue(name)).unwrap());
        for (from, to) in [(0, 1), (1, 0), (0, 0)] {
            let to = [queues[to].clone(), queues[to].clone()];
            let mut locked = Locked::lock(&queues[from], &to);
            assert_eq!(locked.from.settings.name, queues[from].name);
            assert_eq!(locked.to(to[0].number).settings.name, to[0].name);
        }
    }
}
