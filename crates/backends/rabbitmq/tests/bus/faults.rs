//! What goes wrong with the server or the wire to it: nothing is lost in silence, and calls end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::wire::{Does, Wire};
use forebay_contract::servers::{Pauses, Restarts, within};
use forebay_core::error::Kind;
use forebay_core::ports::bus::{Bus, Heard, Listener, Position};
use forebay_rabbitmq::bus::RabbitBus;
use parking_lot::Mutex;

use crate::ground::{self, Ground};

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What a call may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(3);
/// After so long nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);

/// Somebody who listens all the time, and what it knows of.
#[derive(Default)]
struct Ear {
    heard: Mutex<BTreeSet<Position>>,
    gaps: Mutex<Vec<(Position, Position)>>,
}

impl Ear {
    fn of(ground: &Ground, bus: &RabbitBus) -> Arc<Self> {
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
    bus: RabbitBus,
    confirmed: Mutex<Vec<Position>>,
    refused: Mutex<usize>,
    slowest: Mutex<Duration>,
    stop: AtomicBool,
}

impl Load {
    fn on(ground: &Ground, bus: &RabbitBus) -> Arc<Self> {
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

/// Publishes and listens on two buses, does something to one of them or both, and looks whether all is well afterwards.
/// Returns how many calls were refused.
fn survives(ground: &Ground, over: &str, hurt: impl FnOnce(&Ground)) -> usize {
    let (one, other) = (ground.another(over, WAIT), ground.another(over, WAIT));
    let ears = [Ear::of(ground, &one), Ear::of(ground, &other)];
    let load = Load::on(ground, &one);
    let goes_on = |what: &str| {
        let (confirmed, heard) = (load.count(), [ears[0].count(), ears[1].count()]);
        within(DEAF_MAX, what, || {
            let hear = ears.iter().zip(heard).all(|(ear, before)| ear.count() > before + 20);
            hear && load.count() > confirmed + 20
        });
    };
    goes_on("it works before");
    hurt(ground);
    goes_on("it goes on afterwards");
    load.stop.store(true, SeqCst);
    for ear in &ears {
        within(DEAF_MAX, "all that was confirmed is known of", || {
            load.confirmed.lock().iter().all(|position| ear.knows_of(*position))
        });
    }
    let slowest = *load.slowest.lock();
    assert!(slowest < WAIT + SLACK, "a call took {slowest:?}");
    let confirmed = load.confirmed.lock();
    assert!(confirmed.is_sorted_by(|one, next| one < next), "no position is given twice");
    *load.refused.lock()
}

#[test]
fn a_kill_of_the_server_loses_nothing_in_silence_and_leaves_nobody_deaf() {
    let ground = Ground::new();
    let address = ground.server.address.to_string();
    survives(&ground, &address, |ground| {
        ground.server.sync_log();
        ground.server.kill();
        ground.server.start_again();
    });
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_longer_than_the_wait() {
    let ground = Ground::new();
    let address = ground.server.address.to_string();
    let refused = survives(&ground, &address, |ground| {
        ground.server.pause();
        thread::sleep(WAIT + Duration::from_secs(3));
        ground.server.resume();
    });
    assert!(refused > 0, "the load never felt it");
}

#[test]
fn a_wire_that_is_cut_or_swallows_everything_loses_nothing_in_silence() {
    let ground = Ground::new();
    let wire = Wire::to(ground.server.address);
    survives(&ground, &wire.address.to_string(), |_| {
        wire.cut(Does::Refuse);
        thread::sleep(Duration::from_millis(700));
        wire.set(Does::Pass);
        thread::sleep(Duration::from_secs(2));
        wire.set(Does::Swallow);
        thread::sleep(Duration::from_millis(700));
        wire.cut(Does::Pass);
        thread::sleep(Duration::from_secs(2));
        wire.set(Does::Hold);
        thread::sleep(Duration::from_secs(8));
        wire.cut(Does::Pass);
    });
}

#[test]
fn a_listener_over_a_wire_that_was_cut_hears_what_was_published_meanwhile() {
    let ground = Ground::new();
    let wire = Wire::to(ground.server.address);
    let away = ground.another(&wire.address.to_string(), WAIT);
    let ear = Ear::of(&ground, &away);
    wire.cut(Does::Refuse);
    let positions: Vec<Position> =
        (0..20).map(|_| ground.on(ground.bus.publish("notice".into())).unwrap()).collect();
    assert_eq!(ground.on(away.head()).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(ear.count(), 0);
    wire.set(Does::Pass);
    within(DEAF_MAX, "it hears all of it", || ear.count() == positions.len());
    assert!(ear.gaps.lock().is_empty(), "the server had kept it");
}

#[test]
fn a_stream_that_is_deleted_and_made_anew_puts_everything_in_doubt() {
    let ground = Ground::new();
    let ear = Ear::of(&ground, &ground.bus);
    for _ in 0..10 {
        ground.on(ground.bus.publish("notice".into())).unwrap();
    }
    let before = ground.on(ground.bus.head()).unwrap();
    ground.server.control(&["delete_queue", &ground.stream()]);
    // It is declared anew, and begins with other numbers.
    let mut published = None;
    within(DEAF_MAX, "it is there again", || {
        published = ground.on(ground.bus.publish("notice".into())).ok();
        published.is_some()
    });
    let published = published.unwrap();
    within(DEAF_MAX, "what was published is heard", || ear.knows_of(published));
    let doubts: Vec<_> = ear.gaps.lock().iter().map(|(from, _)| *from).collect();
    assert_eq!(doubts, [Position::START], "the listener was told");
    let mut late = ground.on(ground.bus.listen(Some(before))).unwrap();
    let first = ground.on(late.next()).unwrap();
    assert!(matches!(first, Heard::Gap { from: Position::START, .. }), "{first:?}");
}

#[test]
fn a_stream_that_was_made_just_before_a_kill_is_there_again() {
    let (ground, server) = (Ground::new(), RabbitMq::start());
    let address = server.address.to_string();
    let before = ground.on(ground.another(&address, WAIT).publish("notice".into())).unwrap();
    server.sync_log();
    server.kill();
    server.start_again();
    let bus = ground.another(&address, ground::WAIT);
    let head = ground.on(bus.head()).unwrap();
    let after = ground.on(bus.publish("notice".into())).unwrap();
    assert!(before <= head && head < after, "{before:?}, {head:?}, {after:?}");
}

#[test]
fn a_stream_that_is_away_is_told_as_that_within_the_wait_and_used_once_it_is_back() {
    let ground = Ground::new();
    let bus = ground.another(&ground.server.address.to_string(), WAIT);
    let ear = Ear::of(&ground, &bus);
    let publish = || ground.on(bus.publish("notice".into()));
    let before = publish().unwrap();
    within(DEAF_MAX, "it is heard", || ear.knows_of(before));
    // Nobody makes another process of it while its coordinator stands still.
    let away = format!(
        "ok = sys:suspend(rabbit_stream_coordinator), \
         {{ok, Stream}} = rabbit_amqqueue:lookup({{resource, <<\"/\">>, queue, <<\"{}\">>}}), \
         exit(amqqueue:get_pid(Stream), kill).",
        ground.stream()
    );
    ground.server.control(&["eval", &away]);
    for _ in 0..4 {
        let begun = Instant::now();
        let refused = publish().unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
        assert!(begun.elapsed() < WAIT + SLACK, "a call took {:?}", begun.elapsed());
    }
    ground.server.control(&["eval", "ok = sys:resume(rabbit_stream_coordinator)."]);
    let mut after = None;
    within(DEAF_MAX, "it is taken again", || {
        after = publish().ok();
        after.is_some()
    });
    within(DEAF_MAX, "and heard", || after.is_some_and(|after| ear.knows_of(after)));
}

#[test]
fn a_stream_that_was_declared_otherwise_is_told() {
    let ground = Ground::new();
    ground.on(ground.bus.head()).unwrap();
    ground.bus.close();
    ground.server.control(&["delete_queue", &ground.stream()]);
    let declare = format!(
        "rabbit_amqqueue:declare({{resource, <<\"/\">>, queue, <<\"{}\">>}}, true, false, [], none, <<\"test\">>).",
        ground.stream()
    );
    ground.server.control(&["eval", &declare]);
    let refused = ground.on(ground.another(&ground.server.address.to_string(), WAIT).head()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("inequivalent arg"), "{refused}");
}
