//! What queues take in memory, and taking less of it when somebody else decides so.

use std::sync::atomic::Ordering::Relaxed;

use forebay_core::limits;
use forebay_core::pressure::QueueMemory;

use crate::broker::EmbeddedBroker;
use crate::engine::Engine;
use crate::state::finished::FINISHED_BYTES;
use crate::topology::Queue;

impl EmbeddedBroker {
    /// What all queues take together. It looks at each of them, so it is not for every request.
    pub fn memory(&self) -> QueueMemory {
        let queues = self.engine.topology.all();
        let entries: usize = queues.iter().map(|queue| bytes(queue)).sum();
        let entries = entries + self.engine.journal.claims.memory_bytes();
        QueueMemory { entries: entries as u64, bodies: self.engine.hot.bytes() as u64 }
    }

    /// How many bytes of payloads are kept in memory from now on; what is kept beyond it is given up, and will be read
    /// from the log. Queues are free for others between the steps.
    pub fn limit_bodies(&self, bytes_max: usize) {
        self.engine.hot.limit(bytes_max);
        for queue in self.engine.topology.all() {
            while self.engine.hot.is_over() && self.engine.cool(&queue) {}
        }
    }

    /// Forgets retained messages before their time, the oldest first, until so many bytes are free or none is left.
    /// Returns how many bytes they took. Queues are free for others between the steps.
    pub fn forget_retained(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        while freed < bytes {
            let count_max = (bytes - freed).div_ceil(FINISHED_BYTES as u64);
            let count_max = usize::try_from(count_max).unwrap_or(usize::MAX);
            let Some((_, count)) = self.engine.give_way(count_max) else { break };
            freed += (count * FINISHED_BYTES) as u64;
        }
        freed
    }

    /// Whether publishes are taken. While they are not they are `Full`; everything that settles, retries or
    /// dead-letters a message goes on.
    pub fn admit(&self, admits: bool) {
        self.engine.refuses.store(!admits, Relaxed);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.engine.is_closed()
    }
}

impl Engine {
    /// Gives up the bodies that will be needed last, a slice of them. False when the queue has none left.
    fn cool(&self, queue: &Queue) -> bool {
        let mut state = queue.state.lock();
        for _ in 0..limits::SLICE_MESSAGES_MAX {
            if !self.hot.is_over() {
                return true;
            }
            let Some(entry) = state.ready.cool_last() else {
                state.ready.cool_rest(|entry| drop(self.hot.take(entry)));
                return false;
            };
            self.hot.take(entry);
        }
        true
    }
}

fn bytes(queue: &Queue) -> usize {
    // It is named in two maps beside itself.
    let own = size_of::<Queue>() + 3 * queue.name.as_str().len() + 2 * size_of::<(usize, usize, usize)>();
    let state = queue.state.lock();
    let messages = state.ready.bytes() + state.unsettled.bytes() + state.finished.bytes();
    own + messages + state.marks.bytes() + state.newest.bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use forebay_core::delivery::Outcome;
    use forebay_core::error::Kind;
    use forebay_core::message::{Message, MessageId};
    use forebay_core::queue::{Order, QueueName, QueueSettings, Retain};

    use forebay_core::ports::clock::Clock;

    use super::FINISHED_BYTES;
    use crate::bench::Bench;

    #[test]
    fn bodies_given_up_are_those_needed_last_and_all_are_delivered_from_the_log() {
        let bench = Bench::new(1_000);
        let (one, other) = (bench.queue("one"), bench.queue("other"));
        for bytes in 0..20 {
            bench.publish(&one, bytes);
            bench.publish(&other, bytes);
        }
        let before = bench.broker.memory();
        bench.broker.limit_bodies(before.bodies as usize / 4);
        let after = bench.broker.memory();
        assert!(after.bodies <= before.bodies / 4 && after.bodies > 0, "{before:?} {after:?}");
        assert_eq!(after.entries, before.entries, "no message has left");
        for name in [&one, &other] {
            let queue = bench.engine().topology.find(name).unwrap();
            let state = queue.lock().unwrap();
            let kept: Vec<_> = state.ready.after(0).map(|entry| entry.body.is_some()).collect();
            assert!(kept.is_sorted_by(|first, second| first >= second), "{kept:?}");
            assert_eq!(state.ready.is_hot(), kept.iter().all(|kept| *kept));
        }
        for name in [&one, &other] {
            for bytes in 0..20 {
                assert_eq!(bench.receive(name).unwrap().message.payload.len(), bytes);
            }
        }
        assert_eq!(bench.broker.memory().bodies, 0);
    }

    #[test]
    fn the_body_of_a_message_that_has_waited_for_another_of_its_key_is_given_up_too() {
        let bench = Bench::new(1_000);
        let mut queue = QueueSettings::new(QueueName::new("q").unwrap());
        queue.order = Order::Key;
        bench.engine().topology.declare(&bench.engine().journal, &queue, usize::MAX).unwrap();
        let publish = |key: Option<&str>| {
            let message = Message::new(MessageId::given("m").unwrap(), vec![b'x'; 300].into());
            bench.publish_all(&queue.name, vec![Message { key: key.map(str::to_owned), ..message }]).unwrap();
            bench.write();
        };
        publish(Some("a"));
        let held = bench.receive(&queue.name).unwrap();
        publish(Some("a"));
        (0..50).for_each(|_| publish(None));
        bench.settle(&held, Outcome::Done);
        bench.broker.limit_bodies(0);
        assert_eq!(bench.broker.memory().bodies, 0);
        let found = bench.engine().topology.find(&queue.name).unwrap();
        assert!(found.lock().unwrap().ready.audit().1, "the accounts agree");
    }

    #[test]
    fn with_no_memory_for_bodies_none_is_kept_and_with_some_again_they_are() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        (0..2_500).for_each(|_| bench.publish(&q, 1));
        bench.broker.limit_bodies(0);
        assert_eq!(bench.broker.memory().bodies, 0);
        bench.publish(&q, 7);
        assert_eq!(bench.broker.memory().bodies, 0);
        while bench.receive(&q).is_some() {
            bench.write();
        }
        bench.broker.limit_bodies(10_000);
        bench.publish(&q, 7);
        assert!(bench.broker.memory().bodies > 0);
    }

    #[test]
    fn a_deep_queue_is_counted_and_a_drained_one_is_not() {
        let bench = Bench::new(100_000);
        let q = bench.queue("q");
        let entries = || bench.broker.memory().entries;
        let empty = entries();
        (0..10_000).for_each(|_| bench.publish(&q, 1));
        let deep = entries() - empty;
        assert!((560_000..700_000).contains(&deep), "{deep} bytes for 10,000 messages");
        while let Some(delivery) = bench.receive(&q) {
            bench.settle(&delivery, Outcome::Done);
            bench.write();
        }
        assert!(entries() - empty < deep / 2, "{} of {deep}", entries() - empty);
    }

    const MESSAGES: u64 = 2_000;

    /// What a queue takes for each of many messages, beside the few bytes of the queue: while they are held, and once they
    /// are finished.
    fn each(settings: impl Fn(&mut QueueSettings), message: impl Fn(&mut Message, String)) -> [u64; 2] {
        let bench = Bench::new(100_000);
        let mut queue = QueueSettings::new(QueueName::new("q").unwrap());
        settings(&mut queue);
        bench.engine().topology.declare(&bench.engine().journal, &queue, usize::MAX).unwrap();
        for number in 0..MESSAGES {
            let mut one = Message::new(MessageId::given("m").unwrap(), vec![b'x'; 8].into());
            message(&mut one, format!("text {number}"));
            bench.publish_all(&queue.name, vec![one]).unwrap();
            bench.write();
        }
        let receive = |_| {
            bench.write();
            bench.receive(&queue.name).unwrap()
        };
        let held: Vec<_> = (0..MESSAGES).map(receive).collect();
        let while_held = bench.broker.memory().entries;
        for delivery in &held {
            bench.settle(delivery, Outcome::Done);
            bench.write();
        }
        [while_held, bench.broker.memory().entries].map(|bytes| bytes / MESSAGES)
    }

    #[test]
    fn what_is_remembered_beside_the_messages_is_counted() {
        let key = |message: &mut Message, key| message.key = Some(key);
        let plain = each(|_| (), |_, _| ());
        let more = |[held, finished]: [u64; 2]| (held - plain[0], finished - plain[1]);
        let (held, finished) = more(each(|_| (), |message, id| message.dedup_id = Some(id)));
        assert!((90..250).contains(&held) && finished.abs_diff(held) < 5, "dedup ids: {held} {finished}");
        let (held, _) = more(each(|settings| settings.newest_by_key = true, key));
        assert!((150..300).contains(&held), "keys of the newest: {held}");
        let (held, _) = more(each(|settings| settings.order = Order::Key, key));
        assert!((30..170).contains(&held), "lines by key: {held}");
        let an_hour = Retain::For(Duration::from_secs(3_600));
        let (held, finished) = more(each(|settings| settings.retain = an_hour, |_, _| ()));
        assert!(held == 0 && (60..150).contains(&finished), "retained: {held} {finished}");
    }

    #[test]
    fn the_oldest_of_what_is_retained_gives_way_up_to_what_is_asked_for_and_nothing_else_does() {
        let bench = Bench::new(100_000);
        let names = ["one", "two"].map(|name| QueueName::new(name).unwrap());
        for name in &names {
            let mut queue = QueueSettings::new(name.clone());
            queue.retain = Retain::For(Duration::from_secs(3_600));
            bench.engine().topology.declare(&bench.engine().journal, &queue, usize::MAX).unwrap();
            for _ in 0..1_500 {
                bench.publish(name, 1);
                bench.settle(&bench.receive(name).unwrap(), Outcome::Done);
            }
            bench.publish(name, 1);
            bench.clock.advance(Duration::from_secs(1));
        }
        let retained = || {
            names.each_ref().map(|name| {
                let queue = bench.engine().topology.find(name).unwrap();
                let stats = queue.lock().unwrap().stats(bench.clock.now());
                assert_eq!((stats.ready, stats.retained + stats.retained_dropped), (1, 1_500));
                stats.retained
            })
        };
        let before = bench.broker.memory().entries;
        assert_eq!(bench.broker.forget_retained(0), 0);
        let each = FINISHED_BYTES as u64;
        assert_eq!(bench.broker.forget_retained(1_100 * each - 1), 1_100 * each);
        assert_eq!((retained(), before - bench.broker.memory().entries), ([400, 1_500], 1_100 * each));
        assert_eq!(bench.broker.forget_retained(1_000 * each), 1_000 * each);
        assert_eq!(retained(), [0, 900]);
        assert_eq!(bench.broker.forget_retained(u64::MAX), 900 * each);
        assert_eq!(retained(), [0, 0]);
    }

    #[test]
    fn while_publishes_are_refused_everything_else_goes_on() {
        let bench = Bench::new(1_000);
        let q = bench.queue("q");
        bench.publish(&q, 1);
        bench.broker.admit(false);
        assert_eq!(bench.try_publish(&q, 1), Err(Kind::Full));
        let refused = bench.until_ready(bench.engine().publish(&q, Vec::new())).unwrap_err();
        assert!(refused.to_string().contains("queues have used up their memory"), "{refused}");
        let delivery = bench.receive(&q).unwrap();
        bench.settle(&delivery, Outcome::Return { seen: false });
        let delivery = bench.receive(&q).unwrap();
        bench.settle(&delivery, Outcome::Done);
        assert_eq!(bench.depth(&q), 0);
        bench.broker.admit(true);
        assert_eq!(bench.try_publish(&q, 1), Ok(()));
    }
}
