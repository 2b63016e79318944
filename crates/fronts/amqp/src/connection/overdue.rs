//! Deliveries that a consumer keeps for longer than its queue allows.

use forebay_wire::amqp::reply::ReplyCode;

use super::session::Session;
use crate::exception::Exception;

impl Session {
    /// Closes the channels that have such deliveries; these go back into their queues.
    pub(crate) async fn close_overdue(&mut self) {
        let now = self.now();
        let overdue: Vec<_> = self
            .channels
            .iter()
            .filter(|(_, channel)| !channel.closing)
            .filter_map(|(number, channel)| {
                Some((*number, channel.unsettled.overdue(now)?.queue.asked.consumer_timeout?))
            })
            .collect();
        for (number, timeout) in overdue {
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: {} ms. This timeout value \
                 can be configured, see consumers doc guide to learn more",
                timeout.as_millis()
            );
            self.raise(number, Exception::new(ReplyCode::PreconditionFailed, text)).await;
        }
    }
}
