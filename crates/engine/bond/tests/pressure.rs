//! Cache, queues and governor together: pressure costs the cache, never a message, and what it cost comes back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_bond::governor::Step;
use forebay_bond::{Budget, Governor};
use forebay_broker::{BrokerOptions, EmbeddedBroker};
use forebay_contract::clock::SimClock;
use forebay_core::delivery::{Outcome, Settled};
use forebay_core::entry::{Version, Write};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, BrokerAdmin, Receive};
use forebay_core::ports::clock::{Clock, Run};
use forebay_core::ports::local_store::LocalStore;
use forebay_core::pressure::{Pressure, Rung};
use forebay_core::queue::{QueueName, QueueSettings, Retain};
use forebay_log::Disk;
use forebay_memory::{Memory, MemoryOptions};

const MIB: u64 = 1 << 20;
const CACHE: u64 = 4 * MIB;
const BODIES: u64 = MIB / 2;
const TOTAL: u64 = 6 * MIB;
const BATCH: usize = 500;

struct World {
    memory: Arc<Memory>,
    broker: Arc<EmbeddedBroker>,
    governor: Governor,
    pressure: Arc<Pressure>,
    clock: SimClock,
    queue: QueueName,
    published: u64,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = SimClock::new(1);
        let options = BrokerOptions { hot_bytes_max: BODIES as usize, ..BrokerOptions::default() };
        let disk = Arc::new(Disk::open(folder.path()).unwrap());
        let opened = forebay_broker::open(disk, options, Arc::new(clock.clone())).unwrap();
        for work in opened.work {
            if let Run::Thread(body) = work.run {
                std::thread::spawn(body);
            }
        }
        let memory = Arc::new(Memory::new(MemoryOptions {
            bytes_max: CACHE as usize,
            value_bytes_max: 1024,
            first_version: Version(1),
        }));
        let queue = QueueName::new("deep").unwrap();
        opened.broker.ensure(&QueueSettings::new(queue.clone())).await.unwrap();
        let pressure = Arc::new(Pressure::default());
        let budget = Budget::new(Some(TOTAL), CACHE, BODIES).unwrap();
        let governor = Governor::new(&memory, &opened.broker, budget, pressure.clone());
        let broker = opened.broker;
        Self { memory, broker, governor, pressure, clock, queue, published: 0, _folder: folder }
    }

    fn fill_cache(&self) {
        for number in 0..50_000u32 {
            self.memory.write(&number.to_be_bytes(), &[7; 100], Write::at(self.clock.now()));
        }
    }

    /// Lets the governor come to rest; where it has come to.
    fn govern(&mut self) -> Rung {
        while self.governor.step() == Step::Shrinking {}
        self.pressure.stats().rung
    }

    async fn publish(&mut self) -> Result<(), Kind> {
        let numbers = self.published..self.published + BATCH as u64;
        let message =
            |number: u64| Message::new(MessageId::given("m").unwrap(), number.to_be_bytes().to_vec().into());
        let messages = numbers.map(message).collect();
        self.broker.publish(&self.queue, messages).await.map_err(|error| error.kind())?;
        self.published += BATCH as u64;
        Ok(())
    }

    /// Takes messages in order until so many are left; `next` is the number of the first.
    async fn drain(&self, next: &mut u64, left: u64) {
        let wait_until = self.clock.now();
        let mut settles = tokio::task::JoinSet::new();
        while self.published - *next > left {
            let receive = Receive { count_max: BATCH, hold: Some(Duration::from_secs(60)), wait_until };
            for delivery in self.broker.receive(&self.queue, receive).await.unwrap() {
                assert_eq!(&*delivery.message.payload, &next.to_be_bytes(), "in order, none missing");
                *next += 1;
                let (broker, queue) = (self.broker.clone(), self.queue.clone());
                // Side by side, so that one sync serves them all.
                settles.spawn(async move { broker.settle(&queue, delivery.id, Outcome::Done, None).await });
            }
            while let Some(settled) = settles.join_next().await {
                assert_eq!(settled.unwrap().unwrap(), Settled::Done);
            }
        }
    }
}

#[tokio::test]
async fn a_deep_queue_costs_the_cache_its_memory_and_no_message_and_gives_it_back_when_it_drains() {
    let mut world = World::new().await;
    world.fill_cache();
    assert_eq!(world.govern(), Rung::Calm);
    let full = world.memory.stats();
    assert_eq!(full.bytes_max, CACHE);
    let mut seen = vec![Rung::Calm];
    let refused = loop {
        match world.publish().await {
            Ok(()) => {}
            Err(kind) => break kind,
        }
        let rung = world.govern();
        let (stats, store) = (world.pressure.stats(), world.memory.stats());
        assert!(store.bytes <= store.bytes_max && store.bytes_max == stats.cache_max);
        let taken = store.bytes_max + stats.queues.entries + stats.queues.bodies.min(stats.bodies_max);
        assert!(taken <= TOTAL || rung == Rung::PublishesRefused, "{stats:?}");
        if seen.last() != Some(&rung) {
            seen.push(rung);
        }
    };
    assert_eq!(refused, Kind::Full);
    assert_eq!(seen, Rung::ALL, "the ladder is climbed rung by rung");
    let shrunk = world.memory.stats();
    assert_eq!(shrunk.bytes_max, CACHE / 4);
    assert!(shrunk.items > 0 && shrunk.items < full.items / 2);
    assert_eq!(world.broker.memory().bodies, 0);
    assert!(world.published * 64 > TOTAL - CACHE / 4 - MIB, "{} were taken", world.published);

    let mut next = 0;
    let most = world.published;
    world.drain(&mut next, most * 2 / 5).await;
    assert!(world.govern() < Rung::PublishesRefused, "half the way down publishers are let in again");
    world.publish().await.unwrap();
    world.drain(&mut next, 0).await;
    assert_eq!(world.govern(), Rung::Calm);
    assert_eq!(world.memory.stats().bytes_max, CACHE);
    assert_eq!(next, world.published, "every confirmed message was delivered, in order");
    world.fill_cache();
    assert!(world.memory.stats().items > full.items * 9 / 10);
    world.broker.close();
    assert_eq!(world.governor.step(), Step::Ended);
}

#[tokio::test]
async fn what_is_retained_gives_way_before_the_cache_does_and_before_a_publish_is_refused() {
    let mut world = World::new().await;
    let deep = world.queue.clone();
    let mut settings = QueueSettings::new(QueueName::new("kept").unwrap());
    settings.retain = Retain::For(Duration::from_secs(3_600));
    world.broker.ensure(&settings).await.unwrap();
    world.queue = settings.name.clone();
    let (mut next, mut dropped) = (0, 0);
    while dropped == 0 {
        world.publish().await.unwrap();
        world.drain(&mut next, 0).await;
        assert_eq!(world.govern(), Rung::Calm);
        let stats = world.broker.queue(&world.queue).await.unwrap().stats;
        assert_eq!(stats.retained + stats.retained_dropped, next);
        assert!(next < TOTAL / 64, "it takes more than there is: {stats:?}");
        dropped = stats.retained_dropped;
        assert!(stats.retained > 0);
    }
    assert_eq!(world.memory.stats().bytes_max, CACHE);
    (world.queue, world.published) = (deep, 0);
    while world.publish().await.is_ok() {
        let rung = world.govern();
        let stats = world.broker.queue(&settings.name).await.unwrap().stats;
        assert!(rung == Rung::Calm || stats.retained == 0, "{rung:?} {stats:?}");
    }
    assert!(world.published * 64 > TOTAL - CACHE / 4 - MIB, "{} were taken", world.published);
}

#[tokio::test]
async fn a_cache_limit_set_before_the_pressure_is_the_one_that_comes_back_after_it() {
    let mut world = World::new().await;
    assert!(world.memory.resize(2 * MIB));
    assert_eq!(world.govern(), Rung::Calm);
    assert_eq!(world.pressure.stats().cache_max, 2 * MIB);
    while world.publish().await.is_ok() {
        let rung = world.govern();
        let (stats, store) = (world.pressure.stats(), world.memory.stats());
        assert_eq!((store.bytes_max, stats.total_max), (stats.cache_max, TOTAL));
        assert!(stats.cache_max <= 2 * MIB);
        let taken = stats.cache_max + stats.queues.entries + stats.queues.bodies.min(stats.bodies_max);
        assert!(taken <= TOTAL || rung == Rung::PublishesRefused, "{stats:?}");
    }
    assert_eq!(world.memory.stats().bytes_max, MIB, "its floor");
    world.drain(&mut 0, 0).await;
    assert_eq!(world.govern(), Rung::Calm);
    assert_eq!(world.memory.stats().bytes_max, 2 * MIB);
}

#[tokio::test]
async fn a_cache_limit_set_under_pressure_is_granted_when_there_is_room_and_a_lower_one_at_once() {
    let mut world = World::new().await;
    while world.govern() < Rung::BodiesGivenUp {
        world.publish().await.unwrap();
    }
    assert_eq!(world.memory.stats().bytes_max, CACHE / 4);
    assert!(world.memory.resize(5 * MIB));
    world.govern();
    let (stats, store) = (world.pressure.stats(), world.memory.stats());
    assert!(store.bytes_max < 2 * MIB, "the queues still need it: {stats:?}");
    assert!(stats.cache_max + stats.queues.entries + stats.bodies_max <= TOTAL, "{stats:?}");
    assert!(!world.memory.resize(TOTAL - BODIES + 1), "there is no room for so much");
    let mut next = 0;
    world.drain(&mut next, 0).await;
    assert_eq!(world.govern(), Rung::Calm);
    assert_eq!(world.memory.stats().bytes_max, 5 * MIB);
    assert!(world.memory.resize(3 * MIB));
    assert_eq!(world.memory.stats().bytes_max, 3 * MIB);
    assert_eq!(world.govern(), Rung::Calm);
    assert_eq!(world.memory.stats().bytes_max, 3 * MIB);
}

#[tokio::test]
async fn the_governor_ends_when_what_it_governs_is_gone() {
    let World { memory, broker, governor, clock, .. } = World::new().await;
    let Run::Thread(body) = governor.work(Arc::new(clock)).run else { panic!("it blocks") };
    let thread = std::thread::spawn(body);
    drop((memory, broker));
    thread.join().unwrap();
}
