//! Two processes on one Kafka, as two brokers with clients of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::error::{Kind, Result};
use forebay_core::limits::kafka::OPEN_MAX;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{Order, QueueName, QueueSettings};
use futures_util::future::join_all;

use super::{Real, one_partition, real, some_partitions, there};

impl Real {
    /// Another process that uses the same queues.
    pub(super) fn twin(&self) -> Self {
        let mut twin = one_partition();
        twin.close();
        twin.first = false;
        twin.settings = self.settings.clone();
        twin.reopen();
        twin
    }

    /// Ends the process.
    pub(super) fn end(&mut self) {
        self.work.drain(..).for_each(|work| work.abort());
        self.broker = None;
    }

    pub(super) fn on<T>(&self, asked: impl Future<Output = T>) -> T {
        self.ground.run(asked)
    }

    pub(super) fn declare(&self, settings: &QueueSettings) -> Result<()> {
        self.on(self.broker().ensure(settings))
    }

    /// Publishes messages whose key is their id without its digits.
    pub(super) fn publish<'a>(&self, queue: &QueueName, ids: impl IntoIterator<Item = &'a str>) {
        let message = |id: &str| Message {
            key: Some(id.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()),
            ..Message::new(MessageId::given(id).unwrap(), "payload".into())
        };
        self.on(self.broker().publish(queue, ids.into_iter().map(message).collect())).unwrap();
    }

    pub(super) fn receive(&self, queue: &QueueName, count_max: usize, wait: Duration) -> Vec<Delivery> {
        let asked = Receive { count_max, hold: None, wait_until: self.now() + wait };
        self.on(self.broker().receive(queue, asked)).unwrap()
    }

    pub(super) fn one(&self, queue: &QueueName) -> Delivery {
        self.receive(queue, 1, LONG).pop().expect("nothing comes")
    }

    pub(super) fn finish(&self, delivery: &Delivery) -> Settled {
        self.on(self.broker().settle(&delivery.queue, delivery.id, Outcome::Done, None)).unwrap()
    }

    /// Settles them side by side. What the group refuses while it changes is not done, as far as is known.
    fn finish_all(&self, deliveries: &[Delivery]) -> Vec<Settled> {
        let broker = self.broker();
        let settle = |delivery: &Delivery| {
            let (broker, queue, id) = (broker.clone(), delivery.queue.clone(), delivery.id);
            async move {
                match broker.settle(&queue, id, Outcome::Done, None).await {
                    Err(error) if error.kind() == Kind::Unavailable => Settled::NotHeld,
                    settled => settled.unwrap(),
                }
            }
        };
        self.on(join_all(deliveries.iter().map(settle)))
    }

    /// All that comes until nothing more does, which is held.
    fn all(&self, queue: &QueueName, count: usize) -> Vec<Delivery> {
        let mut all = Vec::new();
        loop {
            let more = self.receive(queue, 1_000, if all.len() < count { LONG } else { SHORT });
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }
}

pub(super) const LONG: Duration = Duration::from_secs(60);
pub(super) const SHORT: Duration = Duration::from_millis(300);

pub(super) fn id(delivery: &Delivery) -> &str {
    delivery.message.id.as_str()
}

pub(super) fn queue(rig: &Real, order: Order) -> QueueName {
    let queue = QueueName::new("shared").unwrap();
    rig.declare(&QueueSettings { order, ..QueueSettings::new(queue.clone()) }).unwrap();
    queue
}

/// Ids with as many keys.
fn ids(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| {
            format!("{}.0", char::from(b'a' + (number % 26) as u8).to_string().repeat(number / 26 + 1))
        })
        .collect()
}

#[test]
fn a_queue_that_one_declares_is_there_for_the_other_with_its_settings() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let other = one.twin();
    let queue = QueueName::new("shared").unwrap();
    let mut settings = QueueSettings::new(queue.clone());
    settings.retry.attempt_max = 3;
    one.declare(&settings).unwrap();
    other.publish(&queue, ["a"]);
    assert_eq!(other.one(&queue).retry, settings.retry);
    let refused = other.declare(&QueueSettings::new(queue)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("attempt_max is 3, not 5"), "{refused}");
}

#[test]
fn of_two_that_declare_a_queue_at_once_one_is_refused_if_they_differ() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let other = one.twin();
    let plain = QueueSettings::new(QueueName::new("shared").unwrap());
    let ordered = QueueSettings { order: Order::Key, ..plain.clone() };
    let (ours, theirs) = (one.broker(), other.broker());
    let (mine, yours) = one.on(async { tokio::join!(ours.ensure(&plain), theirs.ensure(&ordered)) });
    let (counts, lost) = if mine.is_ok() { (&plain, yours) } else { (&ordered, mine) };
    assert_eq!(lost.unwrap_err().kind(), Kind::Conflict);
    one.declare(counts).unwrap();
    other.declare(counts).unwrap();
}

#[test]
fn what_was_settled_in_any_order_does_not_come_back_when_its_consumer_dies() {
    if !there() {
        return;
    }
    let mut one = some_partitions();
    let queue = queue(&one, Order::Arrival);
    let ids = ids(60);
    one.publish(&queue, ids.iter().map(String::as_str));
    let held = one.all(&queue, ids.len());
    assert_eq!(held.len(), ids.len());
    let (settled, open): (Vec<_>, Vec<_>) = held.iter().enumerate().partition(|(index, _)| index % 3 > 0);
    for (_, delivery) in settled.into_iter().rev() {
        assert_eq!(one.finish(delivery), Settled::Done);
    }
    one.crash();
    let again: BTreeSet<_> =
        one.all(&queue, open.len()).iter().map(|delivery| id(delivery).to_owned()).collect();
    assert_eq!(again, open.iter().map(|(_, delivery)| id(delivery).to_owned()).collect());
}

#[test]
fn a_partition_that_goes_to_another_process_takes_what_was_held_with_it() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let other = one.twin();
    let queue = queue(&one, Order::Arrival);
    let ids = ids(30);
    one.publish(&queue, ids.iter().map(String::as_str));
    let held = one.all(&queue, ids.len());
    let mut theirs: BTreeSet<String> =
        other.all(&queue, 1).iter().map(|delivery| id(delivery).to_owned()).collect();
    assert!(!theirs.is_empty() && theirs.len() < ids.len(), "they have {theirs:?}");
    for delivery in &held {
        let expected = if theirs.remove(id(delivery)) { Settled::NotHeld } else { Settled::Done };
        assert_eq!(one.finish(delivery), expected, "{}", id(delivery));
    }
}

#[test]
fn a_partition_that_was_full_when_it_went_is_read_again_when_it_comes_back() {
    if !there() {
        return;
    }
    const COUNT: usize = 3_200;
    let one = real(2);
    let mut other = one.twin();
    let queue = queue(&one, Order::Arrival);
    let ids: Vec<_> = (0..COUNT).map(|number| format!("{number}.0")).collect();
    for ids in ids.chunks(1_000) {
        one.publish(&queue, ids.iter().map(String::as_str));
    }
    let mut held = one.all(&queue, 2 * OPEN_MAX);
    assert_eq!(held.len(), 2 * OPEN_MAX, "both partitions are read no further");
    assert!(!other.receive(&queue, 1, LONG).is_empty(), "one of them went there");
    other.close();
    other.reopen();
    let mut done = BTreeSet::new();
    let begun = one.now();
    while done.len() < COUNT {
        assert!(one.now().since(begun) < LONG, "{} have come", done.len());
        // Before it has nothing in hand: it would leave its group, and come back as another member.
        held.extend(one.receive(&queue, 1_000, SHORT));
        for (delivery, settled) in held.iter().zip(one.finish_all(&held)) {
            if settled == Settled::Done {
                done.insert(id(delivery).to_owned());
            }
        }
        held.clear();
    }
}

#[test]
fn one_that_asks_no_more_leaves_its_partitions_to_others() {
    if !there() {
        return;
    }
    let one = one_partition();
    let other = one.twin();
    let queue = queue(&one, Order::Arrival);
    one.publish(&queue, ["a", "b"]);
    let first = one.one(&queue);
    assert_eq!(one.finish(&first), Settled::Done);
    assert_eq!(id(&other.one(&queue)), "b", "which lay in the first process");
}

#[test]
fn one_that_holds_something_keeps_its_partition_until_it_is_gone() {
    if !there() {
        return;
    }
    let mut one = one_partition();
    let other = one.twin();
    let queue = queue(&one, Order::Key);
    one.publish(&queue, ["a1", "a2"]);
    assert_eq!(id(&one.one(&queue)), "a1");
    assert!(other.receive(&queue, 1, Duration::from_secs(7)).is_empty());
    one.end();
    let first = other.one(&queue);
    assert_eq!(id(&first), "a1");
    assert!(other.receive(&queue, 1, SHORT).is_empty(), "a2 waits for a1");
    assert_eq!(other.finish(&first), Settled::Done);
    assert_eq!(id(&other.one(&queue)), "a2");
}

#[test]
fn a_queue_that_one_deletes_is_gone_for_the_other_and_declared_anew_is_empty() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let other = one.twin();
    let queue = queue(&one, Order::Arrival);
    other.publish(&queue, ["a", "b"]);
    let admin = one.admin().unwrap();
    let held = other.one(&queue);
    assert!(!other.receive(&queue, 1, LONG).is_empty());
    let (broker, wait_until) = (other.broker(), other.now() + LONG);
    let waits = async {
        let waiting = broker.receive(&queue, Receive { count_max: 1, hold: None, wait_until });
        let (waited, deleted) = tokio::join!(waiting, admin.delete(&queue));
        deleted.unwrap();
        waited.unwrap_err().kind()
    };
    assert_eq!(other.on(waits), Kind::NotFound);
    assert_eq!(other.finish(&held), Settled::NotHeld);
    let late = Message::new(MessageId::given("late").unwrap(), "payload".into());
    let refused = other.on(other.broker().publish(&queue, vec![late])).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound, "and was not confirmed into nothing");
    one.declare(&QueueSettings::new(queue.clone())).unwrap();
    assert!(other.receive(&queue, 1, SHORT).is_empty());
    other.publish(&queue, ["c"]);
    assert_eq!(id(&one.one(&queue)), "c");
}

#[test]
fn a_purge_reaches_what_no_process_has_read() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let queue = queue(&one, Order::Arrival);
    // More than is read at once.
    for round in 0..5 {
        let ids: Vec<_> = (0..1_000).map(|number| format!("k{round}.{number}")).collect();
        one.publish(&queue, ids.iter().map(String::as_str));
    }
    let held = one.one(&queue);
    let purged = one.on(one.admin().unwrap().purge(&queue)).unwrap();
    assert_eq!(purged, 4_999);
    assert!(one.receive(&queue, 1, SHORT).is_empty());
    assert_eq!(one.finish(&held), Settled::Done);
    one.publish(&queue, ["new"]);
    assert_eq!(id(&one.one(&queue)), "new");
}

#[test]
fn a_purge_of_a_queue_in_use_ends() {
    if !there() {
        return;
    }
    let one = one_partition();
    let queue = queue(&one, Order::Arrival);
    one.publish(&queue, ids(200).iter().map(String::as_str));
    let (broker, admin) = (one.broker(), one.admin().unwrap());
    // Each leaves one to be put behind the others: it is in use for as long as this goes on.
    let uses = || async {
        loop {
            let asked = Receive { count_max: 1, hold: None, wait_until: one.now() + LONG };
            for delivery in broker.receive(&queue, asked).await.unwrap() {
                broker.settle(&queue, delivery.id, Outcome::Done, None).await.unwrap();
                let next = Message::new(delivery.message.id.clone(), "payload".into());
                broker.publish(&queue, vec![next]).await.unwrap();
            }
        }
    };
    one.on(async {
        tokio::select! {
            _ = join_all((0..8).map(|_| uses())) => {}
            purged = admin.purge(&queue) => assert!(purged.unwrap() > 0),
        }
    });
}
