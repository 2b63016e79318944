//! Messages of a channel on their way into the queues.
//!
//! What is published while a batch is on its way to the disk makes the next batch: order is kept, and one sync serves all
//! that has gathered, of this channel and of every other.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_broker::EmbeddedBroker;
use forebay_core::error::Kind;
use forebay_core::limits;
use forebay_core::message::Message;
use forebay_core::ports::clock::Clock;
use futures_util::stream::{self, StreamExt};

use crate::connection::gate::Gate;
use crate::vhost::arguments::read::Full;
use crate::vhost::queue::Queue;

/// A message with the queues it goes to.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) message: Arc<Message>,
    /// Memory that it takes on its way.
    pub(crate) bytes: usize,
    pub(crate) queues: Vec<Arc<Queue>>,
    /// Its number among those to be confirmed.
    pub(crate) number: Option<u64>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is durable in every queue it goes to.
    Taken,
    /// A queue refused it, as it was told to when it is full.
    Rejected,
    /// It is not known to be durable everywhere.
    Failed,
}

/// The way of a channel's messages.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    waiting: Vec<Outbound>,
    on_the_way: bool,
    /// How many messages are to be confirmed so far; `None` where the channel does not ask for confirms.
    numbered: Option<u64>,
    /// A message without a number was not taken.
    has_failed: bool,
}

impl Publisher {
    /// Every message from now on is to be confirmed.
    pub(crate) fn confirm(&mut self) {
        self.numbered.get_or_insert(0);
    }

    /// Whether messages are confirmed.
    pub(crate) fn confirms(&self) -> bool {
        self.numbered.is_some()
    }

    /// The number of the next message, where it is to be confirmed.
    pub(crate) fn next_number(&mut self) -> Option<u64> {
        let numbered = self.numbered.as_mut()?;
        *numbered += 1;
        Some(*numbered)
    }

    pub(crate) fn push(&mut self, outbound: Outbound) {
        self.waiting.push(outbound);
    }

    /// True where everything has arrived.
    pub(crate) fn is_done(&self) -> bool {
        !self.on_the_way && self.waiting.is_empty()
    }

    /// The next batch, unless one is on its way.
    pub(crate) fn next(&mut self) -> Option<Vec<Outbound>> {
        if self.on_the_way || self.waiting.is_empty() {
            return None;
        }
        self.on_the_way = true;
        let mut bytes = 0;
        let within = |outbound: &&Outbound| {
            let has_room = bytes < limits::amqp::PUBLISHING_BYTES_MAX;
            bytes += outbound.bytes;
            has_room
        };
        let count = self.waiting.iter().take(limits::PUBLISH_MESSAGES_MAX).take_while(within).count();
        let later = self.waiting.split_off(count);
        Some(std::mem::replace(&mut self.waiting, later))
    }

    /// The batch has arrived.
    pub(crate) fn arrived(&mut self, fates: &[(Option<u64>, Fate)]) {
        self.on_the_way = false;
        self.has_failed |= fates.iter().any(|(number, fate)| number.is_none() && *fate != Fate::Taken);
    }

    /// Whether all messages without a number were taken since this was last asked.
    pub(crate) fn were_taken(&mut self) -> bool {
        !std::mem::take(&mut self.has_failed)
    }
}

/// A batch that has come to its end.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// What became of each message, by its number, in their order.
    pub(crate) fates: Vec<(Option<u64>, Fate)>,
    /// Memory that they took.
    pub(crate) bytes: usize,
}

/// What leads into the queues.
pub(crate) struct Way {
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where messages wait while the queues take nothing.
    pub(crate) gate: Arc<Gate>,
}

/// Brings a batch into its queues.
pub(crate) async fn bring(way: &Way, batch: Vec<Outbound>) -> Arrived {
    let numbers: Vec<_> = batch.iter().map(|outbound| outbound.number).collect();
    let bytes = batch.iter().map(|outbound| outbound.bytes).sum();
    let mut fates = vec![Fate::Taken; batch.len()];
    let mut shares: BTreeMap<u64, Share> = BTreeMap::new();
    for (place, Outbound { message, queues, .. }) in batch.into_iter().enumerate() {
        for queue in queues {
            let new = |queue| Share { queue, places: Vec::new(), messages: Vec::new() };
            let share = shares.entry(queue.number).or_insert_with(|| new(queue));
            share.places.push(place);
            share.messages.push(Arc::clone(&message));
        }
    }
    let shares = stream::iter(shares.into_values().map(|share| share.bring(way)));
    let mut arrived = shares.buffer_unordered(limits::amqp::PUBLISHING_QUEUES_MAX).flat_map(stream::iter);
    while let Some((place, fate)) = arrived.next().await {
        if let Some(worst) = fates.get_mut(place).filter(|present| **present != Fate::Failed) {
            *worst = if fate == Fate::Taken { *worst } else { fate };
        }
    }
    Arrived { fates: numbers.into_iter().zip(fates).collect(), bytes }
}

/// The messages of a batch that go to one queue, with their places in the batch.
struct Share {
    queue: Arc<Queue>,
    places: Vec<usize>,
    messages: Vec<Arc<Message>>,
}

impl Share {
    /// Publishes all. The broker takes a batch whole or not at all: one that is too much at once goes in halves.
    async fn bring(self, way: &Way) -> Vec<(usize, Fate)> {
        let Self { queue, places, messages } = self;
        let mut fates = Vec::with_capacity(places.len());
        let mut parts = vec![(places, messages)];
        if queue.asked.full == Full::RejectsToDeadLetters {
            // What is refused is a dead letter at once: only what must be may be.
            let singly = parts.drain(..).flat_map(|(places, messages)| places.into_iter().zip(messages));
            parts = singly.map(|(place, message)| (vec![place], vec![message])).collect();
            parts.reverse();
        }
        while let Some((mut places, mut messages)) = parts.pop() {
            match publish(way, &queue, &mut messages).await {
                Err(_) if places.len() > 1 && messages.len() == places.len() => {
                    let half = places.len() / 2;
                    parts.push((places.split_off(half), messages.split_off(half)));
                    parts.push((places, messages));
                }
                Ok(fate) | Err(fate) => fates.extend(places.into_iter().map(|place| (place, fate))),
            }
        }
        fates
    }
}

/// Publishes, and waits where the queues take nothing for now. Only a queue that was told to refuses at once. `Err`: what
/// becomes of a single message; of several some might be taken by themselves.
async fn publish(way: &Way, queue: &Queue, messages: &mut Vec<Arc<Message>>) -> Result<Fate, Fate> {
    let mut pass = None;
    loop {
        match way.broker.publish_from(&queue.stored, messages).await {
            Ok(_) => return Ok(Fate::Taken),
            // It was deleted since the message was routed there, and the message with it.
            Err(error) if error.kind() == Kind::NotFound => return Ok(Fate::Taken),
            Err(error) if queue.asked.rejects() && matches!(error.kind(), Kind::Full | Kind::TooLarge) => {
                return Err(Fate::Rejected);
            }
            // Another front had the queue send on what it refuses, and it did.
            Err(error) if error.kind() == Kind::Full && messages.is_empty() => return Ok(Fate::Rejected),
            Err(error) if error.kind() == Kind::Full => {
                pass.get_or_insert_with(|| way.gate.wait());
                way.clock.sleep_until(way.clock.now() + limits::BROKER_PAUSE).await;
            }
            Err(error) if error.kind() == Kind::TooLarge && messages.len() > 1 => return Err(Fate::Failed),
            Err(error) => {
                tracing::warn!(%error, "publish by amqp failed");
                return Ok(Fate::Failed);
            }
        }
    }
}

/// A word to the publisher about messages up to this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) last: u64,
    /// More than this one.
    pub(crate) multiple: bool,
    pub(crate) taken: bool,
}

/// As few words as say what became of all messages. They come in order, so that nothing before them is open.
pub(crate) fn confirms(fates: &[(Option<u64>, Fate)]) -> Vec<Confirm> {
    let mut confirms: Vec<Confirm> = Vec::new();
    for (number, fate) in fates {
        let (Some(number), taken) = (*number, *fate == Fate::Taken) else { continue };
        match confirms.last_mut().filter(|last| last.taken == taken) {
            Some(last) => *last = Confirm { last: number, multiple: true, taken },
            None => confirms.push(Confirm { last: number, multiple: false, taken }),
        }
    }
    confirms
}

#[cfg(test)]
mod tests {
    use forebay_core::message::{MessageId, Value as HeaderValue};
    use forebay_core::ports::broker::{Broker, BrokerAdmin};
    use forebay_core::queue::{DeadLetterExchange, Overflow, QueueName, QueueSettings};
    use forebay_wire::amqp::methods::{basic, confirm, queue};
    use forebay_wire::amqp::properties::Properties;
    use forebay_wire::amqp::table::{Table, TableBuf, Value};
    use forebay_wire::amqp::text::{ShortBytes, ShortStr};

    use super::*;
    use crate::bench::{Bench, declare, published};

    #[test]
    fn neighbours_with_one_fate_are_confirmed_in_one_word() {
        let fates = [
            (None, Fate::Taken),
            (Some(1), Fate::Taken),
            (Some(2), Fate::Taken),
            (Some(3), Fate::Rejected),
            (Some(4), Fate::Failed),
            (Some(5), Fate::Taken),
        ];
        let confirm = |last, multiple, taken| Confirm { last, multiple, taken };
        assert_eq!(
            confirms(&fates),
            [confirm(2, true, true), confirm(4, true, false), confirm(5, false, true)]
        );
        assert_eq!(confirms(&[(None, Fate::Taken)]), []);
    }

    #[test]
    fn a_batch_ends_where_it_takes_too_much_memory() {
        let message = Message::new(MessageId::given("m").unwrap(), "".into());
        let mut publisher = Publisher::default();
        for _ in 0..4 {
            let (message, bytes) = (Arc::new(message.clone()), limits::amqp::PUBLISHING_BYTES_MAX / 2);
            publisher.push(Outbound { message, bytes, queues: Vec::new(), number: None });
        }
        let oversize = limits::amqp::PUBLISHING_BYTES_MAX * 2;
        publisher.push(Outbound {
            message: message.into(),
            bytes: oversize,
            queues: Vec::new(),
            number: None,
        });
        let batches = std::iter::from_fn(|| {
            publisher.arrived(&[]);
            publisher.next().map(|batch| batch.len())
        });
        assert_eq!(batches.collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[tokio::test]
    async fn what_is_on_its_way_to_many_queues_counts_for_each_of_them() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        let queues = 50;
        for number in 0..queues {
            let name = number.to_string();
            client.say(1, &declare(&name)).await;
            client.expect::<queue::DeclareOk<'_>>(1).await;
            let queue = ShortStr::cut(&name);
            let (exchange, routing_key) = (ShortStr::cut("amq.fanout"), ShortStr::default());
            let arguments = Table::default();
            client
                .say(1, &queue::Bind { ticket: 0, queue, exchange, routing_key, nowait: false, arguments })
                .await;
            client.expect::<queue::BindOk>(1).await;
        }
        bench.hold_log(true);
        let (mut table, mut octets) = (TableBuf::new(), Vec::new());
        for _ in 0..100 {
            table.push(ShortBytes::new(b"h").unwrap(), Value::Void);
        }
        let headers = Properties { headers: Some(table.as_table()), ..Properties::default() };
        let bytes_each = queues * 100 * size_of::<(String, HeaderValue)>();
        for _ in 0..2 * limits::amqp::PUBLISHING_BYTES_MAX / bytes_each {
            octets.extend(published(1, "amq.fanout", "", &headers, b""));
        }
        assert!(client.says_only_some_of(&octets).await);
        bench.hold_log(false);
        client.say_rest().await;
    }

    #[tokio::test]
    async fn what_a_queue_sends_on_when_it_refuses_it_is_not_confirmed_and_not_sent_twice() {
        let bench = Bench::new();
        let mut client = bench.connect(1).await;
        client.say(1, &declare("dead")).await;
        client.expect::<queue::DeclareOk<'_>>(1).await;
        // Another front declared it, so that this one does not know how.
        let letters = DeadLetterExchange { exchange: String::new(), key: Some("dead".to_owned()) };
        let settings = QueueSettings {
            length_max: 1,
            overflow: Overflow::RejectDeadLetter,
            dead_letter_exchange: Some(letters),
            ..QueueSettings::new(QueueName::new("q").unwrap())
        };
        bench.broker.ensure(&settings).await.unwrap();
        client.say(1, &confirm::Select { nowait: false }).await;
        client.expect::<confirm::SelectOk>(1).await;
        client.publish(1, "", "q", b"taken").await;
        client.expect::<basic::Ack>(1).await;
        client.publish(1, "", "q", b"refused").await;
        bench.pass(limits::BROKER_PAUSE).await;
        client.expect::<basic::Nack>(1).await;
        let dead = QueueName::new("dead").unwrap();
        assert_eq!(bench.broker.queue(&dead).await.unwrap().stats.ready, 1);
    }
}
