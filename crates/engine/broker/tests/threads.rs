//! Many threads at once: publishers, workers of two queues that dead-letter to each other, an operator, and the
//! broker's own works.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use forebay_broker::{BrokerOptions, open};
use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_contract::runner::Runner;
use forebay_core::delivery::Delivery;
use forebay_core::error::Kind;
use forebay_core::message::MessageId;
use forebay_core::ports::broker::BrokerAdmin;
use forebay_core::ports::clock::{Run, Spawn, Work};
use forebay_core::queue::{Backoff, QueueName, QueueSettings};
use forebay_log::LogOptions;
use forebay_queue::publish::Draft;
use forebay_queue::queues::Queues;
use forebay_queue::worker::{Failure, Worker, WorkerOptions};
use parking_lot::{Condvar, Mutex};

const PUBLISHERS: u64 = 4;
const MESSAGES: u64 = 400;

/// Runs everything on threads, one each.
#[derive(Default)]
struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Spawn for Threads {
    fn spawn(&self, work: Work) {
        self.0.lock().push(std::thread::spawn(move || match work.run {
            Run::Task(future) => Runner::new().block_on(future),
            Run::Thread(run) => run(),
        }));
    }
}

impl Threads {
    /// Waits for all, while time passes for those who pause.
    fn join(&self, clock: &SimClock) {
        loop {
            let Some(thread) = self.0.lock().pop() else { return };
            while !thread.is_finished() {
                clock.advance(Duration::from_millis(10));
                std::thread::yield_now();
            }
            thread.join().unwrap();
        }
    }
}

/// How often each message was done.
#[derive(Default)]
struct Done {
    counts: Mutex<HashMap<MessageId, u64>>,
    more: Condvar,
}

#[test]
fn what_many_publish_is_done_by_many_once_each() {
    let (threads, clock, done) = (Arc::new(Threads::default()), SimClock::new(3), Arc::new(Done::default()));
    let log = LogOptions { segment_bytes: 16 * 1024, pending_bytes_max: 1 << 20, ..LogOptions::default() };
    let options = BrokerOptions { log, hot_bytes_max: 20_000, ..BrokerOptions::default() };
    let opened = open(Arc::new(Saboteur::new()), options, Arc::new(clock.clone())).unwrap();
    opened.work.into_iter().for_each(|work| threads.spawn(work));
    let broker = opened.broker;
    let queues = Queues::new(broker.clone(), Arc::new(clock.clone()));
    threads.spawn(queues.expirer());
    let name = |name: &str| QueueName::new(name).unwrap();
    for (queue, other) in [("a", "b"), ("b", "a")] {
        let mut settings = QueueSettings::new(name(queue));
        settings.dead_letter = Some(name(other));
        settings.retry.backoff = Backoff { first: Duration::ZERO, longest: Duration::ZERO, jitter: 0.0 };
        Runner::new().block_on(queues.ensure(&settings)).unwrap();
    }
    let workers: Vec<_> = ["a", "b", "a"]
        .into_iter()
        .map(|queue| {
            let (done, draws) = (done.clone(), AtomicU64::new(0));
            let handler = move |delivery: Delivery| {
                // Every third time a failure, every fifth time a rejection, in whatever order they come.
                let draw = draws.fetch_add(1, Relaxed);
                let done = done.clone();
                async move {
                    match draw {
                        draw if draw % 3 == 0 => Err("try again".into()),
                        draw if draw % 5 == 0 => Err(Failure::reject("not here")),
                        _ => {
                            *done.counts.lock().entry(delivery.message.id.clone()).or_default() += 1;
                            done.more.notify_all();
                            Ok(())
                        }
                    }
                }
            };
            let options = WorkerOptions { concurrency: 4, ..WorkerOptions::default() };
            let (worker, work) =
                Worker::new(queues.clone(), name(queue), options, threads.clone(), handler).unwrap();
            threads.spawn(work);
            worker
        })
        .collect();
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let queues = queues.clone();
        std::thread::spawn(move || {
            let queue = QueueName::new("a").unwrap();
            for number in 0..MESSAGES {
                let draft = Draft {
                    id: Some(MessageId::given(&format!("{publisher}-{number}")).unwrap()),
                    ..Draft::new(vec![b'x'; 50 + number as usize])
                };
                // Where the log is not ready for more, that is waited for.
                Runner::new().block_on(queues.publish(&queue, vec![draft])).unwrap();
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let runner = Runner::new();
    for publisher in publishers {
        while !publisher.is_finished() {
            for queue in ["a", "b"] {
                match runner.block_on(broker.redrive(&name(queue), 10)) {
                    Err(error) => assert_eq!(error.kind(), Kind::Full),
                    Ok(redriven) => assert!(redriven <= 10),
                }
            }
            runner.block_on(broker.peek(&name("a"), 3)).unwrap();
            assert_eq!(runner.block_on(broker.queues()).unwrap().len(), 2);
        }
        publisher.join().unwrap();
    }
    let mut counts = done.counts.lock();
    // A worker whom the log has refused pauses, so time must pass; by no more than a hold, lest one runs out.
    let mut quiet = 0;
    while (counts.len() as u64) < PUBLISHERS * MESSAGES {
        if done.more.wait_for(&mut counts, Duration::from_millis(20)).timed_out() {
            quiet += 1;
            assert!(quiet < 1_000, "only {} are done", counts.len());
            clock.advance(Duration::from_millis(20));
        }
    }
    assert!(counts.values().all(|count| *count == 1), "something was done twice");
    drop(counts);
    drop(workers);
    broker.close();
    threads.join(&clock);
    let stats = broker.log().stats();
    assert!(stats.segments < 20, "the space was given back while it ran: {stats:?}");
}
