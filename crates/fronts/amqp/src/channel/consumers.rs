//! The consumers of a channel, and how much each may have in its hands.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_core::limits;
use futures_util::future::AbortHandle;

use crate::vhost::queue::Queue;
use crate::vhost::turns::Seat;

/// One consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// A number that no other consumer of the connection has had.
    pub(crate) number: u64,
    pub(crate) queue: Arc<Queue>,
    /// What it gets counts as settled.
    pub(crate) no_ack: bool,
    /// Its place among the consumers of the queue.
    pub(crate) seat: Seat,
    /// Its own limit; 0 is none.
    prefetch: u16,
    /// What it has and has not settled.
    held: usize,
    /// The wait for its next deliveries, where it is waiting.
    pub(crate) waiting: Option<AbortHandle>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Consumer {
    /// Gives up the wait, if there is one; that takes nothing.
    fn stop(&mut self) {
        self.waiting.take().into_iter().for_each(|waiting| waiting.abort());
        self.seat.set_willing(false);
    }
}

/// All consumers of a channel, by their tags, and the limits.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    by_tag: BTreeMap<String, Consumer>,
    /// The limit of every consumer that comes.
    prefetch: u16,
    /// The limit of all together; 0 is none.
    shared: u16,
    /// What all have together, those that have left included.
    held: usize,
}

impl Consumers {
    pub(crate) fn contains(&self, tag: &str) -> bool {
        self.by_tag.contains_key(tag)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_tag.len()
    }

    pub(crate) fn add(&mut self, tag: &str, number: u64, queue: Arc<Queue>, no_ack: bool, seat: Seat) {
        let (prefetch, held, waiting) = (self.prefetch, 0, None);
        let consumer = Consumer { number, queue, no_ack, seat, prefetch, held, waiting };
        self.by_tag.insert(tag.to_owned(), consumer);
    }

    pub(crate) fn remove(&mut self, tag: &str) -> Option<Consumer> {
        self.by_tag.remove(tag)
    }

    /// All of them, to be ended.
    pub(crate) fn take_all(&mut self) -> Vec<Consumer> {
        std::mem::take(&mut self.by_tag).into_values().collect()
    }

    pub(crate) fn numbered(&mut self, number: u64) -> Option<(&str, &mut Consumer)> {
        let mut all = self.by_tag.iter_mut();
        all.find(|(_, consumer)| consumer.number == number).map(|(tag, consumer)| (tag.as_str(), consumer))
    }

    /// Lets nobody wait.
    pub(crate) fn stop(&mut self) {
        self.by_tag.values_mut().for_each(Consumer::stop);
    }

    /// Sets the limit of every consumer, present and coming. What they wait for is asked for anew.
    pub(crate) fn set_prefetch(&mut self, prefetch: u16) {
        self.prefetch = prefetch;
        for consumer in self.by_tag.values_mut() {
            consumer.prefetch = prefetch;
            consumer.stop();
        }
    }

    /// Sets the limit of all together.
    pub(crate) fn set_shared(&mut self, shared: u16) {
        self.shared = shared;
        self.stop();
    }

    /// A delivery goes to this consumer and is to be settled. False where it may have no more.
    pub(crate) fn hold(&mut self, number: u64) -> bool {
        let shared = room(self.shared, self.held);
        let Some((_, consumer)) = self.numbered(number) else { return false };
        if shared == 0 || room(consumer.prefetch, consumer.held) == 0 {
            return false;
        }
        consumer.held += 1;
        self.held += 1;
        // What others wait for may be too much now.
        if self.shared > 0 && room(self.shared, self.held) == 0 {
            self.by_tag.values_mut().for_each(Consumer::stop);
        }
        true
    }

    /// A delivery of this consumer was settled.
    pub(crate) fn release(&mut self, number: u64) {
        self.held = self.held.saturating_sub(1);
        if let Some((_, consumer)) = self.numbered(number) {
            consumer.held = consumer.held.saturating_sub(1);
        }
    }

    /// The consumers that wait for nothing and may have more, each with how much.
    pub(crate) fn ready(&mut self) -> impl Iterator<Item = (&mut Consumer, usize)> {
        let shared = room(self.shared, self.held);
        self.by_tag.values_mut().filter_map(move |consumer| {
            let count = if consumer.no_ack {
                limits::amqp::DELIVERIES_AT_ONCE
            } else {
                shared.min(room(consumer.prefetch, consumer.held))
            };
            consumer.seat.set_willing(consumer.waiting.is_some() || count > 0);
            (consumer.waiting.is_none() && count > 0).then_some((consumer, count))
        })
    }
}

/// How much more may be held at once.
fn room(prefetch: u16, held: usize) -> usize {
    match prefetch {
        0 => limits::amqp::DELIVERIES_AT_ONCE,
        limit => usize::from(limit).saturating_sub(held).min(limits::amqp::DELIVERIES_AT_ONCE),
    }
}

#[cfg(test)]
mod tests {
    use forebay_core::queue::QueueName;
    use forebay_core::time::Instant;

    use super::*;

    fn consumers(prefetch: u16, shared: u16) -> Consumers {
        let mut consumers = Consumers::default();
        consumers.set_prefetch(prefetch);
        consumers.set_shared(shared);
        for (tag, number) in [("a", 1), ("b", 2)] {
            let name = QueueName::new("q").unwrap();
            let queue = Queue::found(1, name.clone(), name, Instant::from_ms(0));
            let seat = queue.turns.join(0);
            consumers.add(tag, number, queue, false, seat);
        }
        consumers
    }

    fn rooms(consumers: &mut Consumers) -> Vec<usize> {
        consumers.ready().map(|(_, count)| count).collect()
    }

    #[test]
    fn each_consumer_has_its_own_limit() {
        let mut consumers = consumers(2, 0);
        assert_eq!(rooms(&mut consumers), [2, 2]);
        assert!(consumers.hold(1) && consumers.hold(1));
        assert!(!consumers.hold(1));
        assert_eq!(rooms(&mut consumers), [2]);
        consumers.release(1);
        assert_eq!(rooms(&mut consumers), [1, 2]);
    }

    #[test]
    fn a_shared_limit_holds_for_all_and_changes_at_once_in_both_directions() {
        let mut consumers = consumers(0, 2);
        assert!(consumers.hold(1) && consumers.hold(2));
        assert!(!consumers.hold(1) && !consumers.hold(2));
        assert_eq!(rooms(&mut consumers), [0_usize; 0]);
        consumers.set_shared(3);
        assert_eq!(rooms(&mut consumers), [1, 1]);
        consumers.set_shared(1);
        consumers.release(1);
        assert!(!consumers.hold(1), "one is still held, and one is all");
        consumers.release(2);
        assert!(consumers.hold(1));
    }

    #[test]
    fn a_new_limit_for_each_also_holds_for_those_that_are_there() {
        let mut consumers = consumers(1, 0);
        assert!(consumers.hold(1) && !consumers.hold(1));
        consumers.set_prefetch(2);
        assert!(consumers.hold(1));
    }

    #[test]
    fn what_a_consumer_has_counts_on_when_it_has_left() {
        let mut consumers = consumers(0, 1);
        assert!(consumers.hold(1));
        drop(consumers.remove("a"));
        assert!(!consumers.hold(2));
        consumers.release(1);
        assert!(consumers.hold(2));
    }
}
