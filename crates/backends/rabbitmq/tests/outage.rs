//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use forebay_contract::outage::{Bounds, Outage, rounds};
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::wire::{Does, Wire};
use forebay_core::ports::clock::{Clock, Run};
use forebay_rabbitmq::broker::RabbitBroker;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;
use tokio::time::timeout;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
const BOUNDS: Bounds =
    Bounds { wait: WAIT, slack: Duration::from_secs(4), consumers: 2, well: 60, pace: Duration::ZERO };
/// How long its works may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// The one server, lent to one test at a time, and how many have had it.
static SERVER: OnceLock<Mutex<(RabbitMq, u32)>> = OnceLock::new();

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &str, hurt: impl Fn(&RabbitMq, &Wire, &Outage)) {
    // A test that failed has left a server that works or one that does not: the next one finds out.
    let mut lent = SERVER
        .get_or_init(|| Mutex::new((RabbitMq::start(), 0)))
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    lent.1 += 1;
    let (server, turn) = (&lent.0, lent.1);
    let wire = Wire::to(server.address);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let url = format!(
        "amqp://{}/%2f?wait_ms={}&heartbeat_s=2&prefix=outage{turn}.",
        wire.address,
        WAIT.as_millis()
    );
    let clock: Arc<dyn Clock> = runtime.block_on(async { Arc::new(TokioClock::new()) });
    let opened = RabbitBroker::open(RabbitSettings::parse(&url).unwrap(), clock.clone());
    let works = opened.work.into_iter().filter_map(|work| match work.run {
        Run::Task(task) => Some(runtime.spawn(task)),
        Run::Thread(_) => None,
    });
    let works: Vec<_> = works.collect();
    let broker = opened.broker;
    let mut load = Outage::begin(runtime.handle(), Arc::new(broker.clone()), clock, BOUNDS, Outage::queues());
    for _ in 0..rounds() {
        hurt(server, &wire, &load);
        load.goes_on("afterwards");
    }
    load.end("RabbitMQ", fault);
    broker.close();
    runtime.block_on(async {
        for work in works {
            timeout(END_MAX, work).await.expect("it ends when it is closed").unwrap();
        }
    });
}

#[test]
fn a_restart_loses_nothing_and_leaves_nobody_deaf() {
    survives("stopped until publishes are refused, started again", |server, _, load| {
        server.stop();
        load.until_refused();
        server.start_again();
    });
}

#[test]
fn a_kill_loses_nothing_and_leaves_nobody_deaf() {
    survives("SIGKILL, started again once publishes are refused", |server, _, load| {
        server.sync_log();
        server.kill();
        load.until_refused();
        server.start_again();
    });
}

#[test]
fn a_server_that_stands_still_holds_nobody_up_for_longer_than_the_wait() {
    survives("SIGSTOP until publishes are refused", |server, _, load| {
        server.pause();
        load.until_refused();
        server.resume();
    });
}

#[test]
fn a_wire_that_is_cut_again_and_again_loses_nothing_and_leaves_nobody_deaf() {
    survives("wire cut three times, once until publishes are refused", |_, wire, load| {
        wire.cut(Does::Pass);
        load.goes_on("after a cut");
        wire.cut(Does::Refuse);
        load.until_refused();
        wire.set(Does::Pass);
        load.goes_on("after a wire that takes nobody");
        wire.cut(Does::Pass);
    });
}

#[test]
fn answers_that_are_lost_cost_no_message_and_leave_nobody_deaf() {
    survives("answers lost until publishes are refused, then cut", |_, wire, load| {
        wire.set(Does::Swallow);
        load.until_refused();
        wire.cut(Does::Pass);
    });
}

#[test]
fn a_wire_that_carries_nothing_for_a_while_holds_nobody_up_for_longer_than_the_wait() {
    survives("wire carries nothing until publishes are refused, then all of it", |_, wire, load| {
        wire.set(Does::Hold);
        load.until_refused();
        wire.set(Does::Pass);
        load.goes_on("after the first hole");
        // Shorter than it takes anybody to notice.
        wire.set(Does::Hold);
        load.lasts(Duration::from_millis(1_500));
        wire.set(Does::Pass);
    });
}
