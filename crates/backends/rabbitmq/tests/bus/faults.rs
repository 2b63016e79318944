//! What goes wrong with the server or the wire to it: nothing is lost in silence, and calls end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::outage::bus::Buses;
use forebay_contract::outage::ear::Ear;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::wire::{Does, Wire};
use forebay_contract::servers::{Restarts, until, within};
use forebay_core::error::Kind;
use forebay_core::ports::bus::{Bus, Heard, Position};
use forebay_rabbitmq::bus::RabbitBus;

use crate::ground::Ground;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What a call may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
const BOUNDS: Bounds =
    Bounds { wait: WAIT, slack: SLACK, consumers: 1, well: 20, pace: Duration::from_millis(1) };
/// After so long nobody may be deaf any more.
const DEAF_MAX: Duration = Duration::from_secs(60);

/// Loads two buses over a wire, does something to it or to the server, and looks whether all is well afterwards.
fn survives(fault: &Fault<RabbitMq>) {
    let ground = Ground::new();
    let wire = Wire::to(ground.server.address);
    let bus = || Arc::new(ground.another(&over(&wire), WAIT)) as Arc<dyn Bus>;
    let buses = Buses { all: vec![bus(), bus()], keep_all: true, deaf_max: DEAF_MAX };
    let mut load = Outage::begin_on_buses(ground.process.handle(), &buses, BOUNDS);
    // Or a kill would show what RabbitMQ forgets.
    ground.server.sync_log();
    load.suffers(fault, "RabbitMQ's bus", &ground.server, &wire);
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

/// How the server is reached over the wire.
fn over(wire: &Wire) -> String {
    format!("amqp://{}/%2f", wire.address)
}

fn listen(ground: &Ground, bus: &RabbitBus) -> Ear {
    Ear::of(ground.process.handle(), Arc::new(bus.clone()), DEAF_MAX)
}

#[test]
fn a_listener_over_a_wire_that_was_cut_hears_what_was_published_meanwhile() {
    let ground = Ground::new();
    let wire = Wire::to(ground.server.address);
    let away = ground.another(&over(&wire), WAIT);
    let ear = listen(&ground, &away);
    wire.cut(Does::Refuse);
    let positions: Vec<Position> =
        (0..20).map(|_| ground.on(ground.bus.publish("notice".into())).unwrap()).collect();
    assert_eq!(ground.on(away.head()).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(ear.count(), 0);
    wire.set(Does::Pass);
    within(DEAF_MAX, "it hears all of it", || ear.count() == positions.len());
    assert!(ear.gaps().is_empty(), "the server had kept it");
}

#[test]
fn a_stream_that_is_deleted_and_made_anew_puts_everything_in_doubt() {
    let ground = Ground::new();
    let ear = listen(&ground, &ground.bus);
    for _ in 0..10 {
        ground.on(ground.bus.publish("notice".into())).unwrap();
    }
    let before = ground.on(ground.bus.head()).unwrap();
    ground.server.control(&["delete_queue", &ground.stream()]);
    // It is declared anew, and begins with other numbers.
    let published =
        until(DEAF_MAX, "it is there again", || ground.on(ground.bus.publish("notice".into())).ok());
    within(DEAF_MAX, "what was published is heard", || ear.knows_of(published));
    let doubts: Vec<_> = ear.gaps().iter().map(|(from, _)| *from).collect();
    assert_eq!(doubts, [Position::START], "the listener was told");
    let mut late = ground.on(ground.bus.listen(Some(before))).unwrap();
    let first = ground.on(late.next()).unwrap();
    assert!(matches!(first, Heard::Gap { from: Position::START, .. }), "{first:?}");
}

#[test]
fn a_stream_that_was_made_just_before_a_kill_is_there_again() {
    let mut ground = Ground::new();
    let before = ground.on(ground.bus.publish("notice".into())).unwrap();
    ground.bus.close();
    ground.server.sync_log();
    ground.server.kill();
    ground.server.start_again();
    ground.reopen();
    let head = ground.on(ground.bus.head()).unwrap();
    let after = ground.on(ground.bus.publish("notice".into())).unwrap();
    assert!(before <= head && head < after, "{before:?}, {head:?}, {after:?}");
}

#[test]
fn a_stream_that_is_away_is_told_as_that_within_the_wait_and_used_once_it_is_back() {
    let ground = Ground::new();
    let bus = ground.another(&ground.server.url(), WAIT);
    let ear = listen(&ground, &bus);
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
    let after = until(DEAF_MAX, "it is taken again", || publish().ok());
    within(DEAF_MAX, "and heard", || ear.knows_of(after));
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
    let refused = ground.on(ground.another(&ground.server.url(), WAIT).head()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("inequivalent arg"), "{refused}");
}
