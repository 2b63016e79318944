//! First figures of the broker on a real directory: publishing, consuming, recovery.
//!
//! `cargo run --release --package forebay-broker --example figures [DIRECTORY]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant as Stopwatch, SystemTime};

use forebay_broker::{BrokerOptions, OpenedBroker, open};
use forebay_contract::runner::Runner;
use forebay_core::delivery::{Outcome, Settled};
use forebay_core::error::Result;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::BoxFuture;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::{Clock, Run, Spawn, Work};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_core::time::Instant;
use forebay_log::{Disk, LogOptions};

const MESSAGES: u64 = 1_000_000;
const BATCH: u64 = 1_000;

/// Wall-clock time; nobody sleeps here.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Instant {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Instant::from_ms(since.as_millis() as u64)
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn random(&self) -> u64 {
        let mixed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

struct Threads;

impl Spawn for Threads {
    fn spawn(&self, work: Work) {
        if let Run::Thread(run) = work.run {
            std::thread::spawn(run);
        }
    }
}

fn start(directory: &std::path::Path) -> OpenedBroker {
    let disk = loop {
        // The lock of the broker before goes with its last thread.
        match Disk::open(directory) {
            Ok(disk) => break disk,
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let options = BrokerOptions { log: LogOptions::default(), ..BrokerOptions::default() };
    let mut opened = open(Arc::new(disk), options, Arc::new(WallClock)).unwrap();
    opened.work.drain(..).for_each(|work| Threads.spawn(work));
    opened
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn timed<T>(what: &str, count: u64, act: impl FnOnce() -> T) -> T {
    let watch = Stopwatch::now();
    let done = act();
    let seconds = watch.elapsed().as_secs_f64();
    let mebibytes = resident_bytes() / 1024 / 1024;
    println!("{what}: {seconds:.3} s, {:.0} per second, {mebibytes} MiB resident", count as f64 / seconds);
    done
}

/// Begins all before it waits for one, so that they share a sync.
async fn all(mut settles: Vec<BoxFuture<'_, Result<Settled>>>) {
    poll_fn(|context| {
        settles.retain_mut(|settle| match settle.as_mut().poll(context) {
            Poll::Ready(settled) => settled.unwrap() != Settled::Done,
            Poll::Pending => true,
        });
        if settles.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn main() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = std::env::args().nth(1).map_or(scratch.path().to_owned(), Into::into);
    let (queue, runner) = (QueueName::new("figures").unwrap(), Runner::new());
    let opened = start(&directory);
    let settings = QueueSettings::new(queue.clone());
    runner.block_on(opened.broker.ensure(&settings)).unwrap();
    timed("publish 100 B, durable, batches of 1000", MESSAGES, || {
        for batch in 0..MESSAGES / BATCH {
            let messages = || {
                let id = |number| MessageId::given(&format!("{batch:018}{number:018}")).unwrap();
                (0..BATCH).map(|number| Message::new(id(number), vec![b'x'; 100].into())).collect()
            };
            while runner.block_on(opened.broker.publish(&queue, messages())).is_err() {}
        }
    });
    opened.broker.close();
    drop(opened);
    let opened = timed("recover 1,000,000 ready", MESSAGES, || start(&directory));
    assert_eq!(opened.recovered.ready, MESSAGES);
    timed("consume and acknowledge from the log", MESSAGES, || {
        let mut left = MESSAGES;
        while left > 0 {
            let receive = Receive { count_max: BATCH as usize, hold: None, wait_until: WallClock.now() };
            let deliveries = runner.block_on(opened.broker.receive(&queue, receive)).unwrap();
            let settles = deliveries
                .iter()
                .map(|delivery| opened.broker.settle(&queue, delivery.id, Outcome::Done, None));
            runner.block_on(all(settles.collect()));
            left -= deliveries.len() as u64;
        }
    });
    println!("{:?}", opened.broker.log().stats());
}
