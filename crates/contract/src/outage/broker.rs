//! A load on a broker: each queue's publisher and consumers, and what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::load::{Calls, Load, Seen, only_unavailable};
use super::{Bounds, DEAF_MAX, Outage};

/// Messages of one publish.
const BATCH: u64 = 10;
/// Keys that they have in turn.
const KEYS: u64 = 7;
/// Messages that one receive asks for.
const RECEIVED_MAX: usize = 20;
/// How long a receive waits for a message.
const RECEIVE_WAIT: Duration = Duration::from_millis(500);
/// The pause after a refusal: not all brokers wait for a server that is away.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// Messages that are published and not yet worked on: some servers acknowledge more slowly than they take.
const LEAD_MAX: usize = 400;

impl Outage {
    /// Begins to publish to these queues and to consume from them, and waits until both go on.
    pub fn begin(
        handle: &Handle,
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        queues: Vec<QueueSettings>,
    ) -> Self {
        let mut outage = Self::new(handle, bounds, DEAF_MAX);
        for settings in queues {
            handle.block_on(declare(&*broker, &settings));
            let queue = Arc::new(Queue::new(broker.clone(), clock.clone(), bounds, &settings));
            let consumers =
                (0..bounds.consumers).map(|consumer| handle.spawn(queue.clone().consume(consumer)));
            outage.load(queue.clone(), handle.spawn(queue.clone().publish()), consumers.collect());
        }
        outage.beside(handle.spawn(expire(broker, clock)));
        outage.begun()
    }

    /// A queue that keeps the order of arrival, and one that keeps that of keys.
    pub fn queues() -> Vec<QueueSettings> {
        let queue = |name: &str, order| {
            let name = QueueName::new(name).expect("a name");
            QueueSettings { order, ..QueueSettings::new(name) }
        };
        vec![queue("plain", Order::Arrival), queue("ordered", Order::Key)]
    }
}

/// One of the queues.
struct Queue {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    queue: QueueName,
    order: Order,
    books: Mutex<Books>,
    /// What each consumer has received.
    heard: Vec<AtomicU64>,
    calls: Calls,
}

/// What is known of the messages, which are numbered.
#[derive(Default)]
struct Books {
    confirmed: BTreeSet<u64>,
    /// As they were first received.
    seen: Vec<u64>,
    known: BTreeSet<u64>,
    /// Settled, or nobody knows whether: an error may hide either.
    settled: BTreeSet<u64>,
    again: u64,
}

impl Queue {
    fn new(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>, bounds: Bounds, settings: &QueueSettings) -> Self {
        Self {
            broker,
            clock,
            bounds,
            queue: settings.name.clone(),
            order: settings.order,
            books: Mutex::default(),
            heard: (0..bounds.consumers).map(|_| AtomicU64::new(0)).collect(),
            calls: Calls::default(),
        }
    }

    async fn publish(self: Arc<Self>) {
        let mut next = 0;
        while !self.calls.is_to_stop() {
            if !self.calls.is_away() && self.lead() > LEAD_MAX {
                self.calls.changed().await;
                continue;
            }
            let numbers = next..next + BATCH;
            next = numbers.end;
            let messages = numbers.clone().map(message).collect();
            let begun = Instant::now();
            let published = self.broker.publish(&self.queue, messages).await;
            self.calls.took(begun.elapsed());
            match published {
                Ok(_) => self.books.lock().confirmed.extend(numbers),
                Err(error) => self.calls.refuse(&error),
            }
            sleep(self.bounds.pace).await;
        }
        self.calls.ended.store(true, SeqCst);
    }

    async fn consume(self: Arc<Self>, consumer: usize) {
        while !self.is_done() {
            let wait_until = self.clock.now() + RECEIVE_WAIT;
            let asked = Receive { count_max: RECEIVED_MAX, hold: None, wait_until };
            let begun = Instant::now();
            let received = self.broker.receive(&self.queue, asked).await;
            let (took, most) = (begun.elapsed(), RECEIVE_WAIT + self.bounds.wait + self.bounds.slack);
            assert!(took <= most, "a receive took {took:?}, {most:?} is the most");
            let Ok(deliveries) = received.inspect_err(only_unavailable) else {
                sleep(REFUSED_PAUSE).await;
                continue;
            };
            self.note(&deliveries);
            if let Some(heard) = self.heard.get(consumer) {
                heard.fetch_add(deliveries.len() as u64, SeqCst);
            }
            // As consumers do that finish together.
            join_all(deliveries.iter().map(|delivery| self.settle(delivery))).await;
        }
    }

    async fn settle(&self, delivery: &Delivery) {
        let begun = Instant::now();
        let settled = self.broker.settle(&self.queue, delivery.id, Outcome::Done, None).await;
        self.calls.took(begun.elapsed());
        if let Err(error) = &settled {
            only_unavailable(error);
        }
        // What was not held any more comes again.
        if !matches!(settled, Ok(Settled::NotHeld)) {
            self.books.lock().settled.insert(number(delivery));
            self.calls.change();
        }
    }

    fn note(&self, deliveries: &[Delivery]) {
        let mut books = self.books.lock();
        for number in deliveries.iter().map(number) {
            if books.known.insert(number) {
                books.seen.push(number);
            } else {
                books.again += 1;
            }
        }
    }

    fn lead(&self) -> usize {
        let books = self.books.lock();
        books.confirmed.len().saturating_sub(books.settled.len())
    }
}

impl Load for Queue {
    fn name(&self) -> String {
        self.queue.to_string()
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Confirmed, settled, and heard by each consumer, whose share may be small.
    fn counts(&self, more: u64) -> Vec<u64> {
        let books = self.books.lock();
        let worked_on = [&books.confirmed, &books.settled].map(|numbers| numbers.len() as u64 + more);
        let heard = self.heard.iter().map(|heard| heard.load(SeqCst) + more.min(1));
        worked_on.into_iter().chain(heard).collect()
    }

    /// Confirmed and not settled.
    fn missing(&self) -> Vec<u64> {
        let books = self.books.lock();
        books.confirmed.difference(&books.settled).copied().collect()
    }

    /// Fails if something that was confirmed never came, or came before what was confirmed earlier with its key.
    fn check(&self) -> Seen {
        let books = self.books.lock();
        let lost: Vec<_> = books.confirmed.difference(&books.known).collect();
        assert!(lost.is_empty(), "{}: confirmed and lost: {lost:?}", self.queue);
        if self.order == Order::Key {
            let mut last = BTreeMap::new();
            for number in books.seen.iter().filter(|number| books.confirmed.contains(number)) {
                let before = last.insert(number % KEYS, number);
                assert!(
                    before < Some(number),
                    "{}: {number} came after {before:?} of the same key",
                    self.queue
                );
            }
        }
        Seen { confirmed: books.confirmed.len() as u64, again: books.again }
    }
}

fn message(number: u64) -> Message {
    let id = MessageId::given(&number.to_string()).expect("a number is an id");
    Message { key: Some((number % KEYS).to_string()), ..Message::new(id, "payload".into()) }
}

fn number(delivery: &Delivery) -> u64 {
    delivery.message.id.as_str().parse().expect("what was published")
}

/// Several servers start at a time: the first answer may come late.
pub(super) async fn declare(broker: &dyn Broker, settings: &QueueSettings) {
    let begun = Instant::now();
    while let Err(error) = broker.ensure(settings).await {
        assert!(error.kind() == Kind::Unavailable && begun.elapsed() < DEAF_MAX, "{error}");
    }
}

/// Gives back what is held for too long, as the rules do.
async fn expire(broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) {
    loop {
        match broker.expired().await {
            Ok(offered) => {
                for delivery in offered {
                    let again = Outcome::RetryAt(clock.now());
                    // What cannot be settled is offered again.
                    let _ = broker.settle(&delivery.queue, delivery.id, again, None).await;
                }
            }
            Err(error) if error.kind() == Kind::Closed => return,
            Err(_) => sleep(REFUSED_PAUSE).await,
        }
    }
}
