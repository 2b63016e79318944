//! Holds that have run out. Kafka knows nothing of them: to it the message is in our hands for as long as the partition is
//! ours.

use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::Result;
use forebay_core::limits;
use forebay_core::ports::broker::Held;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::inner::Inner;

impl Inner {
    /// Waits for deliveries whose hold has run out. Whoever looks after a queue says when there are some.
    pub(crate) async fn expired(&self) -> Result<Vec<Delivery>> {
        loop {
            let changed = self.holds.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            self.check_open("wait for ended holds")?;
            let now = self.clock.now();
            let mut run_out = Vec::new();
            for queue in self.all() {
                let room = limits::EXPIRED_DELIVERIES_MAX - run_out.len();
                queue.change_quietly(|shelf| {
                    for position in shelf.holds.run_out(room, now) {
                        run_out.extend(shelf.holds.at(position).map(|held| queue.delivery(held)));
                    }
                });
            }
            if !run_out.is_empty() {
                return Ok(run_out);
            }
            changed.await;
        }
    }

    /// What is known of a delivery that is held.
    pub(crate) fn held(&self, name: &QueueName, delivery: DeliveryId) -> Option<Held> {
        let queue = self.known(name)?;
        queue.look(|shelf| {
            let held = shelf.holds.held(delivery.position, delivery.token)?;
            let attempt = held.letter.envelope.attempt();
            Some(Held { attempt, retry: queue.settings.retry, held_until: held.until })
        })
    }

    /// Holds a delivery from now for so long.
    pub(crate) fn extend(&self, name: &QueueName, delivery: DeliveryId, hold: Duration) -> Option<Instant> {
        let until = self.clock.now() + hold;
        let queue = self.known(name)?;
        queue.change_quietly(|shelf| shelf.holds.extend(delivery.position, delivery.token, until))
    }
}
