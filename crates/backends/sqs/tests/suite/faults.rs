//! What goes wrong with SQS under load: nothing that was confirmed is lost, and nobody goes deaf. A restart is not among it:
//! moto keeps nothing over one, and SQS has none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use forebay_core::delivery::{Outcome, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_sqs::broker::SqsBroker;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::ground::Ground;
use crate::moto::{Moto, url, within};
use crate::proxy::{Does, Proxy};

const PUBLISHERS: usize = 2;
const CONSUMERS: usize = 3;
/// How long a consumer may hear nothing after all is well again.
const DEAF_MAX: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_millis(700);
const WAIT: Duration = Duration::from_secs(2);
/// What a call may be late by on a busy machine.
const LATE: Duration = Duration::from_secs(3);

fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn message(id: &str) -> Message {
    Message::new(MessageId::given(id).unwrap(), Payload::from(id))
}

fn options() -> String {
    format!("poll_s=1&visibility_s=3&timeout_ms={}&wait_ms={}", TIMEOUT.as_millis(), WAIT.as_millis())
}

/// Publishers and consumers of one queue, and what they saw.
struct Load {
    broker: SqsBroker,
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
}

impl Load {
    /// Begins to publish and consume.
    fn begin(ground: &Ground, broker: SqsBroker) -> Arc<Self> {
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
        });
        for publisher in 0..PUBLISHERS {
            ground.handle().spawn(load.clone().publish(publisher));
        }
        for consumer in 0..CONSUMERS {
            ground.handle().spawn(load.clone().consume(consumer));
        }
        ground.handle().spawn(load.clone().expire());
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
            let messages = ids.iter().map(|id| message(id)).collect();
            let published = self.broker.publish(&self.queue, messages).await;
            self.took(began);
            match published {
                Ok(_) => self.confirmed.lock().extend(ids),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    self.failed.fetch_add(1, SeqCst);
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn consume(self: Arc<Self>, consumer: usize) {
        while self.consuming.load(SeqCst) {
            let asked =
                Receive { count_max: 5, hold: None, wait_until: self.clock.now() + Duration::from_secs(1) };
            let began = Instant::now();
            let received = self.broker.receive(&self.queue, asked).await;
            let most = Duration::from_secs(3) + TIMEOUT + LATE;
            assert!(began.elapsed() <= most, "a receive took {:?}", began.elapsed());
            for delivery in received.unwrap_or_default() {
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

    /// Waits until many publishes are confirmed again, and every consumer has heard something.
    fn await_all_is_well(&self) {
        let confirmed = self.confirmed();
        let heard: Vec<u64> = self.heard.iter().map(|heard| heard.load(SeqCst)).collect();
        within(DEAF_MAX, "publishes are confirmed and every consumer hears", || {
            let all = self.heard.iter().zip(&heard).all(|(now, before)| now.load(SeqCst) > *before);
            all && self.confirmed() > confirmed + 60
        });
    }

    /// Stops publishing, and waits until everything that was confirmed was seen.
    fn end(&self) {
        self.publishing.store(false, SeqCst);
        within(DEAF_MAX, "all that was confirmed comes", || {
            let confirmed = self.confirmed.lock().clone();
            self.seen.lock().is_superset(&confirmed)
        });
        self.consuming.store(false, SeqCst);
        let slowest = *self.slowest.lock();
        assert!(slowest <= (WAIT + TIMEOUT) * 2 + LATE, "the slowest call took {slowest:?}");
    }
}

#[test]
fn a_server_that_stands_still_costs_no_confirmed_message_and_leaves_nobody_deaf() {
    let (moto, ground) = (Moto::start(), Ground::new());
    let (broker, _works) = ground.broker(&url(moto.address, &options()));
    let load = Load::begin(&ground, broker);
    load.await_all_is_well();
    for pause in [500, 4_000] {
        moto.pause();
        thread::sleep(Duration::from_millis(pause));
        moto.resume();
        load.await_all_is_well();
    }
    load.end();
}

#[test]
fn a_wire_that_is_cut_or_swallows_answers_costs_no_confirmed_message_and_leaves_nobody_deaf() {
    let (moto, ground) = (Moto::start(), Ground::new());
    let proxy = Proxy::to(moto.address, &ground);
    let (broker, _works) = ground.broker(&url(proxy.address, &options()));
    let load = Load::begin(&ground, broker);
    load.await_all_is_well();
    for does in [Does::Pass, Does::Refuse, Does::Swallow] {
        proxy.cut(does);
        if does == Does::Refuse {
            within(DEAF_MAX, "publishes fail", || load.failed.load(SeqCst) > 0);
        }
        thread::sleep(Duration::from_millis(1_500));
        proxy.cut(Does::Pass);
        load.await_all_is_well();
    }
    load.end();
}

#[test]
fn a_publish_during_an_outage_waits_for_its_end_up_to_the_stated_time() {
    let ground = Ground::new();
    let proxy = Proxy::to(Moto::shared().address, &ground);
    let url = url(proxy.address, "");
    let (broker, _works) = ground.broker(&format!("{url}wait_ms=20000&timeout_ms=1000"));
    let queue = name("q");
    ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    proxy.cut(Does::Refuse);
    let publish = ground.handle().spawn({
        let (broker, queue) = (broker.clone(), queue.clone());
        async move { broker.publish(&queue, vec![message("m")]).await }
    });
    thread::sleep(Duration::from_millis(500));
    assert!(!publish.is_finished());
    proxy.set(Does::Pass);
    ground.run(publish).unwrap().unwrap();
    let (impatient, _works) = ground.broker(&format!("{url}wait_ms=500&timeout_ms=300"));
    ground.run(impatient.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    for does in [Does::Refuse, Does::Swallow] {
        proxy.cut(does);
        let began = Instant::now();
        let failed = ground.run(impatient.publish(&queue, vec![message("n")])).unwrap_err();
        assert_eq!(failed.kind(), Kind::Unavailable);
        assert!(began.elapsed() < Duration::from_millis(800) + LATE);
        let began = Instant::now();
        let asked = Receive { count_max: 1, hold: None, wait_until: ground.clock.now() };
        let failed = ground.run(impatient.receive(&queue, asked)).unwrap_err();
        assert_eq!(failed.kind(), Kind::Unavailable);
        assert!(began.elapsed() < Duration::from_millis(1_300) + LATE);
        assert!(!format!("{failed} {failed:?}").contains("secret"));
        proxy.cut(Does::Pass);
    }
}

#[test]
fn a_hold_that_could_not_be_prolonged_is_over_here_before_others_have_the_message() {
    let ground = Ground::new();
    let proxy = Proxy::to(Moto::shared().address, &ground);
    let direct = url(Moto::shared().address, "poll_s=0&visibility_s=3");
    let cut = direct.replace(&Moto::shared().address.to_string(), &proxy.address.to_string());
    let (broker, _works) = ground.broker(&format!("{cut}&timeout_ms=1500&wait_ms=1500"));
    let (other, _other_works) = ground.broker(&direct);
    let settings = QueueSettings::new(name("q"));
    ground.run(broker.ensure(&settings)).unwrap();
    ground.run(broker.publish(&settings.name, vec![message("m")])).unwrap();
    let asked = |wait| Receive { count_max: 1, hold: None, wait_until: ground.clock.now() + wait };
    let delivery =
        ground.run(broker.receive(&settings.name, asked(Duration::from_secs(5)))).unwrap().remove(0);
    thread::sleep(Duration::from_secs(4));
    let held = |broker: &SqsBroker| ground.run(broker.held(&settings.name, delivery.id)).unwrap();
    assert!(held(&broker).is_some(), "it is prolonged as long as that goes");
    proxy.cut(Does::Refuse);
    let again = ground.run(other.receive(&settings.name, asked(Duration::from_secs(15)))).unwrap().remove(0);
    assert_eq!(again.message, delivery.message);
    assert!(held(&broker).is_none());
    let settled = ground.run(broker.settle(&settings.name, delivery.id, Outcome::Done, None)).unwrap();
    assert_eq!(settled, Settled::NotHeld);
    let settled = ground.run(other.settle(&settings.name, again.id, Outcome::Done, None)).unwrap();
    assert_eq!(settled, Settled::Done);
}
