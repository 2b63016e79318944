//! Receiving messages, and holding on to them.

use std::time::Duration;

use forebay_core::delivery::{Delivery, DeliveryId};
use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::ports::broker::Receive;
use forebay_core::queue::QueueName;
use forebay_core::time::Instant;

use crate::queues::Queues;

/// What a receiver asks for.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveOptions {
    /// At most so many deliveries, 1 to [`limits::RECEIVE_DELIVERIES_MAX`].
    pub count_max: usize,
    /// How long each is held, 1 ms to [`limits::HOLD_MAX`]; `None` is the queue's own.
    pub hold: Option<Duration>,
    /// How long to wait for the first one, at most [`limits::RECEIVE_WAIT_MAX`].
    pub wait: Duration,
}

impl Default for ReceiveOptions {
    /// One message, held as the queue says, without waiting.
    fn default() -> Self {
        Self { count_max: 1, hold: None, wait: Duration::ZERO }
    }
}

impl Queues {
    /// Takes ready messages in order and holds them for the caller; empty when the wait was in vain. Dropping the
    /// future before it is ready takes nothing.
    pub async fn receive(&self, queue: &QueueName, options: ReceiveOptions) -> Result<Vec<Delivery>> {
        let refuse =
            |what: &str| Err(Error::new(Kind::Invalid, "receive from queue", format!("{queue}: {what}")));
        if options.count_max == 0 || options.count_max > limits::RECEIVE_DELIVERIES_MAX {
            return refuse("count_max must be 1 to 1000");
        }
        if options.wait > limits::RECEIVE_WAIT_MAX {
            return refuse("wait must be at most 30 seconds");
        }
        if let Some(hold) = options.hold {
            check_hold(queue, hold)?;
        }
        let wait_until = self.clock.now() + options.wait;
        let receive = Receive { count_max: options.count_max, hold: options.hold, wait_until };
        self.broker.receive(queue, receive).await
    }

    /// Holds the delivery from now for `hold`, and returns the new end; `None` if it is no longer held.
    pub async fn extend(
        &self,
        queue: &QueueName,
        delivery: DeliveryId,
        hold: Duration,
    ) -> Result<Option<Instant>> {
        check_hold(queue, hold)?;
        self.broker.extend(queue, delivery, hold).await
    }
}

fn check_hold(queue: &QueueName, hold: Duration) -> Result<()> {
    if hold < Duration::from_millis(1) || hold > limits::HOLD_MAX {
        return Err(Error::new(
            Kind::Invalid,
            "hold delivery of queue",
            format!("{queue}: hold must be 1 ms to 12 hours"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use forebay_contract::runner::Runner;

    use super::*;
    use crate::scripted::Scripted;

    #[test]
    fn options_at_their_limits_are_taken_and_beyond_them_refused() {
        let (runner, broker) = (Runner::new(), Scripted::new(3));
        let queue = QueueName::new("q").unwrap();
        let receive = |options: ReceiveOptions| {
            broker.add(&["m"]);
            runner.block_on(broker.queues().receive(&queue, options)).map_err(|error| error.kind())
        };
        let widest = ReceiveOptions {
            count_max: limits::RECEIVE_DELIVERIES_MAX,
            hold: Some(limits::HOLD_MAX),
            wait: limits::RECEIVE_WAIT_MAX,
        };
        assert_eq!(receive(widest).unwrap().len(), 1);
        let a_bit = Duration::from_millis(1);
        for wrong in [
            ReceiveOptions { count_max: 0, ..widest },
            ReceiveOptions { count_max: widest.count_max + 1, ..widest },
            ReceiveOptions { hold: Some(Duration::ZERO), ..widest },
            ReceiveOptions { hold: Some(limits::HOLD_MAX + a_bit), ..widest },
            ReceiveOptions { wait: widest.wait + a_bit, ..widest },
        ] {
            assert_eq!(receive(wrong).unwrap_err(), Kind::Invalid, "{wrong:?}");
        }
        let unheld = DeliveryId { position: 1, token: 1 };
        let extend = |hold| runner.block_on(broker.queues().extend(&queue, unheld, hold));
        assert!(extend(limits::HOLD_MAX).unwrap().is_none());
        assert_eq!(extend(limits::HOLD_MAX + a_bit).unwrap_err().kind(), Kind::Invalid);
    }
}
