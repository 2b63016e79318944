//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::kafka::Kafka;
use forebay_core::ports::clock::{Clock, Run};
use forebay_kafka::broker::KafkaBroker;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;
use tokio::time::timeout;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
const BOUNDS: Bounds =
    Bounds { wait: WAIT, slack: Duration::from_secs(4), consumers: 1, well: 60, pace: Duration::ZERO };
/// How long its works may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &Fault<Kafka>) {
    let Some(server) = Kafka::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let url = format!("kafka://{}?wait_ms={}&session_ms=2000", server.wire.address, WAIT.as_millis());
    let clock: Arc<dyn Clock> = runtime.block_on(async { Arc::new(TokioClock::new()) });
    let opened = KafkaBroker::open(KafkaSettings::parse(&url).unwrap(), clock.clone());
    let works = opened.work.into_iter().filter_map(|work| match work.run {
        Run::Task(task) => Some(runtime.spawn(task)),
        Run::Thread(_) => None,
    });
    let works: Vec<_> = works.collect();
    let broker = opened.broker;
    let mut load = Outage::begin(runtime.handle(), Arc::new(broker.clone()), clock, BOUNDS, Outage::queues());
    load.suffers(fault, "Kafka", &server, &server.wire);
    broker.close();
    runtime.block_on(async {
        for work in works {
            timeout(END_MAX, work).await.expect("it ends when it is closed").unwrap();
        }
    });
}

forebay_contract::outage! { survives:
    a_restart_loses_nothing_and_leaves_nobody_deaf
    a_kill_loses_nothing_and_leaves_nobody_deaf
    a_server_that_stands_still_loses_nothing_and_leaves_nobody_deaf
    a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf
    answers_that_are_lost_cost_no_message_and_leave_nobody_deaf
    a_wire_that_carries_nothing_loses_nothing_and_leaves_nobody_deaf
}
