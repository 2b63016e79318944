//! Looks at what is in a queue.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use forebay_contract::broker::Rig;
use forebay_core::delivery::Outcome;
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::Receive;
use forebay_core::queue::{QueueName, QueueSettings};

use super::quorum;

#[test]
fn a_look_that_was_given_up_half_way_takes_nothing_and_is_no_attempt() {
    let one = quorum();
    let queue = QueueName::new("seen").unwrap();
    let (broker, admin) = (one.broker(), one.admin().unwrap());
    one.ground.run(broker.ensure(&QueueSettings::new(queue.clone()))).unwrap();
    let message = Message::new(MessageId::given("a").unwrap(), "payload".into());
    one.ground.run(broker.publish(&queue, vec![message])).unwrap();
    for polls_max in 1.. {
        let (mut look, mut polls) = (admin.peek(&queue, 10), 0);
        let seen = one.ground.run(poll_fn(|context| {
            polls += 1;
            if polls > polls_max { Poll::Ready(None) } else { look.as_mut().poll(context).map(Some) }
        }));
        drop(look);
        // Long before its hold would run out.
        let asked = Receive { count_max: 1, hold: None, wait_until: one.now() + Duration::from_secs(10) };
        let delivery = one.ground.run(broker.receive(&queue, asked)).unwrap().pop();
        let delivery = delivery.unwrap_or_else(|| panic!("it is held after {polls_max} steps"));
        assert_eq!(delivery.attempt, 1);
        let back = broker.settle(&queue, delivery.id, Outcome::Return { seen: false }, None);
        one.ground.run(back).unwrap();
        if let Some(seen) = seen {
            assert_eq!(seen.unwrap().len(), 1);
            break;
        }
    }
}
