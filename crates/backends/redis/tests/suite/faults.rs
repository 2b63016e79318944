//! What goes wrong with a server under load: nothing that was confirmed is lost, and nobody goes deaf.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use forebay_core::delivery::Outcome;
use forebay_core::entry::{Mode, Version};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::ports::remote_store::{Changed, Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_redis::broker::{self, RedisBroker};
use forebay_redis::settings::Settings;
use forebay_redis::store;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ground::Ground;
use forebay_contract::servers::redis::{Keeps, Redis};
use forebay_contract::servers::wire::{Does, Wire};
use forebay_contract::servers::within;

const PUBLISHERS: usize = 3;
const CONSUMERS: usize = 4;
/// How long a consumer may hear nothing after all is well again.
pub(crate) const DEAF_MAX: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);
/// What a call may be late by on a busy machine.
const LATE: Duration = Duration::from_secs(2);

fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

/// Publishers and consumers of one queue, and what they saw.
pub(crate) struct Load {
    broker: Arc<RedisBroker>,
    queue: QueueName,
    clock: Arc<dyn Clock>,
    confirmed: Mutex<HashSet<String>>,
    seen: Mutex<HashSet<String>>,
    /// Of each consumer.
    heard: Vec<AtomicU64>,
    failed: AtomicU64,
    slowest: Mutex<Duration>,
    publishing: AtomicBool,
    consuming: AtomicBool,
    /// The last one is that which sees to holds that run out.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Load {
    /// Begins to publish and consume.
    pub(crate) fn begin(ground: &Ground, broker: Arc<RedisBroker>) -> Arc<Self> {
        let mut settings = QueueSettings::new(name("load"));
        settings.hold = Duration::from_secs(2);
        ground.run(broker.ensure(&settings)).unwrap();
        let load = Arc::new(Self {
            broker,
            queue: settings.name,
            clock: ground.clock.clone(),
            confirmed: Mutex::default(),
            seen: Mutex::default(),
            heard: (0..CONSUMERS).map(|_| AtomicU64::new(0)).collect(),
            failed: AtomicU64::new(0),
            slowest: Mutex::default(),
            publishing: AtomicBool::new(true),
            consuming: AtomicBool::new(true),
            tasks: Mutex::default(),
        });
        let mut tasks = Vec::new();
        for publisher in 0..PUBLISHERS {
            tasks.push(ground.handle().spawn(load.clone().publish(publisher)));
        }
        for consumer in 0..CONSUMERS {
            tasks.push(ground.handle().spawn(load.clone().consume(consumer)));
        }
        tasks.push(ground.handle().spawn(load.clone().expire()));
        *load.tasks.lock() = tasks;
        load
    }

    fn took(&self, began: Instant) {
        let mut slowest = self.slowest.lock();
        *slowest = slowest.max(began.elapsed());
    }

    async fn publish(self: Arc<Self>, publisher: usize) {
        for turn in 0_u64.. {
            if !self.publishing.load(SeqCst) {
                return;
            }
            let ids: Vec<String> = (0..3).map(|part| format!("{publisher}-{turn}-{part}")).collect();
            let began = Instant::now();
            let published =
                self.broker.publish(&self.queue, ids.iter().map(|id| message(id)).collect()).await;
            self.took(began);
            match published {
                Ok(_) => self.confirmed.lock().extend(ids),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    self.failed.fetch_add(1, SeqCst);
                }
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn consume(self: Arc<Self>, consumer: usize) {
        while self.consuming.load(SeqCst) {
            let wait = Duration::from_millis(500);
            let asked = Receive { count_max: 5, hold: None, wait_until: self.clock.now() + wait };
            let began = Instant::now();
            let received = self.broker.receive(&self.queue, asked).await;
            assert!(
                began.elapsed() <= wait + PATIENCE + TIMEOUT + LATE,
                "a receive took {:?}",
                began.elapsed()
            );
            let received = received.unwrap_or_else(|error| {
                assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                Vec::new()
            });
            for delivery in received {
                self.seen.lock().insert(delivery.message.id.as_str().to_owned());
                self.heard[consumer].fetch_add(1, SeqCst);
                let began = Instant::now();
                // What cannot be settled comes again.
                let _ = self.broker.settle(&self.queue, delivery.id, Outcome::Done, None).await;
                self.took(began);
            }
        }
    }

    async fn expire(self: Arc<Self>) {
        while self.consuming.load(SeqCst) {
            match self.broker.expired().await {
                Ok(offered) => {
                    for delivery in offered {
                        let again = Outcome::RetryAt(self.clock.now());
                        let _ = self.broker.settle(&delivery.queue, delivery.id, again, None).await;
                    }
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn confirmed(&self) -> usize {
        self.confirmed.lock().len()
    }

    /// Waits until publishes are confirmed again, and every consumer has heard something.
    pub(crate) fn await_all_is_well(&self) {
        let confirmed = self.confirmed();
        let heard: Vec<u64> = self.heard.iter().map(|heard| heard.load(SeqCst)).collect();
        within(DEAF_MAX, "publishes are confirmed and every consumer hears", || {
            let all = self.heard.iter().zip(&heard).all(|(now, before)| now.load(SeqCst) > *before);
            all && self.confirmed() > confirmed
        });
    }

    /// Waits until some more publishes have failed.
    pub(crate) fn await_failures(&self) {
        let failed = self.failed.load(SeqCst);
        within(DEAF_MAX, "the load feels it", || self.failed.load(SeqCst) > failed + 3);
    }

    pub(crate) fn stop_publishing(&self) {
        self.publishing.store(false, SeqCst);
    }

    /// Stops publishing, waits until everything that was confirmed was seen, and fails if one of its tasks has failed.
    pub(crate) fn end(&self, ground: &Ground) {
        self.stop_publishing();
        within(DEAF_MAX, "all that was confirmed comes", || {
            let confirmed = self.confirmed.lock().clone();
            self.seen.lock().is_superset(&confirmed)
        });
        self.consuming.store(false, SeqCst);
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        let expires = tasks.pop();
        tasks.into_iter().for_each(|task| ground.run(task).unwrap());
        // Who waits for holds that run out may wait for ever.
        self.broker.close();
        expires.into_iter().for_each(|task| ground.run(task).unwrap());
        assert!(self.confirmed() > 30, "there was a load: {}", self.confirmed());
        let slowest = *self.slowest.lock();
        assert!(slowest <= PATIENCE + TIMEOUT + LATE, "a call took {slowest:?}");
    }
}

fn url(redis: &Redis) -> String {
    let (timeout, patience) = (TIMEOUT.as_millis(), PATIENCE.as_millis());
    format!("redis://{}?durable=always&timeout_ms={timeout}&patience_ms={patience}", redis.address)
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_nothing_it_confirmed_and_nobody_goes_deaf() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let load = Load::begin(&ground, ground.broker(&url(&redis)));
    for round in 0..4 {
        load.await_all_is_well();
        redis.kill();
        // Also longer than a publish waits.
        thread::sleep(Duration::from_millis(if round == 3 { 4_000 } else { 200 }));
        redis.start_again();
    }
    load.await_all_is_well();
    assert!(load.failed.load(SeqCst) > 0, "the load never felt it");
    load.end(&ground);
}

#[test]
fn a_server_that_stands_still_costs_no_call_more_than_its_time_and_nobody_goes_deaf() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let load = Load::begin(&ground, ground.broker(&url(&redis)));
    for _ in 0..2 {
        load.await_all_is_well();
        redis.pause();
        thread::sleep(Duration::from_secs(4));
        redis.resume();
    }
    load.await_all_is_well();
    assert!(load.failed.load(SeqCst) > 0, "the load never felt it");
    load.end(&ground);
}

#[test]
fn a_wire_that_is_cut_again_and_again_loses_nothing_and_nobody_goes_deaf() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let direct = url(&redis);
    let load = Load::begin(
        &ground,
        ground.broker(&direct.replace(&redis.address.to_string(), &wire.address.to_string())),
    );
    for _ in 0..3 {
        load.await_all_is_well();
        wire.cut(Does::Refuse);
        thread::sleep(Duration::from_millis(700));
        wire.set(Does::Pass);
        load.await_all_is_well();
        wire.set(Does::Swallow);
        thread::sleep(Duration::from_millis(700));
        wire.cut(Does::Pass);
    }
    load.await_all_is_well();
    load.end(&ground);
}

#[test]
fn what_was_handed_out_by_an_answer_that_was_lost_comes_back_without_waiting_for_its_hold() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let wire = Wire::to(redis.address);
    let broker = ground.broker(&format!("redis://{}?patience_ms=10000&timeout_ms=500", wire.address));
    let mut settings = QueueSettings::new(name("q"));
    settings.hold = Duration::from_secs(3_600);
    ground.run(broker.ensure(&settings)).unwrap();
    let asked = Receive { count_max: 1, hold: None, wait_until: ground.clock.now() };
    // The server knows the script now, and carries it out before it says anything.
    assert!(ground.run(broker.receive(&settings.name, asked)).unwrap().is_empty());
    ground.run(broker.publish(&settings.name, vec![message("m")])).unwrap();
    wire.set(Does::Swallow);
    let begun = ground.handle().spawn({
        let (broker, queue) = (broker.clone(), settings.name.clone());
        async move { broker.receive(&queue, asked).await.map(|deliveries| deliveries.len()) }
    });
    within(DEAF_MAX, "the server has handed it out", || redis.cli(&["ZCARD", "{forebay}:holds"]) == "1");
    wire.cut(Does::Pass);
    let _ = ground.run(begun).unwrap();
    let asked =
        Receive { count_max: 1, hold: None, wait_until: ground.clock.now() + Duration::from_secs(30) };
    let deliveries = ground.run(broker.receive(&settings.name, asked)).unwrap();
    assert_eq!(deliveries.len(), 1, "it is held by nobody");
    assert_eq!(deliveries[0].attempt, 1, "and nobody has seen it");
}

#[test]
fn a_publish_during_an_outage_waits_for_its_end_up_to_the_stated_time() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let broker = ground.broker(&format!("redis://{}?patience_ms=20000", redis.address));
    let queue = name("q");
    ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    redis.kill();
    within(DEAF_MAX, "the outage is noticed", || ground.run(broker.ready(Duration::ZERO)).is_err());
    let publish = ground.handle().spawn({
        let (broker, queue) = (broker.clone(), queue.clone());
        async move { broker.publish(&queue, vec![message("m")]).await }
    });
    thread::sleep(Duration::from_millis(300));
    redis.start_again();
    ground.run(publish).unwrap().unwrap();
    let impatient = ground.broker(&format!("redis://{}?patience_ms=300&timeout_ms=300", redis.address));
    redis.kill();
    within(DEAF_MAX, "the outage is noticed", || ground.run(impatient.ready(Duration::ZERO)).is_err());
    let began = Instant::now();
    let failed = ground.run(impatient.publish(&queue, vec![message("n")])).unwrap_err();
    assert_eq!(failed.kind(), Kind::Unavailable);
    assert!(began.elapsed() < Duration::from_millis(600) + LATE);
}

#[test]
fn a_server_that_keeps_less_than_was_asked_for_is_refused_by_name() {
    let ground = Ground::new();
    let refused = |redis: &Redis, options: &str| {
        let url = format!("redis://{}?{options}", redis.address);
        let (broker, works) = broker::open(Settings::parse(&url).unwrap(), ground.clock.clone()).unwrap();
        ground.spawn(works);
        let queue = QueueSettings::new(name("q"));
        let declared = ground.run(broker.ensure(&queue));
        let published = ground.run(broker.publish(&queue.name, vec![message("m")]));
        assert_eq!(declared.is_ok(), published.is_ok());
        declared.err().map(|error| {
            assert_eq!(error.kind(), Kind::Unsupported);
            error.to_string()
        })
    };
    let forgets = Redis::start(Keeps::Nothing, &[]);
    assert!(refused(&forgets, "").unwrap().contains("appendonly"));
    assert_eq!(refused(&forgets, "durable=any"), None);
    let each_second = Redis::start(Keeps::Everything, &["--appendfsync", "everysec"]);
    assert_eq!(refused(&each_second, "durable=everysec"), None);
    assert!(refused(&each_second, "durable=always").unwrap().contains("appendfsync"));
    let evicts =
        Redis::start(Keeps::Everything, &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    assert!(refused(&evicts, "").unwrap().contains("maxmemory-policy"));
}

#[test]
fn a_server_that_may_evict_offers_neither_tags_nor_locks() {
    let ground = Ground::new();
    let offers = |more: &[&str]| {
        let redis = Redis::start(Keeps::Nothing, more);
        let can = ground.store(&format!("redis://{}", redis.address)).capabilities();
        (can.tags, can.locks)
    };
    assert_eq!(offers(&[]), (true, true));
    assert_eq!(offers(&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]), (true, true));
    assert_eq!(offers(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"]), (false, false));
}

#[test]
fn what_a_store_offers_does_not_change_with_its_connection() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let settings = Settings::parse(&format!("redis://{}", redis.address)).unwrap();
    let (store, work) = store::open(settings, ground.clock.clone());
    let offers = || (store.capabilities().tags, store.capabilities().locks);
    assert_eq!(offers(), (false, false), "nothing is known yet");
    ground.spawn(vec![work]);
    ground.run(store.ready(DEAF_MAX)).unwrap();
    assert_eq!(offers(), (true, true));
    redis.kill();
    within(DEAF_MAX, "the outage is noticed", || ground.run(store.ready(Duration::ZERO)).is_err());
    assert_eq!(offers(), (true, true));
}

#[test]
fn versions_grow_also_after_the_server_has_lost_everything() {
    let (redis, ground) = (Redis::start(Keeps::Nothing, &[]), Ground::new());
    let store = ground.store(&format!("redis://{}", redis.address));
    let put = Put { flags: 0, life: None, mode: Mode::Add, version: None };
    let mut last = Version(0);
    for _ in 0..50 {
        let Changed::Done(version) = ground.run(store.put(b"lock", b"", put)).unwrap() else { panic!() };
        assert!(version > last);
        last = version;
        assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    }
}

#[test]
fn a_dropped_broker_ends_its_works() {
    let (redis, ground) = (Redis::start(Keeps::Everything, &[]), Ground::new());
    let clients = || redis.cli(&["CLIENT", "LIST"]).lines().count();
    let before = clients();
    let (broker, store) = (ground.broker(&url(&redis)), ground.store(&url(&redis)));
    assert!(clients() > before);
    drop((broker, store));
    within(DEAF_MAX, "their connections end", || clients() == before);
}
