//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground;
use forebay_contract::outage::away::Publisher;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::Restarts;
use forebay_contract::servers::kafka::Kafka;
use forebay_kafka::broker::KafkaBroker;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// What waits for a copy and then for a commit may wait twice, besides what a busy machine needs.
const SLACK: Duration = WAIT.saturating_add(Duration::from_secs(4));
/// Longer than a server takes to start.
const PATIENCE: Duration = Duration::from_secs(120);
const BOUNDS: Bounds = Bounds { wait: WAIT, slack: SLACK, consumers: 1, well: 60, pace: Duration::ZERO };
/// No call of a test takes longer, nor does the end of what was run for it.
const CALL_MAX: Duration = Duration::from_secs(20);

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &Fault<Kafka>) {
    let Some(server) = Kafka::start() else { return };
    let ground = Ground::new(CALL_MAX);
    let url = format!("kafka://{}?wait_ms={}&session_ms=2000", server.wire.address, WAIT.as_millis());
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let opened = KafkaBroker::open(KafkaSettings::parse(&url).unwrap(), clock.clone());
    let (broker, works) = (opened.broker, ground.spawn(opened.work));
    let mut load = Outage::begin(ground.handle(), Arc::new(broker.clone()), clock, BOUNDS, Outage::queues());
    load.suffers(fault, "Kafka", &server, &server.wire);
    broker.close();
    ground.join(works);
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}

#[test]
fn a_publish_during_an_outage_waits_for_its_end_up_to_the_stated_time() {
    let Some(server) = Kafka::start() else { return };
    let ground = Ground::new(CALL_MAX);
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let open = |wait: Duration| {
        let url = format!("{}?wait_ms={}&session_ms=2000", server.url(), wait.as_millis());
        let opened = KafkaBroker::open(KafkaSettings::parse(&url).unwrap(), clock.clone());
        (opened.broker, ground.spawn(opened.work))
    };
    let publisher = |broker: &KafkaBroker, queue| {
        Publisher::begin(ground.handle(), Arc::new(broker.clone()), clock.clone(), queue)
    };
    let [(patient, patients), (impatient, impatients)] = [open(PATIENCE), open(WAIT)];
    let (waits, is_refused) = (publisher(&patient, "waits"), publisher(&impatient, "refused"));
    server.stop();
    is_refused.is_refused_within(WAIT + BOUNDS.slack);
    waits.waits_until(|| server.start_again());
    is_refused.publishes("afterwards");
    patient.close();
    impatient.close();
    ground.join(patients);
    ground.join(impatients);
}
