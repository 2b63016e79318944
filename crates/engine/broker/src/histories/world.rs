//! One history: the broker, its disk, and everybody who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay_contract::clock::SimClock;
use forebay_contract::files::{Operation, Saboteur};
use forebay_contract::random::Random;
use forebay_core::delivery::{DeliveryId, Reason};
use forebay_core::error::Kind;
use forebay_core::ports::clock::Clock;
use forebay_core::ports::files::Files;
use forebay_core::queue::{DeadLetterExchange, Lifetime, Order, Overflow, QueueName, QueueSettings, Retain};
use forebay_core::time::Instant;
use forebay_log::{Durable, LogOptions};

use super::copies::FAN;
use super::model::{Change, Item, Place, Queue, Story};
use crate::broker::{BrokerOptions, EmbeddedBroker, open};
use crate::engine::Engine;
use crate::state::entry::NEVER;
use crate::storage::claims::file;
use crate::storage::space::Step;

const STEPS: u64 = 150;

/// How many bytes of payload may be ready in the queue "head".
const HEAD_BYTES_MAX: u64 = 400;

/// The same of the queue "newest", which refuses what is more.
const NEWEST_BYTES_MAX: u64 = 500;

/// How long the queue "kept" retains.
pub(super) const RETAINED: Duration = Duration::from_secs(60);

/// What all histories together have come to, so that the test cannot pass by doing nothing.
#[derive(Debug, Default)]
pub(super) struct Seen {
    counts: BTreeMap<&'static str, u64>,
}

impl Seen {
    pub(super) fn note(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    pub(super) fn assert_enough(&self, histories: u64) {
        eprintln!("{histories} histories: {:?}", self.counts);
        for what in [
            "published",
            "refused as full",
            "delivered",
            "done",
            "retained",
            "replayed",
            "replaced",
            "overtaken",
            "forgotten in time",
            "gave way",
            "returned",
            "returned as seen",
            "ended with the process",
            "retried",
            "dead-lettered",
            "expired",
            "dropped",
            "dropped when due",
            "extended",
            "run out",
            "held for life",
            "redriven",
            "purged",
            "paused",
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
            "received by key",
            "repeated",
            "claimed",
            "no file",
            "exchange declared",
            "bound",
            "unbound",
            "exchange deleted",
            "released with its queue",
            "fan bound",
            "fan unbound",
            "copied",
            "copied to several",
            "files removed",
            "files swept",
        ] {
            let count = self.counts.get(what).copied().unwrap_or(0);
            assert!(count >= histories / 20, "{what}: only {count} in {histories} histories");
        }
    }
}

pub(super) struct World {
    files: Saboteur,
    pub(super) clock: SimClock,
    pub(super) random: Random,
    options: BrokerOptions,
    broker: Arc<EmbeddedBroker>,
    pub(super) story: Story,
    /// Confirmations that are waited for.
    waits: Vec<(u64, Durable)>,
    /// The last sequence that was confirmed to anybody.
    confirmed: u64,
    /// Deliveries that have ended.
    pub(super) stale: Vec<(QueueName, DeliveryId)>,
    pub(super) next_id: u64,
    /// Where copies were brought of the message that is leaving.
    pub(super) copied: BTreeSet<u64>,
    /// Some retained message was forgotten before its time, for want of space.
    pub(super) gave_way: bool,
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
        let options = BrokerOptions {
            log,
            hot_bytes_max: [0, 3_000, 1_000_000][random.below(3) as usize],
            claim_above_bytes: [50, 150, 1_000][random.below(3) as usize],
        };
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
            copied: BTreeSet::new(),
            gave_way: false,
        }
    }

    /// Lives through one history and looks at the end of it.
    pub(super) fn live(mut self, seen: &mut Seen) {
        for _ in 0..STEPS {
            self.step(seen);
            self.sweep(seen);
            self.confirm();
            self.audit();
            self.look_at_retained(seen);
        }
        self.end(seen);
        self.audit();
        self.quiet();
        self.look_at_retained(seen);
        self.check_from_outside(seen);
        self.audit();
    }

    fn step(&mut self, seen: &mut Seen) {
        match self.random.below(118) {
            100..112 => self.route(seen),
            112..118 => self.fan(seen),
            0..25 => self.publish(seen),
            25..40 => self.receive(seen),
            40..58 => self.settle(seen),
            58..61 => self.extend(seen),
            61..64 => self.redrive(seen),
            64 => self.purge(seen),
            65 => self.delete(seen),
            66 => self.settle_stale(seen),
            67 => self.pause(seen),
            68..74 => self.pass(seen),
            74..88 => drop(self.engine().journal.log.step()),
            88..96 => self.free(seen),
            96 => self.sabotage(),
            _ => self.end(seen),
        }
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        self.broker.engine.clone()
    }

    /// Longer payloads lie in files of their own.
    pub(super) fn claim_above(&self) -> usize {
        self.options.claim_above_bytes
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Does something, and says which sequences it has appended.
    pub(super) fn appended<T>(&self, act: impl FnOnce(&Engine) -> T) -> (T, std::ops::RangeInclusive<u64>) {
        let engine = self.engine();
        let before = engine.journal.last();
        let done = act(&engine);
        (done, before + 1..=engine.journal.last())
    }

    pub(super) fn wait_for(&mut self, sequence: u64) {
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

    pub(super) fn settings(name: &str) -> QueueSettings {
        let mut settings = QueueSettings::new(QueueName::new(name).unwrap());
        match name {
            "plain" => settings.dead_letter = Some(QueueName::new("dead").unwrap()),
            "kept" => settings.retain = Retain::For(RETAINED),
            "newest" => {
                settings.newest_by_key = true;
                settings.length_bytes_max = Some(NEWEST_BYTES_MAX);
            }
            "short" => {
                settings.dedup_window = Duration::from_secs(45);
                settings.length_max = 6;
                settings.hold = Duration::from_secs(20);
            }
            "brief" => settings.lifetime = Lifetime::Process,
            "classes" => {
                settings.priority_max = 2;
                settings.dead_letter = Some(QueueName::new("dead").unwrap());
            }
            "keyed" => {
                settings.order = Order::Key;
                settings.length_max = 12;
                settings.overflow = Overflow::DropHead;
            }
            "fan" => {
                let exchange = FAN.to_owned();
                settings.dead_letter_exchange = Some(DeadLetterExchange { exchange, key: None });
                settings.message_ttl = Some(Duration::from_secs(20));
            }
            "head" => {
                settings.dead_letter = Some(QueueName::new("dead").unwrap());
                settings.length_max = 4;
                settings.length_bytes_max = Some(HEAD_BYTES_MAX);
                settings.overflow = Overflow::DropHead;
            }
            _ => {}
        }
        settings
    }

    pub(super) fn is_of_process(name: &str) -> bool {
        Self::settings(name).lifetime == Lifetime::Process
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
    pub(super) fn sweep(&mut self, seen: &mut Seen) {
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
                if queue.is_over(now) {
                    self.tell_dropped(sequence, number);
                    seen.note("dropped when due", 1);
                    continue;
                }
                let head = queue.next(now)[0];
                assert!(queue.items[&head].has_expired(now));
                let settings = Self::settings(&queue.name);
                if settings.dead_letter.is_none() && settings.dead_letter_exchange.is_none() {
                    self.story.tell(sequence, Change::Gone { queue: number, position: head });
                } else if !self.move_or_declare(sequence, number, head, Reason::Expired, seen) {
                    continue;
                }
                seen.note("expired", 1);
            }
            match swept {
                Ok(_) => {
                    let queue = &self.story.model.queues[&number];
                    let head = queue.next(now).first().map(|head| &queue.items[head]);
                    assert!(!head.is_some_and(|head| head.has_expired(now)));
                }
                Err(error) => self.expect_trouble(error.kind()),
            }
        }
    }

    /// Once all is done that there is to do, there are the files of the messages that are there, and no others.
    fn quiet(&mut self) {
        let engine = self.engine();
        for _ in 0..10_000 {
            match engine.free_step() {
                Ok(Step::Idle) => {
                    self.audit();
                    let (claims, leaving) = engine.journal.claims.audit();
                    assert_eq!(leaving, 0);
                    assert_eq!(self.claim_files(), claims.values().map(|claim| claim.file).collect());
                    return;
                }
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Full),
            }
            while engine.journal.log.step() {}
        }
        panic!("there is always something to do");
    }

    /// The numbers of the files in which payloads lie.
    pub(super) fn claim_files(&self) -> BTreeSet<u64> {
        self.files.list().unwrap().iter().filter_map(|name| file::parse(name)).collect()
    }

    fn free(&mut self, seen: &mut Seen) {
        let engine = self.engine();
        for _ in 0..4 {
            let files = self.claim_files().len();
            let before = (*engine.journal.log.segments().start(), engine.journal.last());
            let step = engine.free_step();
            let after = (*engine.journal.log.segments().start(), engine.journal.last());
            seen.note("released", u64::from(after.0 > before.0));
            seen.note("carried", u64::from(after.1 > before.1));
            seen.note("files removed", (files - self.claim_files().len()) as u64);
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
        let kind = [Kind::Io, Kind::Full][self.random.below(2) as usize];
        match self.random.below(4) {
            0 => self.files.fail(Operation::Create, 1 + self.random.below(3), kind),
            1 => self.files.power_off_after(self.random.below(6)),
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
        let left = self.claim_files();
        let files = Arc::new(self.files.clone());
        let opened = open(files, self.options.clone(), Arc::new(self.clock.clone())).unwrap();
        self.broker = opened.broker;
        let last = opened.recovered.last_sequence;
        assert!(last >= self.confirmed, "{} was confirmed, and the log ends at {last}", self.confirmed);
        seen.note("lost records", u64::from(last < appended));
        self.story.cut(last);
        // What opening has written is that queues have ended with their process.
        let of_process = |queue: &Queue| Self::is_of_process(&queue.name);
        let queues = self.story.model.queues.iter();
        let ended: Vec<_> =
            queues.filter(|(_, queue)| of_process(queue)).map(|(number, _)| *number).collect();
        let written = self.engine().journal.last();
        ended.into_iter().for_each(|queue| {
            self.story.tell(written, Change::Delete { queue, routes: Vec::new() });
            seen.note("ended with the process", 1);
        });
        let written = self.engine().journal.last();
        let is_held = |item: &Item| matches!(item.place, Place::Held { until: NEVER, .. });
        let items = self.story.model.queues.values().flat_map(|queue| queue.items.values());
        seen.note("held for life", items.filter(|item| is_held(item)).count() as u64);
        self.story.tell(written, Change::Reopen);
        self.check();
        seen.note("files swept", (left.len() - self.claim_files().len()) as u64);
        assert_eq!(self.claim_files(), self.engine().journal.claims.known(), "all others are swept away");
    }
}
