//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::lent::Pool;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::wire::Wire;
use forebay_rabbitmq::broker::RabbitBroker;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
const BOUNDS: Bounds =
    Bounds { wait: WAIT, slack: Duration::from_secs(4), consumers: 2, well: 60, pace: Duration::ZERO };
/// No call of a test takes longer, nor does the end of what was run for it.
const CALL_MAX: Duration = Duration::from_secs(10);

static SERVERS: Pool<RabbitMq> = Pool::new(1, || Some(RabbitMq::start()));

/// Loads a server over a wire, does something to either, and looks whether all is well afterwards.
fn survives(fault: &Fault<RabbitMq>) {
    let (server, ground) = (SERVERS.lend().unwrap(), Ground::new(CALL_MAX));
    let wire = Wire::to(server.address);
    let (address, wait, turn) = (wire.address, WAIT.as_millis(), server.turn);
    let url = format!("amqp://{address}/%2f?wait_ms={wait}&heartbeat_s=2&prefix=outage{turn}.");
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let opened = RabbitBroker::open(RabbitSettings::parse(&url).unwrap(), clock.clone());
    let (broker, works) = (opened.broker, ground.spawn(opened.work));
    let mut load = Outage::begin(ground.handle(), Arc::new(broker.clone()), clock, BOUNDS, Outage::queues());
    // Or a kill would show what RabbitMQ forgets.
    server.sync_log();
    load.suffers(fault, "RabbitMQ", &server, &wire);
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
