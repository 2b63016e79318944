//! The server, or the wire to it, goes away under load and comes back: nothing that was confirmed is lost, no consumer stays
//! deaf, and every call ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use forebay_contract::ground::Ground;
use forebay_contract::outage::away::Publisher;
use forebay_contract::outage::faults::Fault;
use forebay_contract::outage::{Bounds, Outage};
use forebay_contract::servers::kafka::Kafka;
use forebay_contract::servers::wire::Does;
use forebay_contract::servers::{Restarts, within};
use forebay_core::delivery::{Outcome, Settled};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_kafka::broker::KafkaBroker;
use forebay_kafka::settings::KafkaSettings;
use forebay_runtime::clock::TokioClock;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

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

#[test]
fn of_a_commit_whose_answer_was_lost_nobody_is_told_that_it_was_not() {
    let Some(server) = Kafka::start() else { return };
    let ground = Ground::new(PATIENCE);
    let clock = ground.run(async { Arc::new(TokioClock::new()) });
    let url = format!("kafka://{}?wait_ms=30000&session_ms=2000&partitions=1", server.wire.address);
    let opened = KafkaBroker::open(KafkaSettings::parse(&url).unwrap(), clock.clone());
    let (broker, works) = (opened.broker, ground.spawn(opened.work));
    let queue = QueueName::new("orders").unwrap();
    ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    let message = Message::new(MessageId::given("order").unwrap(), "payload".into());
    ground.run(broker.publish(&queue, vec![message])).unwrap();
    let receive = |wait| Receive { count_max: 1, hold: None, wait_until: clock.now() + wait };
    let held = ground.run(broker.receive(&queue, receive(PATIENCE))).unwrap().remove(0);

    let other = ClientConfig::new()
        .set("bootstrap.servers", server.url().trim_start_matches("kafka://"))
        .set("group.id", "orders")
        .create::<BaseConsumer>()
        .unwrap();
    server.wire.set(Does::Swallow);
    let settled = ground.handle().spawn({
        let (broker, queue) = (broker.clone(), queue.clone());
        async move { broker.settle(&queue, held.id, Outcome::Done, None).await }
    });
    within(PATIENCE, "the server has taken the commit", || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition("orders", 0);
        let committed = other.committed_offsets(asked, CALL_MAX).unwrap();
        committed.elements()[0].offset() == Offset::Offset(1)
    });
    // Until the group goes on without the one who has sent it, and refuses what the client sends again.
    server.wire.cut(Does::Refuse);
    within(PATIENCE, "the server has given up the member", || {
        let groups = other.fetch_group_list(Some("orders"), CALL_MAX).unwrap();
        groups.groups().iter().all(|group| group.members().is_empty())
    });
    server.wire.set(Does::Pass);

    let settled = ground.run(settled).unwrap();
    assert!(!matches!(settled, Ok(Settled::NotHeld)), "it holds: {settled:?}");
    let again = ground.run(broker.receive(&queue, receive(WAIT))).unwrap();
    assert!(again.is_empty(), "it was settled: {again:?}");
    broker.close();
    ground.join(works);
}
