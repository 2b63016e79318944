//! What goes wrong with the server: nothing is lost in silence, and calls end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::within;
use forebay_core::error::Kind;
use forebay_core::ports::bus::{Bus, Heard, Listener, Position};
use forebay_kafka::bus::KafkaBus;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use crate::ground::Ground;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What a call may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
/// After so long nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);

/// Somebody who listens all the time, and what it knows of.
#[derive(Default)]
struct Ear {
    heard: Mutex<BTreeSet<Position>>,
    gaps: Mutex<Vec<(Position, Position)>>,
}

impl Ear {
    fn of(ground: &Ground, bus: &KafkaBus) -> Arc<Self> {
        let mut listener = ground.on(bus.listen(None)).unwrap();
        let ear = Arc::new(Self::default());
        let hearing = ear.clone();
        ground.runtime.spawn(async move { hearing.hear(&mut *listener).await });
        ear
    }

    async fn hear(&self, listener: &mut dyn Listener) {
        let mut last = Position::START;
        while let Ok(heard) = listener.next().await {
            match heard {
                Heard::Notice { position, .. } => {
                    assert!(position > last, "in order, and once");
                    last = position;
                    self.heard.lock().insert(position);
                }
                Heard::Gap { from, to } => {
                    last = to;
                    self.gaps.lock().push((from, to));
                }
            }
        }
    }

    fn count(&self) -> usize {
        self.heard.lock().len()
    }

    fn knows_of(&self, position: Position) -> bool {
        let in_gap = |(from, to): &(Position, Position)| *from < position && position <= *to;
        self.heard.lock().contains(&position) || self.gaps.lock().iter().any(in_gap)
    }
}

/// Publishes all the time, and what became of it.
struct Load {
    bus: KafkaBus,
    confirmed: Mutex<Vec<Position>>,
    refused: Mutex<usize>,
    slowest: Mutex<Duration>,
    stop: AtomicBool,
}

impl Load {
    fn on(ground: &Ground, bus: &KafkaBus) -> Arc<Self> {
        let load = Arc::new(Self {
            bus: bus.clone(),
            confirmed: Mutex::default(),
            refused: Mutex::default(),
            slowest: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        ground.runtime.spawn(load.clone().publish());
        load
    }

    async fn publish(self: Arc<Self>) {
        while !self.stop.load(SeqCst) {
            let begun = Instant::now();
            let published = self.bus.publish("notice".into()).await;
            self.took(begun.elapsed());
            match published {
                Ok(position) => self.confirmed.lock().push(position),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    *self.refused.lock() += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn took(&self, time: Duration) {
        let mut slowest = self.slowest.lock();
        *slowest = slowest.max(time);
    }

    fn count(&self) -> usize {
        self.confirmed.lock().len()
    }
}

/// Publishes and listens on two buses, takes the server away until publishes are refused, brings it back, and looks whether all
/// is well afterwards.
fn survives(take_away: fn(&Kafka), bring_back: fn(&Kafka)) {
    let Some(ground) = Ground::new() else { return };
    let (one, other) = (ground.another(WAIT), ground.another(WAIT));
    // It is slow with its first topic.
    within(DEAF_MAX, "both have joined", || {
        [&one, &other].iter().all(|bus| ground.on(bus.publish("notice".into())).is_ok())
    });
    let ears = [Ear::of(&ground, &one), Ear::of(&ground, &other)];
    let load = Load::on(&ground, &one);
    let goes_on = |what: &str| {
        let (confirmed, heard) = (load.count(), [ears[0].count(), ears[1].count()]);
        within(DEAF_MAX, what, || {
            let hear = ears.iter().zip(heard).all(|(ear, before)| ear.count() > before + 20);
            hear && load.count() > confirmed + 20
        });
    };
    goes_on("it works before");
    take_away(ground.server());
    within(DEAF_MAX, "it is told that the server is away", || *load.refused.lock() > 0);
    bring_back(ground.server());
    goes_on("it goes on afterwards");
    load.stop.store(true, SeqCst);
    for ear in &ears {
        within(DEAF_MAX, "all that was confirmed is known of", || {
            load.confirmed.lock().iter().all(|position| ear.knows_of(*position))
        });
        assert!(ear.gaps.lock().is_empty(), "the server had kept all of it: {:?}", ear.gaps.lock());
    }
    let slowest = *load.slowest.lock();
    assert!(slowest < WAIT + SLACK, "a call took {slowest:?}");
    let confirmed = load.confirmed.lock();
    assert!(confirmed.is_sorted_by(|one, next| one < next), "no position is given twice");
}

#[test]
fn a_restart_loses_nothing_and_leaves_nobody_deaf() {
    survives(Kafka::stop, Kafka::start_again);
}

#[test]
fn a_kill_loses_nothing_and_leaves_nobody_deaf() {
    survives(Kafka::kill, Kafka::start_again);
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_longer_than_the_wait() {
    survives(Kafka::pause, Kafka::resume);
}

#[test]
fn what_was_published_while_a_process_was_away_is_heard_without_a_gap() {
    let Some(mut ground) = Ground::new() else { return };
    let known = ground.on(ground.bus.publish("known".into())).unwrap();
    ground.bus.close();
    let other = ground.another(crate::ground::WAIT);
    let published: Vec<Position> =
        (0..10).map(|_| ground.on(other.publish("notice".into())).unwrap()).collect();
    ground.reopen();
    let mut listener = ground.on(ground.bus.listen(Some(known))).unwrap();
    for position in published {
        let heard = ground.on(listener.next()).unwrap();
        assert_eq!(heard, Heard::Notice { position, notice: "notice".into() });
    }
}

#[test]
fn a_topic_that_is_deleted_and_made_anew_puts_everything_in_doubt() {
    let Some(ground) = Ground::new() else { return };
    let ear = Ear::of(&ground, &ground.bus);
    for _ in 0..10 {
        ground.on(ground.bus.publish("notice".into())).unwrap();
    }
    let before = ground.on(ground.bus.head()).unwrap();
    let servers = ground.server().url().replace("kafka://", "");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let deleted = ground.on(admin.delete_topics(&[&ground.topic()], &AdminOptions::new())).unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    // It is made anew, and gives positions that it gave before.
    let mut published = None;
    within(DEAF_MAX, "it is there again", || {
        published = ground.on(ground.bus.publish("notice".into())).ok();
        published.is_some()
    });
    assert!(published.unwrap() < before, "{published:?}");
    within(DEAF_MAX, "the listener is told", || !ear.gaps.lock().is_empty());
    let heard = ear.count();
    within(DEAF_MAX, "and hears what comes after it", || {
        let published = ground.on(ground.bus.publish("notice".into())).unwrap();
        published > before && ear.count() > heard && ear.knows_of(published)
    });
    assert!(ear.gaps.lock().iter().all(|(from, _)| *from == Position::START), "{:?}", ear.gaps.lock());
    let mut late = ground.on(ground.bus.listen(Some(before))).unwrap();
    let first = ground.on(late.next()).unwrap();
    assert!(matches!(first, Heard::Gap { from: Position::START, .. }), "{first:?}");
}
