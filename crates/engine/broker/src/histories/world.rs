//! One history: the broker, its disk, and everybody who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::{Operation, Saboteur};
use forebay_contract::random::Random;
use forebay_core::delivery::{DeliveryId, Outcome, Reason};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Overflow, PARKED, QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_log::{Durable, LogOptions};

use super::model::{Change, Item, Place, Story};
use crate::broker::{BrokerOptions, EmbeddedBroker, open};
use crate::engine::Engine;
use crate::records::{Record, Status, message};
use crate::storage::space::Step;

const STEPS: u64 = 120;

/// What all histories together have come to, so that the test cannot pass by doing nothing.
#[derive(Debug, Default)]
pub(super) struct Seen {
    counts: BTreeMap<&'static str, u64>,
}

impl Seen {
    fn note(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    pub(super) fn assert_enough(&self, histories: u64) {
        eprintln!("{histories} histories: {:?}", self.counts);
        for what in [
            "published",
            "refused as full",
            "delivered",
            "done",
            "returned",
            "retried",
            "dead-lettered",
            "expired",
            "dropped",
            "extended",
            "run out",
            "redriven",
            "purged",
            "deleted",
            "stale",
            "carried",
            "released",
            "crash",
            "restart",
            "close",
            "poisoned",
            "lost records",
            "received at the end",
        ] {
            let count = self.counts.get(what).copied().unwrap_or(0);
            assert!(count >= histories / 20, "{what}: only {count} in {histories} histories");
        }
    }
}

pub(super) struct World {
    files: Saboteur,
    clock: SimClock,
    random: Random,
    options: BrokerOptions,
    broker: Arc<EmbeddedBroker>,
    story: Story,
    /// Confirmations that are waited for.
    waits: Vec<(u64, Durable)>,
    /// The last sequence that was confirmed to anybody.
    confirmed: u64,
    /// Deliveries that have ended.
    stale: Vec<(QueueName, DeliveryId)>,
    next_id: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let segment_bytes = 1024 << random.below(3);
        let log = LogOptions {
            segment_bytes,
            pending_bytes_max: 256 * 1024,
            disk_bytes_max: u64::from(segment_bytes) * [12, 24, 1000][random.below(3) as usize],
            ..LogOptions::default()
        };
        let options = BrokerOptions { log, hot_bytes_max: [0, 3_000, 1_000_000][random.below(3) as usize] };
        let (files, clock) = (Saboteur::new(), SimClock::new(seed));
        let opened = open(Arc::new(files.clone()), options.clone(), Arc::new(clock.clone())).unwrap();
        Self {
            files,
            clock,
            random,
            options,
            broker: opened.broker,
            story: Story::default(),
            waits: Vec::new(),
            confirmed: 0,
            stale: Vec::new(),
            next_id: 0,
        }
    }

    /// Lives through one history and looks at the end of it.
    pub(super) fn live(mut self, seen: &mut Seen) {
        for _ in 0..STEPS {
            self.step(seen);
            self.sweep(seen);
            self.confirm();
            self.audit();
        }
        self.end(seen);
        self.audit();
        self.check_from_outside(seen);
        self.audit();
    }

    fn step(&mut self, seen: &mut Seen) {
        match self.random.below(100) {
            0..25 => self.publish(seen),
            25..40 => self.receive(seen),
            40..58 => self.settle(seen),
            58..61 => self.extend(seen),
            61..64 => self.redrive(seen),
            64 => self.purge(seen),
            65 => self.delete(seen),
            66..68 => self.settle_stale(seen),
            68..74 => self.pass(seen),
            74..88 => drop(self.engine().journal.log.step()),
            88..96 => self.free(seen),
            96 => self.sabotage(),
            _ => self.end(seen),
        }
    }

    fn engine(&self) -> Arc<Engine> {
        self.broker.engine.clone()
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Does something, and says which sequences it has appended.
    fn appended<T>(&self, act: impl FnOnce(&Engine) -> T) -> (T, std::ops::RangeInclusive<u64>) {
        let engine = self.engine();
        let before = engine.journal.last();
        let done = act(&engine);
        (done, before + 1..=engine.journal.last())
    }

    fn wait_for(&mut self, sequence: u64) {
        self.waits.push((sequence, self.engine().journal.log.durable(sequence)));
    }

    /// Sees which waits have been answered.
    fn confirm(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut confirmed = self.confirmed;
        self.waits.retain_mut(|(sequence, wait)| match Pin::new(wait).poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => {
                confirmed = confirmed.max(*sequence);
                false
            }
            Poll::Ready(Err(_)) => false,
        });
        self.confirmed = confirmed;
    }

    fn settings(name: &str) -> QueueSettings {
        let mut settings = QueueSettings::new(QueueName::new(name).unwrap());
        match name {
            "plain" => settings.dead_letter = Some(QueueName::new("dead").unwrap()),
            "short" => {
                settings.length_max = 6;
                settings.hold = Duration::from_secs(20);
            }
            "head" => {
                settings.dead_letter = Some(QueueName::new("dead").unwrap());
                settings.length_max = 4;
                settings.overflow = Overflow::DropHead;
            }
            _ => {}
        }
        settings
    }

    /// One of the queues, declared if it is not there.
    fn some_queue(&mut self, names: &[&'static str]) -> Option<(QueueName, u64)> {
        let name = names[self.random.below(names.len() as u64) as usize];
        let settings = Self::settings(name);
        let (declared, sequences) =
            self.appended(|engine| engine.topology.declare(&engine.journal, &settings, usize::MAX).map(drop));
        for sequence in sequences {
            self.story.tell(sequence, Change::Declare(name.to_owned()));
            self.wait_for(sequence);
        }
        declared.ok().and_then(|()| self.story.model.number(name)).map(|number| (settings.name, number))
    }

    fn publish(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["plain", "plain", "short", "head", "dead"]) else {
            return;
        };
        let now = self.now();
        let count = 1 + self.random.below(3);
        let mut items = Vec::new();
        let mut messages = Vec::new();
        for _ in 0..count {
            self.next_id += 1;
            let id = format!("m{}", self.next_id);
            let payload = self.random.below(200) as usize;
            let not_before = self.random.one_in(5).then(|| now + Duration::from_secs(self.random.below(30)));
            let expires_at =
                self.random.one_in(5).then(|| now + Duration::from_secs(1 + self.random.below(30)));
            messages.push(Message {
                not_before,
                expires_at,
                ..Message::new(MessageId::given(&id).unwrap(), vec![b'x'; payload].into())
            });
            let place = Place::Waiting(not_before.filter(|at| *at > now).unwrap_or_default());
            items.push(Item { id, payload, attempts: 0, place, expires_at, history: Vec::new() });
        }
        let (published, sequences) = self.appended(|engine| engine.publish(&name, messages));
        let last = *sequences.end();
        let mut dropped = Vec::new();
        let mut items = items.into_iter();
        for sequence in sequences {
            match items.next() {
                Some(item) => {
                    self.story.tell(sequence, Change::Put { queue, item });
                    seen.note("published", 1);
                }
                // The rest are the heads that were dropped.
                None => dropped.push(sequence),
            }
        }
        for sequence in dropped {
            let head = self.story.model.queues[&queue].ready(now)[0];
            self.story.tell(sequence, Change::Gone { queue, position: head });
            seen.note("dropped", 1);
        }
        match published {
            Ok((_, sequence)) => {
                assert!(sequence <= last && items.next().is_none());
                if name.as_str() != "short" {
                    self.wait_for(sequence);
                } else {
                    assert!(self.story.model.queues[&queue].items.len() <= 6);
                    self.wait_for(last);
                }
            }
            Err(error) if error.kind() == Kind::Full => {
                assert_eq!(items.len() as u64, count, "nothing was taken");
                seen.note("refused as full", 1);
            }
            Err(error) => self.expect_trouble(error.kind()),
        }
    }

    /// The log may refuse for a reason that the history has given it.
    fn expect_trouble(&self, kind: Kind) {
        let log = &self.engine().journal.log;
        match kind {
            Kind::Full => {}
            Kind::Poisoned => assert!(log.stats().poisoned),
            Kind::Unavailable => {}
            _ => panic!("refused as {kind:?}"),
        }
    }

    fn receive(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["plain", "short", "head", "dead", PARKED]) else {
            return;
        };
        let now = self.now();
        let hold = self.random.one_in(2).then(|| Duration::from_secs(1 + self.random.below(40)));
        let count_max = 1 + self.random.below(4) as usize;
        let receive = Receive { count_max, hold, wait_until: now };
        let (taken, sequences) = self.appended(|engine| {
            let queue = engine.topology.find(&name)?;
            engine.take(&queue, &receive)
        });
        let deliveries = match taken {
            Ok(deliveries) => deliveries,
            Err(error) => return self.expect_trouble(error.kind()),
        };
        let items = &self.story.model.queues[&queue].items;
        let mut ready = self.story.model.queues[&queue].ready(now);
        if let Some(expired) = ready.iter().position(|position| items[position].has_expired(now)) {
            ready.truncate(expired);
        }
        assert_eq!(deliveries.len(), sequences.clone().count());
        if deliveries.len() < ready.len().min(count_max) {
            // What is ready is handed out, unless the log takes no more such records.
            let (position, attempt, token) = (0, 0, 0);
            let one_more = Record::Deliver { queue: 0, position, attempt, token, held_until: now };
            assert!(self.engine().journal.append(&one_more).is_err());
        }
        for ((delivery, sequence), expected) in deliveries.iter().zip(sequences).zip(ready) {
            let DeliveryId { position, token } = delivery.id;
            assert_eq!(position, expected, "in order, and what nobody holds");
            let item = &self.story.model.queues[&queue].items[&position];
            assert_eq!(delivery.message.id.as_str(), item.id);
            assert_eq!(delivery.message.payload.len(), item.payload);
            assert_eq!(delivery.attempt, item.attempts + 1);
            assert_eq!(delivery.history.len(), item.history.len());
            let until = delivery.held_until;
            assert_eq!(until, now + hold.unwrap_or(Self::settings(name.as_str()).hold));
            self.story.tell(sequence, Change::Hold { queue, position, token, until });
            seen.note("delivered", 1);
        }
    }

    /// Some delivery that is held.
    fn some_held(&mut self) -> Option<(QueueName, u64, DeliveryId)> {
        let held = self.story.model.queues.iter().flat_map(|(number, queue)| {
            queue.items.iter().filter_map(|(position, item)| match item.place {
                Place::Held { token, .. } => {
                    let name = QueueName::new(&queue.name).unwrap();
                    Some((name, *number, DeliveryId { position: *position, token }))
                }
                Place::Waiting(_) => None,
            })
        });
        let held: Vec<_> = held.collect();
        let index = self.random.below(held.len() as u64) as usize;
        held.into_iter().nth(index)
    }

    fn settle(&mut self, seen: &mut Seen) {
        let Some((name, queue, id)) = self.some_held() else { return };
        self.settle_held(&name, queue, id, seen);
    }

    fn settle_held(&mut self, name: &QueueName, queue: u64, id: DeliveryId, seen: &mut Seen) {
        let now = self.now();
        let outcome = match self.random.below(10) {
            0..5 => Outcome::Done,
            5 => Outcome::Return,
            6..8 => Outcome::RetryAt(now + Duration::from_secs(self.random.below(20))),
            _ => Outcome::DeadLetter(Reason::Rejected),
        };
        let (settled, sequences) = self.appended(|engine| engine.settle(name, id, outcome, Some("note")));
        let position = id.position;
        let what = match outcome {
            Outcome::Done => "done",
            Outcome::Return => "returned",
            Outcome::RetryAt(_) => "retried",
            Outcome::DeadLetter(_) => "dead-lettered",
        };
        let last = *sequences.end();
        for sequence in sequences {
            let change = match outcome {
                Outcome::Done => Change::Gone { queue, position },
                Outcome::Return => Change::Return { queue, position },
                Outcome::RetryAt(at) => Change::Retry { queue, position, at },
                Outcome::DeadLetter(reason) => {
                    if !self.move_or_declare(sequence, queue, position, reason) {
                        continue;
                    }
                    seen.note(what, 1);
                    continue;
                }
            };
            self.story.tell(sequence, change);
            seen.note(what, 1);
        }
        match settled {
            Ok(Some(sequence)) => {
                assert_eq!(sequence, last);
                self.wait_for(sequence);
                self.stale.push((name.clone(), id));
            }
            Ok(None) => panic!("{id} of {name} is held"),
            Err(error) => self.expect_trouble(error.kind()),
        }
    }

    /// A dead letter's record: its destination's declaration, if that was not there, or its move. True for the move.
    fn move_or_declare(&mut self, sequence: u64, queue: u64, position: u64, reason: Reason) -> bool {
        let from = Self::settings(&self.story.model.queues[&queue].name);
        let to = from.dead_letter.map_or(PARKED.to_owned(), |name| name.to_string());
        match self.story.model.number(&to) {
            Some(to) => {
                self.story.tell(sequence, Change::Move { queue, position, to, reason: Some(reason) });
                true
            }
            None => {
                self.story.tell(sequence, Change::Declare(to));
                false
            }
        }
    }

    fn settle_stale(&mut self, seen: &mut Seen) {
        let index = self.random.below(self.stale.len() as u64) as usize;
        let Some((name, id)) = self.stale.get(index).cloned() else { return };
        // A crash may have undone the end that nobody had been told is durable.
        let model = &self.story.model;
        let queue = model.number(name.as_str()).map(|number| &model.queues[&number]);
        let item = queue.and_then(|queue| queue.items.get(&id.position));
        if item.is_some_and(|item| matches!(item.place, Place::Held { token, .. } if token == id.token)) {
            return;
        }
        let (settled, sequences) = self.appended(|engine| engine.settle(&name, id, Outcome::Done, None));
        match settled {
            Ok(settled) => assert_eq!(settled, None, "a late word settles nothing"),
            Err(error) => assert_eq!(error.kind(), Kind::NotFound),
        }
        assert!(sequences.is_empty());
        seen.note("stale", 1);
    }

    fn extend(&mut self, seen: &mut Seen) {
        let Some((name, queue, id)) = self.some_held() else { return };
        let hold = Duration::from_secs(1 + self.random.below(60));
        let (extended, sequences) = self.appended(|engine| engine.extend(&name, id, hold));
        for sequence in sequences {
            let until = self.now() + hold;
            self.story.tell(sequence, Change::Extend { queue, position: id.position, until });
            seen.note("extended", 1);
        }
        match extended {
            Ok(Some(until)) => assert_eq!(until, self.now() + hold),
            // Its end has come, and is offered to others.
            Ok(None) => {
                let Place::Held { until, .. } = self.story.model.queues[&queue].items[&id.position].place
                else {
                    panic!("it is held")
                };
                assert!(until <= self.now());
            }
            Err(error) => self.expect_trouble(error.kind()),
        }
    }

    fn redrive(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["dead", PARKED]) else { return };
        let count_max = 1 + self.random.below(4) as usize;
        let now = self.now();
        let (redriven, sequences) = self.appended(|engine| engine.redrive(&name, count_max));
        let mut ready = self.story.model.queues[&queue].ready(now).into_iter();
        for sequence in sequences {
            let position = ready.find(|position| self.returns_to(queue, *position).is_some()).unwrap();
            let to = self.returns_to(queue, position).unwrap();
            self.story.tell(sequence, Change::Move { queue, position, to, reason: None });
            self.wait_for(sequence);
            seen.note("redriven", 1);
        }
        if let Err(error) = redriven {
            self.expect_trouble(error.kind());
        }
    }

    /// Where a dead letter would be sent back to.
    fn returns_to(&self, queue: u64, position: u64) -> Option<u64> {
        let model = &self.story.model;
        let name = &model.queues[&queue].items[&position].history.last()?.0;
        let to = model.number(name).filter(|to| *to != queue)?;
        let has_room = (model.queues[&to].items.len() as u64) < Self::settings(name).length_max;
        has_room.then_some(to)
    }

    fn purge(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["plain", "short", "dead"]) else { return };
        let (purged, sequences) = self.appended(|engine| engine.purge(&name));
        for sequence in sequences {
            self.story.tell(sequence, Change::Purge { queue });
            self.wait_for(sequence);
            seen.note("purged", 1);
        }
        if let Err(error) = purged {
            self.expect_trouble(error.kind());
        }
    }

    fn delete(&mut self, seen: &mut Seen) {
        let Some((name, queue)) = self.some_queue(&["short", "head", "dead"]) else { return };
        let (deleted, sequences) = self.appended(|engine| engine.delete(&name));
        for sequence in sequences {
            self.story.tell(sequence, Change::Delete { queue });
            self.wait_for(sequence);
            seen.note("deleted", 1);
        }
        if let Err(error) = deleted {
            self.expect_trouble(error.kind());
        }
    }

    /// Time passes, and whoever looks after silent consumers does so.
    fn pass(&mut self, seen: &mut Seen) {
        self.clock.advance(Duration::from_secs(self.random.below(25)));
        self.sweep(seen);
        if self.random.one_in(2) {
            for delivery in self.engine().offer_run_out() {
                let queue = self.story.model.number(delivery.queue.as_str()).unwrap();
                let item = &self.story.model.queues[&queue].items[&delivery.id.position];
                assert!(matches!(item.place, Place::Held { token, until }
                    if token == delivery.id.token && until <= self.now()));
                assert_eq!(delivery.attempt, item.attempts);
                seen.note("run out", 1);
                if !self.random.one_in(3) {
                    self.settle_held(&delivery.queue, queue, delivery.id, seen);
                }
            }
        }
    }

    /// What the timers do, queue by queue.
    fn sweep(&mut self, seen: &mut Seen) {
        let now = self.now();
        let numbers: Vec<_> = self.story.model.queues.keys().copied().collect();
        for number in numbers {
            let (swept, sequences) = self.appended(|engine| {
                let queue = engine.topology.numbered(number).unwrap();
                engine.come_due(&queue, &mut *queue.lock()?, now);
                engine.expire_heads(&queue, now)
            });
            for sequence in sequences {
                let queue = &self.story.model.queues[&number];
                let head = queue.ready(now)[0];
                assert!(queue.items[&head].has_expired(now));
                if Self::settings(&queue.name).dead_letter.is_none() {
                    self.story.tell(sequence, Change::Gone { queue: number, position: head });
                } else if !self.move_or_declare(sequence, number, head, Reason::Expired) {
                    continue;
                }
                seen.note("expired", 1);
            }
            match swept {
                Ok(_) => {
                    let queue = &self.story.model.queues[&number];
                    let head = queue.ready(now).first().map(|head| &queue.items[head]);
                    assert!(!head.is_some_and(|head| head.has_expired(now)));
                }
                Err(error) => self.expect_trouble(error.kind()),
            }
        }
    }

    fn free(&mut self, seen: &mut Seen) {
        let engine = self.engine();
        for _ in 0..4 {
            let before = (*engine.journal.log.segments().start(), engine.journal.last());
            let step = engine.free_step();
            let after = (*engine.journal.log.segments().start(), engine.journal.last());
            seen.note("released", u64::from(after.0 > before.0));
            seen.note("carried", u64::from(after.1 > before.1));
            match step {
                Ok(Step::Idle) => return,
                Ok(Step::Worked) => {}
                Ok(Step::Wait(_)) => drop(engine.journal.log.step()),
                Err(error) => return self.expect_trouble(error.kind()),
            }
        }
    }

    /// Something of the disk is going to fail.
    fn sabotage(&mut self) {
        let operation = [Operation::Sync, Operation::Write, Operation::Create][self.random.below(3) as usize];
        match self.random.below(3) {
            0 => self.files.power_off_after(self.random.below(6)),
            _ => self.files.fail(operation, 1 + self.random.below(3), Kind::Io),
        }
    }

    /// The process ends in one way or another, and a new one takes over.
    fn end(&mut self, seen: &mut Seen) {
        self.confirm();
        let engine = self.engine();
        let poisoned = engine.journal.log.stats().poisoned;
        seen.note("poisoned", u64::from(poisoned));
        let appended = engine.journal.last();
        let way = self.random.below(4);
        match way {
            0 if !poisoned && !self.files.is_off() => {
                engine.close();
                while engine.journal.log.step() {}
                self.confirm();
                self.files = self.files.restart();
                seen.note("close", 1);
            }
            1 => {
                self.files = self.files.restart();
                seen.note("restart", 1);
            }
            _ => {
                self.files = self.files.crash(self.random.draw());
                seen.note("crash", 1);
            }
        }
        self.waits.clear();
        let files = Arc::new(self.files.clone());
        let opened = open(files, self.options.clone(), Arc::new(self.clock.clone())).unwrap();
        self.broker = opened.broker;
        let last = opened.recovered.last_sequence;
        assert!(last >= self.confirmed, "{} was confirmed, and the log ends at {last}", self.confirmed);
        seen.note("lost records", u64::from(last < appended));
        self.story.cut(last);
        self.check();
    }

    /// Compares all that the broker holds with the model.
    fn check(&self) {
        let engine = self.engine();
        let now = self.now();
        let queues = engine.topology.all();
        let mut numbers: Vec<_> = queues.iter().map(|queue| queue.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, self.story.model.queues.keys().copied().collect::<Vec<_>>());
        for queue in queues {
            let expected = &self.story.model.queues[&queue.number];
            assert_eq!(queue.name.as_str(), expected.name);
            let mut state = queue.lock().unwrap();
            assert_eq!(state.settings, Self::settings(&expected.name));
            assert_eq!(state.len(), expected.items.len() as u64, "{}", expected.name);
            for (position, item) in &expected.items {
                let Some((entry, status)) = state.find(*position) else {
                    panic!("{} of {} is lost", item.id, expected.name)
                };
                assert_eq!(entry.attempts, item.attempts, "{}", item.id);
                match (status, item.place) {
                    (Status::Ready, Place::Waiting(from)) => assert!(from <= now, "{}", item.id),
                    (Status::Delayed { until }, Place::Waiting(from)) => {
                        assert_eq!(until, from, "{}", item.id)
                    }
                    (Status::Held { token, until }, Place::Held { token: expected, until: end }) => {
                        assert_eq!((token, until), (expected, end), "{}", item.id);
                    }
                    (is, should) => panic!("{} is {is:?} and should be {should:?}", item.id),
                }
                let expires_at = Some(entry.expires_at).filter(|at| *at != crate::state::entry::NEVER);
                assert_eq!(expires_at, item.expires_at, "{}", item.id);
                let body = engine.journal.read(entry.stored().location).unwrap();
                let record = Record::decode(&body).unwrap();
                let start = body.len() - record.message().head.len();
                let message = message::decode(&body, start).unwrap();
                assert_eq!((message.id.as_str(), message.payload.len()), (&*item.id, item.payload));
                let history = record.into_history();
                let told: Vec<_> = history
                    .into_iter()
                    .map(|h| (h.queue.to_string(), h.reason, h.count, h.attempts))
                    .collect();
                assert_eq!(told, item.history, "{}", item.id);
            }
        }
    }

    /// The accounts of what lives where, what is kept in memory, and what comes due agree with the queues.
    fn audit(&self) {
        let engine = self.engine();
        let mut tallies = BTreeMap::<u64, (u64, u64)>::new();
        let queues = engine.topology.all();
        let states: Vec<_> = queues.iter().map(|queue| queue.lock().unwrap()).collect();
        let entries = || states.iter().flat_map(|state| state.ready.after(0).chain(state.unsettled.iter()));
        let declared = states.iter().map(|state| state.declared.unwrap());
        for stored in declared.chain(entries().map(|entry| entry.stored())) {
            let tally = tallies.entry(stored.location.segment.into()).or_default();
            *tally = (tally.0 + 1, tally.1 + u64::from(stored.bytes));
        }
        assert_eq!(engine.journal.tallies(), tallies);
        let (account, kept) = engine.hot.audit(entries());
        assert_eq!(account, kept);
        for state in &states {
            let (noted, should) = state.unsettled.audit();
            assert_eq!(noted, should);
        }
    }

    /// Receives and settles everything as any consumer would.
    fn check_from_outside(&mut self, seen: &mut Seen) {
        self.clock.advance(Duration::from_secs(100));
        self.sweep(seen);
        let (engine, now) = (self.engine(), self.now());
        let mut ids = BTreeSet::new();
        for (number, queue) in &self.story.model.queues {
            let name = QueueName::new(&queue.name).unwrap();
            let found = engine.topology.numbered(*number).unwrap();
            let mut received = Vec::new();
            loop {
                let receive = Receive { count_max: 3, hold: None, wait_until: now };
                let deliveries = match engine.take(&found, &receive) {
                    Ok(deliveries) if deliveries.is_empty() => break,
                    Ok(deliveries) => deliveries,
                    Err(error) if error.kind() == Kind::Full => {
                        while engine.journal.log.step() {}
                        engine.free_step().unwrap();
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                for delivery in deliveries {
                    assert!(
                        ids.insert(delivery.message.id.clone()),
                        "{} is in two places",
                        delivery.message.id.as_str()
                    );
                    received.push(delivery.id.position);
                    while let Err(error) = engine.settle(&name, delivery.id, Outcome::Done, None) {
                        assert_eq!(error.kind(), Kind::Full);
                        while engine.journal.log.step() {}
                        engine.free_step().unwrap();
                    }
                }
            }
            // Messages that expired behind the first have come to the dead letters only now.
            received.retain(|position| queue.items.contains_key(position));
            let mut expected = queue.ready(now);
            expected.retain(|position| !queue.items[position].has_expired(now));
            assert_eq!(received, expected, "{name}");
            seen.note("received at the end", received.len() as u64);
        }
    }
}
