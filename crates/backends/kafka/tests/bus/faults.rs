//! What goes wrong with the server or the wire to it: nothing is lost in silence, and calls end.

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::outage::bus::Buses;
use forebay_contract::outage::ear::Ear;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::wire::Does;
use forebay_contract::servers::{until, within};
use forebay_core::error::Kind;
use forebay_core::ports::bus::{Bus, Heard, Position};
use forebay_kafka::bus::KafkaBus;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use crate::ground::{self, Ground};

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What a call may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
const BOUNDS: Bounds =
    Bounds { wait: WAIT, slack: SLACK, consumers: 1, well: 20, pace: Duration::from_millis(1) };
/// After so long nobody may be deaf any more. A reader that was sent nothing asks after ten seconds, and joins anew within
/// two answers of ten seconds each and a pause of two; a busy machine may need that twice.
const DEAF_MAX: Duration = Duration::from_secs(120);

/// Loads two buses over a wire, does something to it or to the server, and looks whether all is well afterwards.
fn survives(fault: &Fault<Kafka>) {
    let Some(ground) = Ground::new() else { return };
    let bus = || Arc::new(ground.another(&ground.over_wire(), WAIT)) as Arc<dyn Bus>;
    let buses = Buses { all: vec![bus(), bus()], keep_all: true, deaf_max: DEAF_MAX };
    let mut load = Outage::begin_on_buses(ground.process.handle(), &buses, BOUNDS);
    load.suffers(fault, "Kafka's bus", &ground.server, &ground.server.wire);
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

fn listen(ground: &Ground, bus: &KafkaBus) -> Ear {
    Ear::of(ground.process.handle(), Arc::new(bus.clone()), DEAF_MAX)
}

#[test]
fn a_listener_over_a_wire_that_was_cut_hears_what_was_published_meanwhile() {
    let Some(ground) = Ground::new() else { return };
    let away = ground.another(&ground.over_wire(), WAIT);
    let ear = listen(&ground, &away);
    let first = ground.on(ground.bus.publish("notice".into())).unwrap();
    within(DEAF_MAX, "it hears", || ear.knows_of(first));
    ground.server.wire.cut(Does::Refuse);
    let positions: Vec<_> =
        (0..20).map(|_| ground.on(ground.bus.publish("notice".into())).unwrap()).collect();
    assert_eq!(ground.on(away.head()).unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(ear.count(), 1);
    ground.server.wire.set(Does::Pass);
    within(DEAF_MAX, "it hears all of it", || ear.count() == 1 + positions.len());
    assert!(ear.gaps().is_empty(), "the server had kept it");
}

#[test]
fn what_was_published_while_a_process_was_away_is_heard_without_a_gap() {
    let Some(mut ground) = Ground::new() else { return };
    let known = ground.on(ground.bus.publish("known".into())).unwrap();
    ground.bus.close();
    let other = ground.another(&ground.server.url(), ground::WAIT);
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
    let bus = ground.another(&ground.server.url(), WAIT);
    let publish = || ground.on(bus.publish("notice".into())).ok();
    let ear = listen(&ground, &bus);
    let before =
        until(DEAF_MAX, "it is published", || publish().filter(|position| *position >= Position(10)));
    let servers = ground.server.url().replace("kafka://", "");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let deleted = ground.on(admin.delete_topics(&[&ground.topic()], &AdminOptions::new())).unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    // It is made anew, and gives positions that it gave before. Until then some are of the topic that is to go.
    until(DEAF_MAX, "it is there again", || publish().filter(|position| *position < before));
    within(DEAF_MAX, "the listener is told", || !ear.gaps().is_empty());
    let heard = ear.count();
    within(DEAF_MAX, "and hears what comes after it", || {
        publish().is_some_and(|position| position > before && ear.count() > heard && ear.knows_of(position))
    });
    assert!(ear.gaps().iter().all(|(from, _)| *from == Position::START), "{:?}", ear.gaps());
    let mut late = until(DEAF_MAX, "it listens", || ground.on(bus.listen(Some(before))).ok());
    let first = ground.on(late.next()).unwrap();
    assert!(matches!(first, Heard::Gap { from: Position::START, .. }), "{first:?}");
}
