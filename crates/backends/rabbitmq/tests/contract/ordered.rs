//! Order by key, however little may lie in a process.

use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_core::delivery::{Delivery, Outcome, Settled};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{Order, QueueName, QueueSettings};

use super::{Real, quorum};

const LONG: Duration = Duration::from_secs(30);

impl Real {
    fn next(&self, queue: &QueueName) -> Delivery {
        let asked = Receive { count_max: 1, hold: None, wait_until: self.now() + LONG };
        self.ground.run(self.broker().receive(queue, asked)).unwrap().pop().unwrap()
    }

    fn ends(&self, delivery: &Delivery, outcome: Outcome) {
        let settled = self.ground.run(self.broker().settle(&delivery.queue, delivery.id, outcome, None));
        assert_eq!(settled.unwrap(), Settled::Done);
    }
}

#[test]
fn all_that_is_tried_again_goes_before_the_rest_of_its_keys_however_little_is_taken_ahead() {
    let mut one = quorum();
    one.settings.prefetch = 1;
    one.crash();
    let queue = QueueName::new("ordered").unwrap();
    let settings = QueueSettings { order: Order::Key, ..QueueSettings::new(queue.clone()) };
    one.ground.run(one.broker().ensure(&settings)).unwrap();
    let message = |id: &str| Message {
        key: Some(id.chars().take(1).collect()),
        ..Message::new(MessageId::given(id).unwrap(), "payload".into())
    };
    let messages = ["a1", "b1", "c1", "c2", "b2", "a2"].map(message);
    one.ground.run(one.broker().publish(&queue, messages.into())).unwrap();
    // Later than the rest of the queue would be opened without them.
    let at = one.now() + Duration::from_secs(9);
    for expected in ["a1", "b1", "c1"] {
        let delivery = one.next(&queue);
        assert_eq!(delivery.message.id.as_str(), expected);
        one.ends(&delivery, Outcome::RetryAt(at));
    }
    one.crash();
    for expected in ["a1", "b1", "c1", "c2", "b2", "a2"] {
        let delivery = one.next(&queue);
        assert_eq!(delivery.message.id.as_str(), expected);
        one.ends(&delivery, Outcome::Done);
    }
}
