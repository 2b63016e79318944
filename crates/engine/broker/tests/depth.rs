//! A queue deeper than memory: what a message costs that waits, and that all come out in order. In a process of its own,
//! because it is the process whose memory is looked at.

use std::fs::read_to_string;
use std::sync::Arc;

use forebay_broker::{BrokerOptions, OpenedBroker, open};
use forebay_contract::clock::SimClock;
use forebay_contract::runner::Runner;
use forebay_core::delivery::Outcome;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::{Clock, Spawn};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_log::{Disk, LogOptions};

const MESSAGES: u64 = 600_000;
const BATCH: u64 = 1_000;
/// How many are read back.
const DRAINED: u64 = 50_000;
const BYTES_PER_MESSAGE: u64 = 64;
/// What the log's buffers and the allocator have beside it.
const SLACK_BYTES: u64 = 24 << 20;

/// What this process has in memory, where the system says so.
fn resident_bytes() -> Option<u64> {
    let statm = read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

#[test]
fn a_waiting_message_takes_at_most_64_bytes_of_memory_whatever_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogOptions { segment_bytes: 4 << 20, pending_bytes_max: 4 << 20, ..LogOptions::default() };
    let options = BrokerOptions { log, hot_bytes_max: 0, ..BrokerOptions::default() };
    let (clock, runner) = (SimClock::new(1), Runner::new());
    let queue = QueueName::new("deep").unwrap();
    let start = || {
        let disk = Disk::open(directory.path()).unwrap();
        let OpenedBroker { broker, work, recovered } =
            open(Arc::new(disk), options.clone(), Arc::new(clock.clone())).unwrap();
        work.into_iter().for_each(|work| runner.spawn(work));
        (broker, recovered)
    };
    let (broker, _) = start();
    runner.block_on(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    let publish = |from: u64, to: u64| {
        for first in (from..to).step_by(BATCH as usize) {
            let message = |number: u64| {
                Message::new(MessageId::given(&number.to_string()).unwrap(), vec![b'x'; 100].into())
            };
            let batch = (first..first + BATCH).map(message).collect();
            runner.block_on(broker.publish(&queue, batch)).unwrap();
        }
    };
    publish(0, BATCH);
    let before = resident_bytes();
    publish(BATCH, MESSAGES);
    let within = |before: Option<u64>, what: &str| {
        let Some((before, now)) = before.zip(resident_bytes()) else { return };
        let grown = now.saturating_sub(before);
        let allowed = MESSAGES * BYTES_PER_MESSAGE + SLACK_BYTES;
        assert!(grown <= allowed, "{what}: {grown} bytes for {MESSAGES} messages, {allowed} allowed");
    };
    within(before, "published");
    broker.close();
    drop(broker);
    runner.join();

    let (broker, recovered) = start();
    assert_eq!(recovered.ready, MESSAGES);
    within(before, "recovered");
    let mut next = 0;
    while next < DRAINED {
        let receive = Receive { count_max: BATCH as usize, hold: None, wait_until: clock.now() };
        for delivery in runner.block_on(broker.receive(&queue, receive)).unwrap() {
            assert_eq!(delivery.message.id.as_str(), next.to_string());
            if next % 100 == 0 {
                runner.block_on(broker.settle(&queue, delivery.id, Outcome::Done, None)).unwrap();
            }
            next += 1;
        }
    }
    broker.close();
    drop(broker);
    runner.join();
}
