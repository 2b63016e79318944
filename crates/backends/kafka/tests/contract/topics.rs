//! Topics and groups that other programs use as well.

use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_core::delivery::{Outcome, Reason, Settled};
use forebay_core::error::Kind;
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{Order, QueueName, QueueSettings, Retain};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::processes::{LONG, id, queue};
use super::{CALL_MAX, Real, client, one_partition, server, some_partitions, there};

impl Real {
    /// What a topic of that queue is called.
    fn topic(&self, queue: &str) -> String {
        format!("{}{queue}", self.settings.prefix)
    }

    /// A client of another program's.
    fn foreign(&self) -> ClientConfig {
        client(server().unwrap())
    }

    fn make_topic(&self, topic: NewTopic<'_>) {
        let admin: AdminClient<_> = self.foreign().create().unwrap();
        let made = self.on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(made[0].is_ok(), "{made:?}");
    }

    fn configuration(&self, topic: &str) -> Vec<ConfigEntry> {
        let admin: AdminClient<_> = self.foreign().create().unwrap();
        let asked = [ResourceSpecifier::Topic(topic)];
        let described = self.on(admin.describe_configs(&asked, &AdminOptions::new())).unwrap();
        described.into_iter().next().unwrap().unwrap().entries
    }

    /// All topics that there are.
    fn topics(&self) -> Vec<String> {
        let consumer: BaseConsumer = self.foreign().create().unwrap();
        let metadata = consumer.fetch_metadata(None, CALL_MAX).unwrap();
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// Whether it is so in time.
    fn comes(&self, is_so: impl Fn() -> bool) -> bool {
        self.comes_within(LONG, is_so)
    }

    fn comes_within(&self, time: Duration, is_so: impl Fn() -> bool) -> bool {
        let begun = self.now();
        while self.now().since(begun) < time {
            if is_so() {
                return true;
            }
            self.pass(Duration::from_millis(100));
        }
        false
    }
}

#[test]
fn a_topic_that_was_there_before_its_queue_keeps_what_nobody_has_received() {
    if !there() {
        return;
    }
    let one = some_partitions();
    // As a server makes one for the first who publishes.
    one.make_topic(NewTopic::new(&one.topic("shared"), 5, TopicReplication::Fixed(1)));
    let queue = queue(&one, Order::Arrival);
    let said = |(name, value): (&str, &str)| {
        let told = one.configuration(&one.topic("shared"));
        told.iter().any(|entry| entry.name == name && entry.value.as_deref() == Some(value))
    };
    for expected in [("retention.ms", "-1"), ("retention.bytes", "-1"), ("cleanup.policy", "delete")] {
        assert!(one.comes(|| said(expected)), "{expected:?}");
    }
    one.publish(&queue, ["a"]);
    assert_eq!(id(&one.one(&queue)), "a");
}

#[test]
fn a_queue_is_refused_where_its_topic_was_made_for_something_else() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let (short, wide) = (one.topic("short"), one.topic("wide"));
    one.make_topic(NewTopic::new(&short, 1, TopicReplication::Fixed(1)).set("retention.ms", "60000"));
    one.make_topic(NewTopic::new(&wide, 2, TopicReplication::Fixed(1)));
    let declared = |name: &str| QueueSettings::new(QueueName::new(name).unwrap());
    let refused = one.declare(&declared("short")).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("retention.ms is 60000, not -1"), "{refused}");
    let retain = Retain::For(Duration::from_secs(60));
    let refused = one.declare(&QueueSettings { retain, ..declared("wide") }).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("has 2 partitions, not 1"), "{refused}");
    assert_eq!(one.on(one.admin().unwrap().queues()).unwrap().len(), 0);
}

#[test]
fn the_topics_of_a_deleted_queue_are_not_made_again_by_one_that_has_published_to_it() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let other = one.twin();
    let queue = queue(&one, Order::Arrival);
    other.publish(&queue, ["a"]);
    one.on(one.admin().unwrap().delete(&queue)).unwrap();
    let there = || one.topics().iter().any(|topic| topic.starts_with(&one.topic("shared")));
    assert!(one.comes(|| !there()), "they are deleted");
    // Longer than a client waits until it asks for its topics again.
    assert!(!one.comes_within(Duration::from_secs(7), there), "{:?}", one.topics());
}

#[test]
fn what_is_said_of_messages_that_are_retained_no_more_is_removed_with_them() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let queue = QueueName::new("kept").unwrap();
    let retain = Retain::For(Duration::from_secs(1));
    one.declare(&QueueSettings { retain, ..QueueSettings::new(queue.clone()) }).unwrap();
    one.publish(&queue, ["a"]);
    let rejected = one.one(&queue).id;
    let settle = one.broker();
    let settled = settle.settle(&queue, rejected, Outcome::DeadLetter(Reason::Rejected), None);
    assert_eq!(one.on(settled).unwrap(), Settled::Done);
    let consumer: BaseConsumer = one.foreign().create().unwrap();
    let gone = format!("{}_-gone", one.topic("kept"));
    let ends = || consumer.fetch_watermarks(&gone, 0, CALL_MAX).unwrap();
    assert_eq!(ends().1, 1, "it is said that the message is gone");
    assert!(one.comes(|| ends() == (1, 1)), "{:?}", ends());
}

#[test]
fn one_that_cannot_join_its_group_says_why_and_joins_once_it_can() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let queue = queue(&one, Order::Arrival);
    one.publish(&queue, ["a"]);
    let theirs: BaseConsumer = one
        .foreign()
        .set("group.id", one.topic("shared"))
        .set("partition.assignment.strategy", "range")
        .create()
        .unwrap();
    theirs.subscribe(&[&one.topic("shared")]).unwrap();
    let joined = || {
        drop(theirs.poll(Duration::from_millis(100)));
        theirs.assignment().unwrap().count() > 0
    };
    assert!(one.comes(joined), "they do not join");
    let asked = Receive { count_max: 1, hold: None, wait_until: one.now() };
    let refused = one.on(one.broker().receive(&queue, asked)).unwrap_err();
    assert_eq!(refused.kind(), Kind::Unavailable);
    let why = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("InconsistentGroupProtocol"), "{refused}: {why}");
    drop(theirs);
    assert_eq!(id(&one.one(&queue)), "a");
}

#[test]
fn topics_that_a_deletion_left_behind_go_with_the_next_one() {
    if !there() {
        return;
    }
    let one = some_partitions();
    let queue = queue(&one, Order::Arrival);
    let admin = one.admin().unwrap();
    one.on(admin.delete(&queue)).unwrap();
    let topic = one.topic("shared");
    assert!(one.comes(|| !one.topics().contains(&topic)), "it is deleted");
    // As if whoever has deleted it had ended before.
    one.make_topic(NewTopic::new(&topic, 1, TopicReplication::Fixed(1)));
    assert_eq!(one.on(admin.delete(&queue)).unwrap_err().kind(), Kind::NotFound);
    assert!(one.comes(|| !one.topics().contains(&topic)), "it is left behind");
}

#[test]
fn what_is_published_after_a_partition_has_lost_its_end_is_handed_out() {
    if !there() {
        return;
    }
    let one = one_partition();
    let queue = queue(&one, Order::Arrival);
    // As it is said of a partition whose last messages went with the disk of its leader.
    let group: BaseConsumer = one.foreign().set("group.id", one.topic("shared")).create().unwrap();
    let mut settled = TopicPartitionList::new();
    settled.add_partition_offset(&one.topic("shared"), 0, Offset::Offset(100)).unwrap();
    group.commit(&settled, CommitMode::Sync).unwrap();
    one.publish(&queue, ["a"]);
    let first = one.one(&queue);
    assert_eq!(id(&first), "a");
    assert_eq!(one.finish(&first), Settled::Done);
    one.publish(&queue, ["b"]);
    assert_eq!(id(&one.one(&queue)), "b");
}

#[test]
fn a_message_of_anothers_with_a_time_to_come_does_not_wait_for_it() {
    if !there() {
        return;
    }
    let one = one_partition();
    let queue = queue(&one, Order::Arrival);
    let producer: BaseProducer = one.foreign().create().unwrap();
    let topic = one.topic("shared");
    let ahead = i64::try_from((one.now() + Duration::from_secs(3_600)).as_ms()).unwrap();
    producer.send(BaseRecord::<str, str>::to(&topic).payload("theirs").timestamp(ahead)).unwrap();
    producer.flush(CALL_MAX).unwrap();
    assert_eq!(&*one.one(&queue).message.payload, b"theirs");
}
