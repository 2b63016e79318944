//! A broker on a directory, driven as a program would: batches, each waited for.

use std::error::Error;
use std::fs::read_to_string;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant as Stopwatch};

use forebay_broker::{BrokerOptions, EmbeddedBroker, Recovered, open};
use forebay_core::delivery::Outcome;
use forebay_core::health::Health;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_log::{Disk, LogOptions};
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use tokio::runtime::Runtime;

/// Messages of one call.
pub const BATCH: u64 = 1_000;
/// Batches that are on their way to the disk at one time.
const IN_FLIGHT: usize = 4;
const CLOSE_WAIT: Duration = Duration::from_secs(60);

/// Whatever goes wrong ends the measurement.
pub type Fallible<T> = Result<T, Box<dyn Error>>;

/// An open broker with one queue.
pub struct Bench {
    pub broker: Arc<EmbeddedBroker>,
    pub recovered: Recovered,
    /// What opening took.
    pub opening: Duration,
    runtime: Runtime,
    tasks: Tasks,
    clock: Arc<TokioClock>,
    queue: QueueName,
    payload_bytes: usize,
    next_id: u64,
}

impl Bench {
    /// Opens the broker in `directory` with so much disk, for messages of that size.
    pub fn open(directory: &Path, disk_bytes_max: u64, payload_bytes: usize) -> Fallible<Self> {
        let runtime = Runtime::new()?;
        let entered = runtime.enter();
        let tasks = Tasks::new(runtime.handle().clone(), Arc::new(Health::default()));
        let clock = Arc::new(TokioClock::new());
        let log = LogOptions { disk_bytes_max, ..LogOptions::default() };
        let options = BrokerOptions { log, ..BrokerOptions::default() };
        let watch = Stopwatch::now();
        let opened = open(Arc::new(Disk::open(directory)?), options, clock.clone())?;
        let opening = watch.elapsed();
        tasks.spawn_all(opened.work);
        drop(entered);
        let settings = QueueSettings::new(QueueName::new("measured")?);
        runtime.block_on(opened.broker.ensure(&settings))?;
        let (broker, recovered, queue) = (opened.broker, opened.recovered, settings.name);
        Ok(Self { broker, recovered, opening, runtime, tasks, clock, queue, payload_bytes, next_id: 0 })
    }

    /// Publishes so many messages and waits until all are durable.
    pub fn publish(&mut self, count: u64) -> Fallible<Duration> {
        let watch = Stopwatch::now();
        let mut batches: Vec<Vec<Message>> = Vec::new();
        let mut left = count;
        while left > 0 {
            for _ in 0..IN_FLIGHT.min(left.div_ceil(BATCH) as usize) {
                let size = left.min(BATCH);
                batches.push((0..size).map(|_| self.message()).collect::<Result<_, _>>()?);
                left -= size;
            }
            let calls = batches.drain(..).map(|batch| self.broker.publish(&self.queue, batch));
            self.runtime.block_on(all(calls.collect()))?;
        }
        Ok(watch.elapsed())
    }

    fn message(&mut self) -> Fallible<Message> {
        self.next_id += 1;
        let id = MessageId::given(&format!("{:032}", self.next_id))?;
        Ok(Message::new(id, vec![b'x'; self.payload_bytes].into()))
    }

    /// Receives so many messages and settles them, and waits until that is durable. As many consumers as there are
    /// batches on their way when publishing, so that one receives while another waits for its settling.
    pub fn consume(&mut self, count: u64) -> Fallible<Duration> {
        let watch = Stopwatch::now();
        let left = Arc::new(AtomicU64::new(count));
        let consumers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (broker, queue, clock) = (self.broker.clone(), self.queue.clone(), self.clock.clone());
                self.runtime.spawn(consumer(broker, queue, clock, left.clone()))
            })
            .collect();
        for consumer in consumers {
            self.runtime.block_on(consumer)?.map_err(|refused| refused as Box<dyn Error>)?;
        }
        Ok(watch.elapsed())
    }

    /// Closes it in good order.
    pub fn close(self) -> Fallible<()> {
        self.broker.close();
        drop(self.broker);
        let drained = self.runtime.block_on(self.tasks.drain(CLOSE_WAIT));
        if drained.unfinished.is_empty() { Ok(()) } else { Err("the log does not close".into()) }
    }
}

/// Takes batches of what is left to take, and settles each.
async fn consumer(
    broker: Arc<EmbeddedBroker>,
    queue: QueueName,
    clock: Arc<TokioClock>,
    left: Arc<AtomicU64>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    loop {
        let mine = left.fetch_update(Relaxed, Relaxed, |left| (left > 0).then(|| left.saturating_sub(BATCH)));
        let Ok(before) = mine else { return Ok(()) };
        let mut wanted = before.min(BATCH);
        while wanted > 0 {
            let wait_until = clock.now() + Duration::from_secs(5);
            let receive = Receive { count_max: wanted as usize, hold: None, wait_until };
            let deliveries = broker.receive(&queue, receive).await?;
            if deliveries.is_empty() {
                return Err("the queue is empty before its time".into());
            }
            let settles = deliveries.iter().map(|one| broker.settle(&queue, one.id, Outcome::Done, None));
            all(settles.collect()).await?;
            wanted -= deliveries.len() as u64;
        }
    }
}

/// Begins all calls before it waits for one, so that they share a sync.
async fn all<T, E: Error + 'static>(
    mut calls: Vec<impl Future<Output = Result<T, E>> + Unpin>,
) -> Result<(), E> {
    poll_fn(|context| {
        let mut failed = None;
        calls.retain_mut(|call| match std::pin::Pin::new(call).poll(context) {
            Poll::Ready(Ok(_)) => false,
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
            Poll::Pending => true,
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if calls.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

/// What this process has in memory.
pub fn resident_bytes() -> u64 {
    let statm = read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
