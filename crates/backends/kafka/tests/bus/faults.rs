//! What goes wrong with the server or the wire to it: nothing is lost in silence, and calls end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::wire::Does;
use forebay_contract::servers::{Pauses, Restarts, within};
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
/// After so long nobody may be deaf any more. A reader that was sent nothing asks after ten seconds, and joins anew within
/// two answers of ten seconds each and a pause of two; a busy machine may need that twice.
const DEAF_MAX: Duration = Duration::from_secs(120);

/// What comes of trying again and again, as programs do.
fn patiently<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let mut came = None;
    within(DEAF_MAX, what, || {
        came = attempt();
        came.is_some()
    });
    came.unwrap()
}

/// Somebody who listens all the time, and what it knows of.
#[derive(Default)]
struct Ear {
    heard: Mutex<BTreeSet<Position>>,
    gaps: Mutex<Vec<(Position, Position)>>,
}

impl Ear {
    fn of(ground: &Ground, bus: &KafkaBus) -> Arc<Self> {
        let mut listener = patiently("it listens", || ground.on(bus.listen(None)).ok());
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

/// Publishes and listens on two buses, does something to the server or the wire to it, and looks whether all is well then.
struct Scene<'a> {
    server: &'a Kafka,
    load: Arc<Load>,
    ears: [Arc<Ear>; 2],
}

impl Scene<'_> {
    fn goes_on(&self, what: &str) {
        let counts = || self.ears.each_ref().map(|ear| ear.count());
        let (confirmed, heard) = (self.load.count(), counts());
        within(DEAF_MAX, what, || {
            let hear = counts().iter().zip(heard).all(|(count, before)| *count > before + 20);
            hear && self.load.count() > confirmed + 20
        });
    }

    fn until_refused(&self) {
        let before = *self.load.refused.lock();
        within(DEAF_MAX, "it is told that the server is away", || *self.load.refused.lock() > before);
    }
}

fn survives(way: fn(&Ground) -> String, hurt: impl FnOnce(&Scene<'_>)) {
    let Some(ground) = Ground::new() else { return };
    let url = way(&ground);
    let buses = [ground.another(&url, WAIT), ground.another(&url, WAIT)];
    for bus in &buses {
        // It is slow with its first topic.
        patiently("it has joined", || ground.on(bus.publish("notice".into())).ok());
    }
    let ears = buses.each_ref().map(|bus| Ear::of(&ground, bus));
    let [one, _] = &buses;
    let scene = Scene { server: &ground.server, load: Load::on(&ground, one), ears };
    scene.goes_on("it works before");
    hurt(&scene);
    scene.goes_on("it goes on afterwards");
    let Scene { load, ears, .. } = scene;
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

fn directly(ground: &Ground) -> String {
    ground.server.url()
}

#[test]
fn a_restart_loses_nothing_and_leaves_nobody_deaf() {
    survives(directly, |scene| {
        scene.server.stop();
        scene.until_refused();
        scene.server.start_again();
    });
}

#[test]
fn a_kill_loses_nothing_and_leaves_nobody_deaf() {
    survives(directly, |scene| {
        scene.server.kill();
        scene.until_refused();
        scene.server.start_again();
    });
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_longer_than_the_wait() {
    survives(directly, |scene| {
        scene.server.pause();
        scene.until_refused();
        scene.server.resume();
    });
}

#[test]
fn a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf() {
    survives(Ground::over_wire, |scene| {
        scene.server.wire.cut(Does::Pass);
        scene.goes_on("after a cut");
        scene.server.wire.cut(Does::Refuse);
        scene.until_refused();
        scene.server.wire.set(Does::Pass);
        scene.goes_on("after a wire that takes nobody");
        scene.server.wire.cut(Does::Pass);
    });
}

#[test]
fn answers_that_are_lost_cost_no_notice_and_leave_nobody_deaf() {
    survives(Ground::over_wire, |scene| {
        scene.server.wire.set(Does::Swallow);
        scene.until_refused();
        scene.server.wire.cut(Does::Pass);
    });
}

#[test]
fn a_wire_that_carries_nothing_for_a_while_holds_nobody_up_for_longer_than_the_wait() {
    survives(Ground::over_wire, |scene| {
        scene.server.wire.set(Does::Hold);
        scene.until_refused();
        scene.server.wire.set(Does::Pass);
    });
}

#[test]
fn a_listener_over_a_wire_that_was_cut_hears_what_was_published_meanwhile() {
    let Some(ground) = Ground::new() else { return };
    let away = ground.another(&ground.over_wire(), WAIT);
    let ear = Ear::of(&ground, &away);
    let first = ground.on(ground.bus.publish("notice".into())).unwrap();
    within(DEAF_MAX, "it hears", || ear.knows_of(first));
    ground.server.wire.cut(Does::Refuse);
    let positions: Vec<_> =
        (0..20).map(|_| ground.on(ground.bus.publish("notice".into())).unwrap()).collect();
    assert_eq!(ground.on(away.head()).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(ear.count(), 1);
    ground.server.wire.set(Does::Pass);
    within(DEAF_MAX, "it hears all of it", || ear.count() == 1 + positions.len());
    assert!(ear.gaps.lock().is_empty(), "the server had kept it");
}

#[test]
fn what_was_published_while_a_process_was_away_is_heard_without_a_gap() {
    let Some(mut ground) = Ground::new() else { return };
    let known = ground.on(ground.bus.publish("known".into())).unwrap();
    ground.bus.close();
    let other = ground.another(&directly(&ground), crate::ground::WAIT);
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
    let bus = ground.another(&directly(&ground), WAIT);
    let publish = || ground.on(bus.publish("notice".into())).ok();
    let ear = Ear::of(&ground, &bus);
    let before = patiently("it is published", || publish().filter(|position| *position >= Position(10)));
    let servers = directly(&ground).replace("kafka://", "");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let deleted = ground.on(admin.delete_topics(&[&ground.topic()], &AdminOptions::new())).unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    // It is made anew, and gives positions that it gave before. Until then some are of the topic that is to go.
    patiently("it is there again", || publish().filter(|position| *position < before));
    within(DEAF_MAX, "the listener is told", || !ear.gaps.lock().is_empty());
    let heard = ear.count();
    within(DEAF_MAX, "and hears what comes after it", || {
        publish().is_some_and(|position| position > before && ear.count() > heard && ear.knows_of(position))
    });
    assert!(ear.gaps.lock().iter().all(|(from, _)| *from == Position::START), "{:?}", ear.gaps.lock());
    let mut late = patiently("it listens", || ground.on(bus.listen(Some(before))).ok());
    let first = ground.on(late.next()).unwrap();
    assert!(matches!(first, Heard::Gap { from: Position::START, .. }), "{first:?}");
}
