//! Topics and groups that other programs use as well.

use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_core::queue::Order;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::processes::{LIMIT, LONG, queue};
use super::{Real, server, some_partitions, there};

impl Real {
    /// What a topic of that queue is called.
    fn topic(&self, queue: &str) -> String {
        format!("{}{queue}", self.settings.prefix)
    }

    /// A client of another program's.
    fn foreign(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", server().unwrap().url().trim_start_matches("kafka://"));
        config
    }

    /// All topics that there are.
    fn topics(&self) -> Vec<String> {
        let consumer: BaseConsumer = self.foreign().create().unwrap();
        let metadata = consumer.fetch_metadata(None, LIMIT).unwrap();
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
