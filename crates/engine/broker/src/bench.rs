//! A broker on a bench, for the tests: on the saboteur's disk, with a clock that stands still, stepped by hand.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use forebay_contract::clock::SimClock;
use forebay_contract::files::Saboteur;
use forebay_core::delivery::{Delivery, Outcome};
use forebay_core::error::{self, Kind};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use forebay_log::LogOptions;

use crate::broker::{BrokerOptions, EmbeddedBroker, open};
use crate::engine::Engine;
use crate::publish::TakenIn;
use crate::storage::recover::Recovered;
use crate::storage::space::Step;

pub(crate) const SEGMENT: u32 = 4096;

pub(crate) struct Bench {
    pub(crate) files: Saboteur,
    pub(crate) clock: SimClock,
    pub(crate) options: BrokerOptions,
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) recovered: Recovered,
}

impl Bench {
    pub(crate) fn new(segments_max: u64) -> Self {
        let log = LogOptions {
            segment_bytes: SEGMENT,
            pending_bytes_max: 1 << 20,
            disk_bytes_max: segments_max * u64::from(SEGMENT),
            ..LogOptions::default()
        };
        Self::open(
            Saboteur::new(),
            SimClock::new(5),
            BrokerOptions { log, hot_bytes_max: 10_000, ..BrokerOptions::default() },
        )
    }

    pub(crate) fn open(files: Saboteur, clock: SimClock, options: BrokerOptions) -> Self {
        let opened = open(Arc::new(files.clone()), options.clone(), Arc::new(clock.clone())).unwrap();
        Self { files, clock, options, broker: opened.broker, recovered: opened.recovered }
    }

    pub(crate) fn crash(self) -> Self {
        Self::open(self.files.crash(9), self.clock, self.options)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.broker.engine
    }

    /// Lets the log write all it has.
    pub(crate) fn write(&self) {
        while self.engine().journal.log.step() {}
    }

    /// Does all that can be done for the space.
    pub(crate) fn free(&self) {
        for _ in 0..10_000 {
            self.write();
            match self.engine().free_step() {
                Ok(Step::Idle) => return,
                Ok(Step::Worked | Step::Wait(_)) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Full),
            }
        }
        panic!("there is always something to do, and never an end of it");
    }

    pub(crate) fn queue(&self, name: &str) -> QueueName {
        let settings = QueueSettings::new(QueueName::new(name).unwrap());
        self.engine().topology.declare(&self.engine().journal, &settings, usize::MAX).unwrap();
        settings.name
    }

    pub(crate) fn try_publish(&self, queue: &QueueName, bytes: usize) -> Result<(), Kind> {
        let message = Message::new(MessageId::given("m").unwrap(), vec![b'x'; bytes].into());
        self.publish_all(queue, vec![message])
    }

    pub(crate) fn publish_all(&self, queue: &QueueName, messages: Vec<Message>) -> Result<(), Kind> {
        let published = self.until_ready(self.engine().publish(queue, messages));
        published.map(drop).map_err(|error| error.kind())
    }

    /// Lets the log work for as long as the future waits for it.
    pub(crate) fn until_ready<T>(&self, future: impl Future<Output = T>) -> T {
        until_ready(self.engine(), future)
    }

    pub(crate) fn publish(&self, queue: &QueueName, bytes: usize) {
        self.try_publish(queue, bytes).unwrap();
        self.write();
    }

    pub(crate) fn receive(&self, queue: &QueueName) -> Option<Delivery> {
        self.try_receive(queue).unwrap()
    }

    pub(crate) fn try_receive(&self, queue: &QueueName) -> Result<Option<Delivery>, Kind> {
        let receive = Receive { count_max: 1, hold: None, wait_until: self.clock.now() };
        let found = self.engine().topology.find(queue).unwrap();
        let taken = self.until_ready(self.engine().take(&found, &receive));
        taken.map(|mut taken| taken.pop()).map_err(|error| error.kind())
    }

    pub(crate) fn settle(&self, delivery: &Delivery, outcome: Outcome) {
        assert!(self.engine().settle(&delivery.queue, delivery.id, outcome, None).unwrap().is_some());
    }

    pub(crate) fn segments(&self) -> u64 {
        self.engine().journal.log.stats().segments
    }

    pub(crate) fn depth(&self, queue: &QueueName) -> u64 {
        self.engine().topology.find(queue).unwrap().lock().unwrap().len()
    }
}

/// Polls the future, and lets the log and the desk work for as long as it waits.
pub(crate) fn until_ready<T>(engine: &Engine, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    // What waits neither for the log nor for its turn waits for ever.
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        engine.journal.write_step();
        engine.journal.read_step();
        engine.journal.log.step();
    }
    panic!("nothing happens, and somebody waits")
}

impl Engine {
    /// Publishes messages that nobody wants back.
    pub(crate) async fn publish(&self, queue: &QueueName, messages: Vec<Message>) -> error::Result<TakenIn> {
        let mut messages = messages.into_iter().map(Arc::new).collect();
        self.publish_from(queue, &mut messages).await
    }
}
