//! One queue's publisher and consumers, and what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::error::Kind;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::Bounds;

/// Messages of one publish.
const BATCH: u64 = 10;
/// Keys that they have in turn.
const KEYS: u64 = 7;
/// Messages that one receive asks for.
const RECEIVED_MAX: usize = 20;
/// How long a receive waits for a message.
const RECEIVE_WAIT: Duration = Duration::from_millis(500);
/// Messages that are published and not yet worked on: some servers acknowledge more slowly than they take.
const LEAD_MAX: usize = 400;

pub(super) struct Load {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    queue: QueueName,
    order: Order,
    books: Mutex<Books>,
    /// What each consumer has received.
    heard: Vec<AtomicU64>,
    pub(super) refused: AtomicU64,
    /// The server is away: a publish is to be refused, however far the consumers are behind.
    pub(super) away: AtomicBool,
    pub(super) stop: AtomicBool,
    /// Nothing more is published: the last publish was answered, too.
    published: AtomicBool,
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
    slowest: Duration,
}

/// A state of the load that is to be left behind.
#[derive(Debug)]
pub(super) struct Mark {
    confirmed: usize,
    settled: usize,
    heard: Vec<u64>,
}

/// What was seen until the end.
pub(super) struct Seen {
    pub(super) confirmed: u64,
    pub(super) again: u64,
    pub(super) slowest: Duration,
}

impl Load {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        clock: Arc<dyn Clock>,
        bounds: Bounds,
        settings: &QueueSettings,
    ) -> Self {
        Self {
            broker,
            clock,
            bounds,
            queue: settings.name.clone(),
            order: settings.order,
            books: Mutex::default(),
            heard: (0..bounds.consumers).map(|_| AtomicU64::new(0)).collect(),
            refused: AtomicU64::new(0),
            away: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            published: AtomicBool::new(false),
        }
    }

    pub(super) async fn publish(self: Arc<Self>) {
        let mut next = 0;
        while !self.stop.load(SeqCst) {
            if !self.away.load(SeqCst) && self.lead() > LEAD_MAX {
                sleep(Duration::from_millis(5)).await;
                continue;
            }
            let numbers = next..next + BATCH;
            next = numbers.end;
            let messages = numbers.clone().map(message).collect();
            let begun = Instant::now();
            let published = self.broker.publish(&self.queue, messages).await;
            self.took(begun);
            match published {
                Ok(_) => self.books.lock().confirmed.extend(numbers),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
                    self.refused.fetch_add(1, SeqCst);
                }
            }
            sleep(self.bounds.pace).await;
        }
        self.published.store(true, SeqCst);
    }

    pub(super) async fn consume(self: Arc<Self>, consumer: usize) {
        while !self.is_done() {
            let wait_until = self.clock.now() + RECEIVE_WAIT;
            let asked = Receive { count_max: RECEIVED_MAX, hold: None, wait_until };
            let begun = Instant::now();
            let received = self.broker.receive(&self.queue, asked).await;
            let (took, most) = (begun.elapsed(), RECEIVE_WAIT + self.bounds.wait + self.bounds.slack);
            assert!(took <= most, "a receive took {took:?}, {most:?} is the most");
            let Ok(deliveries) = received.inspect_err(|error| {
                assert_eq!(error.kind(), Kind::Unavailable, "{error}");
            }) else {
                sleep(Duration::from_millis(50)).await;
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
        self.took(begun);
        if let Err(error) = &settled {
            assert_eq!(error.kind(), Kind::Unavailable, "{error}");
        }
        // What was not held any more comes again.
        if !matches!(settled, Ok(Settled::NotHeld)) {
            self.books.lock().settled.insert(number(delivery));
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

    fn took(&self, begun: Instant) {
        let mut books = self.books.lock();
        books.slowest = books.slowest.max(begun.elapsed());
    }

    fn lead(&self) -> usize {
        let books = self.books.lock();
        books.confirmed.len().saturating_sub(books.settled.len())
    }

    /// True once publishing has ended and all that was confirmed is settled.
    pub(super) fn is_done(&self) -> bool {
        let books = self.books.lock();
        self.published.load(SeqCst) && books.confirmed.is_subset(&books.settled)
    }

    /// What was confirmed and is not settled.
    pub(super) fn missing(&self) -> Vec<u64> {
        let books = self.books.lock();
        books.confirmed.difference(&books.settled).copied().collect()
    }

    /// What is reached once so many more were confirmed and settled, and every consumer has heard more.
    pub(super) fn mark(&self, more: usize) -> Mark {
        let books = self.books.lock();
        Mark {
            confirmed: books.confirmed.len() + more,
            settled: books.settled.len() + more,
            heard: self.heard.iter().map(|heard| heard.load(SeqCst)).collect(),
        }
    }

    pub(super) fn is_beyond(&self, mark: &Mark) -> bool {
        let now = self.mark(0);
        let hears = now.heard.iter().zip(&mark.heard).all(|(now, before)| now > before);
        hears && now.confirmed >= mark.confirmed && now.settled >= mark.settled
    }

    /// How far it is from there, for who reads why a test failed.
    pub(super) fn on_the_way(&self, to: &Mark) -> String {
        format!("{}: {:?} on the way to {to:?}", self.queue, self.mark(0))
    }

    /// Fails if something that was confirmed never came, or came before what was confirmed earlier with its key.
    pub(super) fn check(&self) -> Seen {
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
        Seen { confirmed: books.confirmed.len() as u64, again: books.again, slowest: books.slowest }
    }
}

fn message(number: u64) -> Message {
    let id = MessageId::given(&number.to_string()).expect("a number is an id");
    Message { key: Some((number % KEYS).to_string()), ..Message::new(id, "payload".into()) }
}

fn number(delivery: &Delivery) -> u64 {
    delivery.message.id.as_str().parse().expect("what was published")
}
