//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_contract::ground::Ground;
use forebay_contract::outage::away::Publisher;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::Restarts;
use forebay_contract::servers::lent::Pool;
use forebay_contract::servers::rabbitmq::RabbitMq;
use forebay_contract::servers::wire::Wire;
use forebay_contract::servers::{until, within};
use forebay_core::delivery::{Outcome, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use forebay_rabbitmq::broker::RabbitBroker;
use forebay_rabbitmq::settings::RabbitSettings;
use forebay_runtime::clock::TokioClock;

/// How long a call waits for the server.
const WAIT: Duration = Duration::from_secs(3);
/// Longer than a server takes to start.
const PATIENCE: Duration = Duration::from_secs(120);
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

#[test]
fn a_publish_during_an_outage_waits_for_its_end_up_to_the_stated_time() {
    let (server, ground) = (SERVERS.lend().unwrap(), Ground::new(CALL_MAX));
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let open = |wait: Duration| {
        let url = format!("{}?wait_ms={}&prefix=away{}.", server.url(), wait.as_millis(), server.turn);
        let opened = RabbitBroker::open(RabbitSettings::parse(&url).unwrap(), clock.clone());
        (opened.broker, ground.spawn(opened.work))
    };
    let publisher = |broker: &RabbitBroker, queue| {
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

/// What the server's tool says of the messages of a queue that are with consumers.
fn unacknowledged(server: &RabbitMq, queue: &str) -> Option<u64> {
    let said = server.control(&["-q", "list_queues", "name", "messages_unacknowledged"]);
    said.lines().find_map(|line| line.strip_prefix(queue)?.trim().parse().ok())
}

#[test]
fn a_server_that_lacks_memory_refuses_publishers_in_time_and_goes_on_with_consumers() {
    const MESSAGES: usize = 20;
    let (server, ground) = (SERVERS.lend().unwrap(), Ground::new(CALL_MAX));
    let prefix = format!("alarm{}.", server.turn);
    let url = format!("{}?wait_ms=1000&heartbeat_s=2&prefix={prefix}", server.url());
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let opened = RabbitBroker::open(RabbitSettings::parse(&url).unwrap(), clock.clone());
    let (broker, works) = (opened.broker, ground.spawn(opened.work));
    let queue = QueueName::new("orders").unwrap();
    ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    let publish = || {
        let message = Message::new(MessageId::given("m").unwrap(), "payload".into());
        ground.run(broker.publish(&queue, vec![message])).map(|_| ())
    };
    let receive = |count_max| {
        let wait_until = clock.now() + Duration::from_secs(2);
        ground.run(broker.receive(&queue, Receive { count_max, hold: None, wait_until })).unwrap()
    };
    (0..MESSAGES).for_each(|_| publish().unwrap());
    let held = receive(1);
    server.control(&["set_vm_memory_high_watermark", "0"]);
    // One that is on its way when the server says so may be taken.
    within(CALL_MAX, "publishes are refused", || publish().is_err());
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = publish().unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
        assert!(begun.elapsed() < BOUNDS.slack, "a call took {:?}", begun.elapsed());
    }
    let mut settled = 0;
    let mut taken = held;
    while !taken.is_empty() {
        for delivery in &taken {
            let settled = ground.run(broker.settle(&queue, delivery.id, Outcome::Done, None));
            assert_eq!(settled.unwrap(), Settled::Done);
        }
        settled += taken.len();
        taken = receive(MESSAGES);
    }
    assert!(settled >= MESSAGES, "{settled} were received");
    let is_told = || unacknowledged(&server, &format!("{prefix}orders\t")) == Some(0);
    within(Duration::from_secs(30), "the server hears of it", is_told);
    server.control(&["set_vm_memory_high_watermark", "0.4"]);
    within(CALL_MAX, "publishes are taken again", || publish().is_ok());
    assert!(!receive(1).is_empty());
    broker.close();
    ground.join(works);
}

#[test]
fn what_was_held_of_an_ordered_queue_comes_first_after_a_kill() {
    const KILLS: usize = 4;
    let (server, ground) = (SERVERS.lend().unwrap(), Ground::new(Duration::from_secs(60)));
    let url = format!("{}?heartbeat_s=2&prefetch=5&prefix=held{}.", server.url(), server.turn);
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let queue = QueueName::new("orders").unwrap();
    let message = |number: usize| {
        let id = MessageId::given(&number.to_string()).unwrap();
        Message { key: Some("key".to_owned()), ..Message::new(id, "payload".into()) }
    };
    for kills in 0..=KILLS {
        // Another process each time, which comes as soon as the server does.
        let opened = RabbitBroker::open(RabbitSettings::parse(&url).unwrap(), clock.clone());
        let (broker, works) = (opened.broker, ground.spawn(opened.work));
        if kills == 0 {
            let settings = QueueSettings { order: Order::Key, ..QueueSettings::new(queue.clone()) };
            ground.run(broker.ensure(&settings)).unwrap();
            ground.run(broker.publish(&queue, (0..30).map(message).collect())).unwrap();
            server.sync_log();
        }
        let first = until(PATIENCE, "something comes", || {
            let wait_until = clock.now() + Duration::from_secs(1);
            let asked = Receive { count_max: 10, hold: None, wait_until };
            ground.run(broker.receive(&queue, asked)).ok()?.pop()
        });
        assert_eq!(first.message.id.as_str(), "0", "after {kills} kills");
        if kills < KILLS {
            server.kill();
            server.start_again();
        } else {
            let (mut order, mut held) = (Vec::new(), Some(first));
            while let Some(delivery) = held {
                order.push(delivery.message.id.as_str().to_owned());
                let settled = ground.run(broker.settle(&queue, delivery.id, Outcome::Done, None));
                assert_eq!(settled.unwrap(), Settled::Done);
                let asked =
                    Receive { count_max: 1, hold: None, wait_until: clock.now() + Duration::from_secs(1) };
                held = ground.run(broker.receive(&queue, asked)).unwrap().pop();
            }
            assert_eq!(order, (0..30).map(|number| number.to_string()).collect::<Vec<_>>());
        }
        broker.close();
        ground.join(works);
    }
}
