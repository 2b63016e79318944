//! Forebay's side: its ports and its worker, whatever is behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use forebay_benches::queue_servers::peer::{BODY, Fallible};
use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::entry::Mode;
use forebay_core::health::Health;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::{Clock, Work};
use forebay_core::ports::remote_store::{Changed, Put, RemoteStore};
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_queue::publish::Draft;
use forebay_queue::queues::Queues;
use forebay_queue::worker::{Worker, WorkerOptions};
use forebay_runtime::clock::TokioClock;
use forebay_runtime::tasks::Tasks;
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::sides::{Caller, Doing, Jobs, Queue, Store, TOGETHER, VALUE};

const WAIT: Duration = Duration::from_secs(20);

/// What everything of ours runs on.
#[derive(Clone)]
pub struct Runs {
    pub clock: Arc<TokioClock>,
    pub tasks: Tasks,
}

impl Runs {
    /// On the runtime that this is called in.
    pub fn here() -> Self {
        let tasks = Tasks::new(Handle::current(), Arc::new(Health::default()));
        Self { clock: Arc::new(TokioClock::new()), tasks }
    }

    /// Starts what a constructor returned.
    pub fn start(&self, work: Vec<Work>) {
        self.tasks.spawn_all(work);
    }
}

/// A store through its port.
pub struct OurStore(pub Arc<dyn RemoteStore>);

impl Store for OurStore {
    fn caller(&self) -> Doing<'_, Box<dyn Caller>> {
        Box::pin(async { Ok(Box::new(OurCaller(Arc::clone(&self.0))) as Box<dyn Caller>) })
    }
}

struct OurCaller(Arc<dyn RemoteStore>);

impl Caller for OurCaller {
    fn get<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()> {
        Box::pin(async move {
            let found = self.0.get(&[key.as_bytes()]).await.pop().ok_or("there is no answer")??;
            found.filter(|shared| shared.value.len() == VALUE.len()).map(drop).ok_or("a miss".into())
        })
    }

    fn set<'a>(&'a mut self, key: &'a str) -> Doing<'a, ()> {
        const PUT: Put = Put { flags: 0, life: None, mode: Mode::Set, version: None };
        Box::pin(async move {
            match self.0.put(key.as_bytes(), &VALUE, PUT).await? {
                Changed::Done(_) => Ok(()),
                other => Err(format!("a set is {other:?}").into()),
            }
        })
    }
}

/// A queue through the port `Broker`.
pub struct OurQueue {
    broker: Arc<dyn Broker>,
    clock: Arc<TokioClock>,
    name: QueueName,
    body: Payload,
}

impl OurQueue {
    /// Declares the queue.
    pub async fn declare(
        broker: Arc<dyn Broker>,
        runs: &Runs,
        name: &str,
    ) -> forebay_core::error::Result<Self> {
        let settings = QueueSettings::new(QueueName::new(name)?);
        broker.ensure(&settings).await?;
        Ok(Self { broker, clock: Arc::clone(&runs.clock), name: settings.name, body: BODY.to_vec().into() })
    }

    /// Has the server hand its messages to this process: one that is there is received, and put back.
    pub async fn join(&self) -> Fallible<()> {
        let receive = Receive { count_max: 1, hold: None, wait_until: self.clock.now() + WAIT };
        let joined = self.broker.receive(&self.name, receive).await?;
        let one = joined.first().ok_or("nothing comes")?;
        self.broker.settle(&self.name, one.id, Outcome::Return { seen: false }, None).await?;
        Ok(())
    }

    fn message(&self) -> Message {
        let random = [self.clock.random(), self.clock.random()];
        Message::new(MessageId::generate(self.clock.now(), random), self.body.clone())
    }
}

impl Queue for OurQueue {
    fn publish(&self, count: usize) -> Doing<'_, ()> {
        Box::pin(async move {
            let messages = (0..count).map(|_| self.message()).collect();
            self.broker.publish(&self.name, messages).await?;
            Ok(())
        })
    }

    fn work_off(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut left = count as usize;
            while left > 0 {
                let wait_until = self.clock.now() + WAIT;
                let receive = Receive { count_max: left.min(TOGETHER), hold: None, wait_until };
                let deliveries = self.broker.receive(&self.name, receive).await?;
                if deliveries.is_empty() {
                    return Err(format!("{left} messages do not come").into());
                }
                let settle = |one: &Delivery| self.broker.settle(&self.name, one.id, Outcome::Done, None);
                let settled = try_join_all(deliveries.iter().map(settle)).await?;
                if settled.contains(&Settled::NotHeld) {
                    return Err("a hold ran out".into());
                }
                left -= deliveries.len();
            }
            Ok(())
        })
    }
}

/// Jobs published through the rules and run by the worker.
pub struct OurJobs {
    queues: Queues,
    runs: Runs,
    name: QueueName,
}

impl OurJobs {
    /// Declares the queue.
    pub async fn declare(
        broker: Arc<dyn Broker>,
        runs: &Runs,
        name: &str,
    ) -> forebay_core::error::Result<Self> {
        let queues = Queues::new(broker, Arc::clone(&runs.clock) as Arc<dyn Clock>);
        let settings = QueueSettings::new(QueueName::new(name)?);
        queues.ensure(&settings).await?;
        Ok(Self { queues, runs: runs.clone(), name: settings.name })
    }
}

impl Jobs for OurJobs {
    fn run(&self, count: u64) -> Doing<'_, ()> {
        Box::pin(async move {
            let mut left = count as usize;
            while left > 0 {
                let batch = left.min(TOGETHER);
                let drafts = vec![Draft::new(BODY.to_vec()); batch];
                self.queues.publish(&self.name, drafts).await?;
                left -= batch;
            }
            let countdown = Arc::new(Countdown::new(count));
            let options = WorkerOptions { concurrency: TOGETHER, ..WorkerOptions::default() };
            let counted = Arc::clone(&countdown);
            let handler = move |job: Delivery| {
                let counted = Arc::clone(&counted);
                async move {
                    counted.one(job.message.payload.len());
                    Ok(())
                }
            };
            let spawn = Arc::new(self.runs.tasks.clone());
            let (worker, work) =
                Worker::new(self.queues.clone(), self.name.clone(), options, spawn, handler)?;
            self.runs.start(vec![work]);
            countdown.wait().await?;
            worker.stop().await;
            Ok(())
        })
    }
}

/// How many jobs are still to be run.
pub struct Countdown {
    left: AtomicU64,
    over: Notify,
}

impl Countdown {
    pub fn new(count: u64) -> Self {
        Self { left: AtomicU64::new(count), over: Notify::new() }
    }

    /// One job has been run, whose body had this many octets. True for the last one.
    pub fn one(&self, octets: usize) -> bool {
        let is_last = octets == BODY.len() && self.left.fetch_sub(1, Relaxed) == 1;
        if is_last {
            self.over.notify_one();
        }
        is_last
    }

    async fn wait(&self) -> Fallible<()> {
        let late = |_| format!("{} jobs are not run", self.left.load(Relaxed));
        Ok(tokio::time::timeout(WAIT * 3, self.over.notified()).await.map_err(late)?)
    }
}
