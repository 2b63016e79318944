//! Publishing: what a publisher drafts becomes checked messages with ids, and then durable.

use std::time::Duration;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::limits;
use forebay_core::message::{Headers, Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::ports::clock::Clock;
use forebay_core::queue::QueueName;

use crate::queues::Queues;

/// A message as its publisher writes it: everything but the payload may be left out.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Its name; generated, in the order of time, where there is none.
    pub id: Option<MessageId>,
    /// The body.
    pub payload: Payload,
    /// What the body is, such as `application/json`.
    pub content_type: Option<String>,
    /// Named values beside the body.
    pub headers: Headers,
    /// Messages with the same key are delivered in order where the queue keeps order by key.
    pub key: Option<String>,
    /// Not delivered before it has passed; at most [`limits::DELAY_MAX`].
    pub delay: Option<Duration>,
    /// Not delivered after it has passed, from 1 ms to [`limits::DELAY_MAX`].
    pub expires_in: Option<Duration>,
    /// 0 to 255; greater goes first where the queue has priorities.
    pub priority: u8,
    /// A queue that took a message with this id within its window takes no other; 1 to 255 bytes.
    pub dedup_id: Option<String>,
}

impl Draft {
    /// A draft with only a payload.
    pub fn new(payload: impl Into<Payload>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    fn into_message(self, clock: &dyn Clock) -> Result<Message> {
        let refuse = |what: &str| Err(Error::new(Kind::Invalid, "publish message", what));
        if self.delay.is_some_and(|delay| delay > limits::DELAY_MAX) {
            return refuse("delay is at most 366 days");
        }
        let expiry = Duration::from_millis(1)..=limits::DELAY_MAX;
        if self.expires_in.is_some_and(|expires_in| !expiry.contains(&expires_in)) {
            return refuse("expiry is 1 ms to 366 days");
        }
        let now = clock.now();
        let message = Message {
            id: self.id.unwrap_or_else(|| MessageId::generate(now, [clock.random(), clock.random()])),
            payload: self.payload,
            content_type: self.content_type,
            headers: self.headers,
            key: self.key,
            not_before: self.delay.filter(|delay| !delay.is_zero()).map(|delay| now + delay),
            expires_at: self.expires_in.map(|expires_in| now + expires_in),
            priority: self.priority,
            dedup_id: self.dedup_id,
            exchange: None,
            routing_key: None,
            time_to_live: None,
        };
        message.check()?;
        Ok(message)
    }
}

impl Queues {
    /// Publishes all drafts, in order, and returns their ids. `Ok`: every one is durable. `Err` before anything was
    /// taken: one of them or the batch is over a limit (`Invalid`, `TooLarge`), the queue is not there (`NotFound`),
    /// or it is at a bound (`Full`: try later). Any other `Err`: some or all may be there, and publishing again may
    /// duplicate.
    pub async fn publish(&self, queue: &QueueName, drafts: Vec<Draft>) -> Result<Vec<MessageId>> {
        if drafts.len() > limits::PUBLISH_MESSAGES_MAX {
            return Err(Error::new(
                Kind::TooLarge,
                "publish to queue",
                format!("{queue}: more than 1000 messages"),
            ));
        }
        let can = self.broker.capabilities();
        let lacks =
            |what: &str| Err(Error::new(Kind::Unsupported, "publish to queue", format!("{queue}: {what}")));
        if !can.delay && drafts.iter().any(|draft| draft.delay.is_some()) {
            return lacks("delay");
        }
        if !can.expiry && drafts.iter().any(|draft| draft.expires_in.is_some()) {
            return lacks("expires_in");
        }
        if !can.priorities && drafts.iter().any(|draft| draft.priority > 0) {
            return lacks("priority");
        }
        if !can.dedup && drafts.iter().any(|draft| draft.dedup_id.is_some()) {
            return lacks("dedup_id");
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let messages =
            drafts.into_iter().map(|draft| draft.into_message(&*self.clock)).collect::<Result<Vec<_>>>()?;
        self.broker.publish(queue, messages).await
    }
}

#[cfg(test)]
mod tests {
    use forebay_contract::runner::Runner;
    use forebay_core::ports::clock::Clock as _;
    use forebay_core::time::Instant;

    use super::*;
    use crate::scripted::Scripted;

    fn publish(drafts: Vec<Draft>) -> (std::sync::Arc<Scripted>, Result<Vec<MessageId>>) {
        let broker = Scripted::new(3);
        let queue = QueueName::new("q").unwrap();
        let published = Runner::new().block_on(broker.queues().publish(&queue, drafts));
        (broker, published)
    }

    fn kind_of(draft: Draft) -> Kind {
        publish(vec![draft]).1.unwrap_err().kind()
    }

    #[test]
    fn ids_are_generated_where_none_is_given_and_returned_in_order() {
        let given = Draft { id: Some(MessageId::given("mine").unwrap()), ..Draft::new("a") };
        let (broker, ids) = publish(vec![Draft::new("b"), given, Draft::new("c")]);
        let ids = ids.unwrap();
        assert_eq!(ids[1].as_str(), "mine");
        assert_ne!(ids[0], ids[2]);
        let ready: Vec<_> = broker.state.lock().ready.iter().map(|message| message.id.clone()).collect();
        assert_eq!(ready, ids);
    }

    #[test]
    fn delay_and_expiry_become_moments() {
        let draft = Draft {
            delay: Some(Duration::from_secs(5)),
            expires_in: Some(Duration::from_secs(9)),
            ..Draft::new("x")
        };
        let (broker, _) = publish(vec![draft, Draft { delay: Some(Duration::ZERO), ..Draft::new("y") }]);
        let now: Instant = broker.clock.now();
        let state = broker.state.lock();
        assert_eq!(state.ready[0].not_before, Some(now + Duration::from_secs(5)));
        assert_eq!(state.ready[0].expires_at, Some(now + Duration::from_secs(9)));
        assert_eq!(state.ready[1].not_before, None, "no delay is no delay");
    }

    #[test]
    fn a_draft_at_its_limits_is_taken_and_beyond_them_refused() {
        let a_bit = Duration::from_millis(1);
        let at = Draft {
            delay: Some(limits::DELAY_MAX),
            expires_in: Some(limits::DELAY_MAX),
            ..Draft::new(vec![0; limits::MESSAGE_BYTES_MAX])
        };
        assert!(publish(vec![at]).1.is_ok());
        let delay = Some(limits::DELAY_MAX + a_bit);
        assert_eq!(kind_of(Draft { delay, ..Draft::default() }), Kind::Invalid);
        for expires_in in [Duration::ZERO, limits::DELAY_MAX + a_bit] {
            assert_eq!(kind_of(Draft { expires_in: Some(expires_in), ..Draft::default() }), Kind::Invalid);
        }
        assert_eq!(kind_of(Draft::new(vec![0; limits::MESSAGE_BYTES_MAX + 1])), Kind::TooLarge);
    }

    #[test]
    fn a_batch_at_the_limit_is_taken_and_beyond_it_refused_whole() {
        let batch = |count| publish(vec![Draft::new("x"); count]);
        assert_eq!(batch(limits::PUBLISH_MESSAGES_MAX).1.unwrap().len(), limits::PUBLISH_MESSAGES_MAX);
        let (broker, refused) = batch(limits::PUBLISH_MESSAGES_MAX + 1);
        assert_eq!(refused.unwrap_err().kind(), Kind::TooLarge);
        assert!(broker.state.lock().ready.is_empty());
    }

    #[test]
    fn what_the_broker_lacks_is_refused_by_name() {
        let mut broker = Scripted::new(3);
        std::sync::Arc::get_mut(&mut broker).unwrap().capabilities.delay = false;
        let draft = Draft { delay: Some(Duration::from_secs(1)), ..Draft::new("x") };
        let queue = QueueName::new("q").unwrap();
        let error = Runner::new().block_on(broker.queues().publish(&queue, vec![draft])).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("q: delay"), "{error}");
    }
}
