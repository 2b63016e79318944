//! Publishers and consumers over lapin, with books of what each of them knows, while the daemon is killed under them.
//!
//! Every queue has one publisher, which counts, and at any time one consumer: so it is known in which order its
//! messages must come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, Result};
use tokio::time::timeout;

/// Messages that a publisher has on their way.
const UNCONFIRMED_MAX: usize = 200;
/// Messages that a consumer holds: there are always some at the kill.
const PREFETCH: u16 = 50;
/// A queue is taken to be empty when nothing comes for so long.
const QUIET: Duration = Duration::from_secs(3);
/// A consumer acknowledges when it holds so many, the older half of them.
const HELD_MAX: usize = 40;

/// One queue and what is known of its messages, each of which is a number.
#[derive(Default)]
pub struct Lane {
    name: String,
    next: AtomicU64,
    books: Mutex<Books>,
}

/// What the clients know, apart from the daemon.
#[derive(Default)]
struct Books {
    confirmed: BTreeSet<u64>,
    /// How often each has come.
    came: BTreeMap<u64, u64>,
    /// What a consumer had, and sent an acknowledgement of.
    acknowledged: BTreeSet<u64>,
    unmarked: usize,
    /// Promises that were not kept.
    broken: Vec<String>,
}

/// What a lane came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Messages confirmed to their publisher.
    pub confirmed: usize,
    /// Messages that came more than once.
    pub again: usize,
    /// Confirmed messages that nobody could acknowledge: they never came, or not again after a kill.
    pub lost: Vec<u64>,
    /// Deliveries that came before and did not say so.
    pub unmarked: usize,
    /// Other promises that were not kept.
    pub broken: Vec<String>,
}

impl Lane {
    /// A queue that nobody has used.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// How many messages have been confirmed.
    pub fn confirmed(&self) -> usize {
        self.books().confirmed.len()
    }

    /// The sums of its books.
    pub fn sums(&self) -> Sums {
        let books = self.books();
        Sums {
            confirmed: books.confirmed.len(),
            again: books.came.values().filter(|times| **times > 1).count(),
            lost: books.confirmed.difference(&books.acknowledged).copied().collect(),
            unmarked: books.unmarked,
            broken: books.broken.clone(),
        }
    }

    /// Publishes until the connection ends; what was not confirmed is not tried again, so that order stays known.
    pub async fn publish(&self, amqp: SocketAddr) -> Result<()> {
        let connection = connect(amqp).await?;
        let channel = self.channel(&connection).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut under_way = VecDeque::new();
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            let (options, properties) =
                (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
            let body = number.to_string();
            let confirm =
                channel.basic_publish("".into(), self.queue(), options, body.as_bytes(), properties).await?;
            under_way.push_back((number, confirm));
            if under_way.len() < UNCONFIRMED_MAX {
                continue;
            }
            let Some((number, confirm)) = under_way.pop_front() else { continue };
            if let Confirmation::Ack(_) = confirm.await? {
                self.books().confirmed.insert(number);
            }
        }
    }

    /// Consumes until the connection ends, and always holds some.
    pub async fn consume(&self, amqp: SocketAddr) -> Result<()> {
        let connection = connect(amqp).await?;
        let mut deliveries = self.deliveries(&connection).await?;
        let (mut held, mut last, published) = (VecDeque::new(), None, self.next.load(Relaxed));
        while let Some(delivery) = deliveries.next().await {
            let delivery = delivery?;
            let number = self.note(&delivery, last, published);
            last = Some(number);
            held.push_back((number, delivery));
            if held.len() >= HELD_MAX {
                let older: Vec<_> = held.drain(..HELD_MAX / 2).collect();
                // Before it is sent: the daemon may have it even if this side does not live to see it go.
                self.books().acknowledged.extend(older.iter().map(|(number, _)| number));
                if let Some((_, delivery)) = older.last() {
                    delivery.ack(BasicAckOptions { multiple: true }).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes and acknowledges everything until nothing has come for a while, and returns how much that was.
    pub async fn drain(&self, amqp: SocketAddr) -> Result<usize> {
        let connection = connect(amqp).await?;
        let mut deliveries = self.deliveries(&connection).await?;
        let (mut last, mut count) = (None, 0);
        while let Ok(Some(delivery)) = timeout(QUIET, deliveries.next()).await {
            let delivery = delivery?;
            let number = self.note(&delivery, last, u64::MAX);
            delivery.ack(BasicAckOptions::default()).await?;
            self.books().acknowledged.insert(number);
            (last, count) = (Some(number), count + 1);
        }
        connection.close(200, "done".into()).await?;
        Ok(count)
    }

    async fn deliveries(&self, connection: &Connection) -> Result<Consumer> {
        let channel = self.channel(connection).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        channel.basic_consume(self.queue(), "".into(), options, FieldTable::default()).await
    }

    /// Writes a delivery down, and whether it came in its order and says truly whether it came before.
    fn note(&self, delivery: &Delivery, last: Option<u64>, published: u64) -> u64 {
        let number = std::str::from_utf8(&delivery.data).ok().and_then(|text| text.parse().ok());
        let number = number.expect("a number was published");
        let mut books = self.books();
        if last.is_some_and(|last| number <= last) {
            books.broken.push(format!("{}: {number} came after {last:?}", self.name));
        }
        let times = books.came.entry(number).or_default();
        *times += 1;
        let again = *times > 1;
        books.unmarked += usize::from(again && !delivery.redelivered);
        if number >= published && delivery.redelivered {
            books.broken.push(format!("{}: {number} is new and is said to come again", self.name));
        }
        number
    }

    async fn channel(&self, connection: &Connection) -> Result<Channel> {
        let channel = connection.create_channel().await?;
        channel.queue_declare(self.queue(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
        Ok(channel)
    }

    fn queue(&self) -> ShortString {
        self.name.as_str().into()
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panicked over the books")
    }
}

/// A connection of lapin.
pub async fn connect(amqp: SocketAddr) -> Result<Connection> {
    Connection::connect(&format!("amqp://guest:guest@{amqp}/%2f"), ConnectionProperties::default()).await
}
