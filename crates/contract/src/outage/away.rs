//! Single publishes while the server is away: they wait for it up to the stated time, and then fail clearly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_core::delivery::Outcome;
use forebay_core::error::{Kind, Result};
use forebay_core::message::{Message, MessageId};
use forebay_core::ports::broker::{Broker, Receive};
use forebay_core::ports::clock::Clock;
use forebay_core::queue::{QueueName, QueueSettings};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::DEAF_MAX;
use super::broker::declare;

/// A publish that does not wait is refused sooner. There is no signal for what does not happen.
const REFUSED_AT_ONCE: Duration = Duration::from_millis(500);

/// Somebody who publishes one message at a time.
pub struct Publisher<'a> {
    handle: &'a Handle,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    queue: QueueName,
}

impl<'a> Publisher<'a> {
    /// Declares a queue and publishes to it, while the server is there.
    pub fn begin(handle: &'a Handle, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>, queue: &str) -> Self {
        let queue = QueueName::new(queue).expect("a name");
        handle.block_on(declare(&*broker, &QueueSettings::new(queue.clone())));
        let publisher = Self { handle, broker, clock, queue };
        publisher.publishes("before");
        publisher
    }

    /// A publish that is begun while the server is away is confirmed when that comes back in time, and comes.
    pub fn waits_until(&self, comes_back: impl FnOnce()) {
        let mut publish = self.handle.spawn(publish(self.broker.clone(), self.queue.clone(), "meanwhile"));
        let early = self.handle.block_on(async { timeout(REFUSED_AT_ONCE, &mut publish).await });
        assert!(early.is_err(), "it is not waited for: {early:?}");
        comes_back();
        let ended = self.handle.block_on(async { timeout(DEAF_MAX, publish).await });
        ended.expect("a publish ends").expect("and does not fail").expect("it was waited for");
        self.comes("meanwhile");
    }

    /// With a server that stays away it is refused no later than that, and says that it may be tried again.
    pub fn is_refused_within(&self, most: Duration) {
        let begun = Instant::now();
        let publish = publish(self.broker.clone(), self.queue.clone(), "refused");
        let ended = self.handle.block_on(async { timeout(most + DEAF_MAX, publish).await });
        let took = begun.elapsed();
        let refused = ended.expect("a publish ends").expect_err("there is no server");
        assert_eq!(refused.kind(), Kind::Unavailable, "{refused}");
        assert!(took <= most, "it took {took:?}, {most:?} is the most");
    }

    /// A publish is confirmed as soon as the server is there, and comes.
    pub fn publishes(&self, id: &'static str) {
        let begun = Instant::now();
        while let Err(refused) = self.handle.block_on(publish(self.broker.clone(), self.queue.clone(), id)) {
            assert!(refused.kind() == Kind::Unavailable && begun.elapsed() < DEAF_MAX, "{refused}");
        }
        self.comes(id);
    }

    /// Receives all until it comes.
    fn comes(&self, id: &str) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < DEAF_MAX, "{id} was confirmed and does not come");
            let wait_until = self.clock.now() + DEAF_MAX;
            let asked = Receive { count_max: 10, hold: None, wait_until };
            let received = self.handle.block_on(self.broker.receive(&self.queue, asked));
            let mut has_come = false;
            for delivery in received.unwrap_or_default() {
                // What cannot be settled comes again, which does no harm.
                let _ =
                    self.handle.block_on(self.broker.settle(&self.queue, delivery.id, Outcome::Done, None));
                has_come |= delivery.message.id.as_str() == id;
            }
            if has_come {
                return;
            }
        }
    }
}

async fn publish(broker: Arc<dyn Broker>, queue: QueueName, id: &'static str) -> Result<Vec<MessageId>> {
    let id = MessageId::given(id).expect("an id");
    broker.publish(&queue, vec![Message::new(id, "payload".into())]).await
}
